"""What a profile of serving found: how a worker behaves at each rate, and what follows from it."""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec

from seakeep.records.run import Metric

Limit = OneOf["processor", "waiting", "shared", "generator", "none"]


class StageCost(msgspec.Struct, frozen=True, kw_only=True):
    """One stage at one rate.

    Attributes
    ----------
    mean_us, p99_us
        Time of a request in it, microseconds; requests of one batch share its time.
    share
        Part of the worker's time that it takes, 0 to 1; a batch counts once. The queue takes none.
    """

    mean_us: float
    p99_us: float
    share: float


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One worker at one rate.

    Attributes
    ----------
    offered, answered
        Requests a second that were due, and that were answered.
    failed
        Requests that got no prediction.
    mean_us, p50_us, p99_us
        Latency from the moment a request was due, with 95 % intervals, microseconds; NaN if none was answered.
    busy
        Processor time of the event loop a second: 1 is full.
    preempted
        Part of the time in which the loop could have run, but another process had its processor.
    batch_rows
        Rows in a batch, on average.
    late_us
        99th percentile of how late the load generator was, microseconds.
    limited
        Whether the load generator, not the worker, set what is seen here.
    stages
        By name.
    """

    offered: float
    answered: float
    failed: int
    mean_us: Metric
    p50_us: Metric
    p99_us: Metric
    busy: float
    preempted: float
    batch_rows: float
    late_us: float
    limited: bool
    stages: dict[str, StageCost]


class Bottleneck(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a worker from answering more.

    Attributes
    ----------
    limit
        ``processor``: the event loop is full; ``waiting``: it stands still for something else; ``shared``: other
        processes take its processor; ``generator``: the load generator was not fast enough to tell; ``none``: there is
        room left at the rates that were tried.
    stage
        The stage that takes most of the worker's time; ``transport`` is HTTP and the event loop itself.
    share
        Its part of the worker's time, 0 to 1.
    """

    limit: Limit
    stage: str
    share: float


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What to set.

    Attributes
    ----------
    rate
        Requests a second that are to be answered: as asked for, or those of the busiest recorded minute.
    workers
        Worker processes for it; 0 if the profile cannot tell.
    cores
        Processors of this machine.
    rows
        Rows a request that the model scores almost as cheaply as any larger number; 1: several cost as much as one.
    row_us, alone_us
        Time of the model for a row among so many, and for a row alone, microseconds.
    worker_mb
        Memory of a worker under load, MiB, without what it shares with others.
    """

    rate: float
    workers: int
    cores: int
    rows: int
    row_us: float
    alone_us: float
    worker_mb: float


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker of a model does with recorded traffic.

    Attributes
    ----------
    requests
        Different recorded requests that were sent, again and again.
    looked_up
        Those of them that asked by row; the others were asked with the inputs that were recorded, because their row
        was not recorded as it was sent.
    levels
        By ascending rate.
    knee
        Requests a second up to which more of them cost little more time, between the rates tried below and above it;
        None if there is no such rate among those tried.
    """

    model: str
    requests: int
    looked_up: int
    levels: tuple[Level, ...]
    knee: Metric | None
    bottleneck: Bottleneck
    advice: Advice
