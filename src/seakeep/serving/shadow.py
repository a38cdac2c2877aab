"""Scores answered requests with the other version, where no client waits for it.

A batch is scored as it was answered, all its rows at once, so that the times of both versions compare. What is known to be
short is scored between the ticks, where that is cheapest; everything else, lookups and a version's first batch included, in a
thread that a model has for its shadows: a version that is slow or hangs holds its own shadow and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from seakeep.clock import Clock
from seakeep.errors import SeakeepError
from seakeep.records.prediction import COMPARED
from seakeep.serving.admission import TICK_S
from seakeep.serving.apart import Apart
from seakeep.serving.batch import Batch, BatchRunner
from seakeep.serving.errors import InternalError
from seakeep.serving.inference import Inputs
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.metrics import Meters
from seakeep.serving.recording import Circumstances, Recording
from seakeep.serving.v1 import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_WAITING = 8192
"""Rows of a model that may wait; more are dropped and counted."""
FINISH_S = 2.0
"""How long the shadow may take at the end; what is left then is dropped and counted."""

_MEMORY_ROWS = 50
_POLL_S = 0.001

_log = logging.getLogger("seakeep.serving")


@dataclasses.dataclass(slots=True, eq=False)
class _Job:
    """Answered rows that wait for their shadow; ``rows`` as sent, if the other version needs inputs of its own.

    ``inputs`` is None if the rows failed before they had any.
    """

    version: LoadedVersion
    inputs: Inputs | None
    rows: list[msgspec.Raw]
    answers: list[Answer]
    principals: list[str]

    def alone(self) -> list[_Job]:
        """Each of its rows as a job."""
        return [
            _Job(
                version=self.version,
                inputs=self.inputs.take([row]) if self.inputs else None,
                rows=self.rows[row : row + 1],
                answers=[answer],
                principals=[principal],
            )
            for row, (answer, principal) in enumerate(zip(self.answers, self.principals, strict=True))
        ]


class _Scored(NamedTuple):
    """What became of a job. Times in microseconds."""

    inputs: Inputs | None
    scores: NDArray[np.float64]
    fault: Exception | None
    model_us: float
    total_us: float


class _Lane:
    """What waits for its shadow of one model.

    Attributes
    ----------
    running
        The job that is being worked off apart; others wait for it.
    rows
        How many wait, with those of the job that is running.
    row_s
        Seconds that a row of a version has taken lately, by the version's number.
    """

    def __init__(self) -> None:
        self.jobs: deque[_Job] = deque()
        self.running: _Job | None = None
        self.rows = 0
        self.row_s: dict[int, float] = {}

    def short(self, job: _Job) -> bool:
        """Whether a job is known to hold the event loop no longer than a turn may."""
        row_s = self.row_s.get(job.version.number)
        return row_s is not None and not job.rows and len(job.answers) * row_s <= TICK_S

    def worked(self, job: _Job, seconds: float) -> None:
        """Learn from a job."""
        rows, number = len(job.answers), job.version.number
        before_s = self.row_s.setdefault(number, seconds / rows)
        self.row_s[number] = before_s + (seconds / rows - before_s) * rows / (rows + _MEMORY_ROWS)


class Shadow:
    """A bounded queue of answered rows for each model, worked off in small steps between the ticks, or apart from them.

    Parameters
    ----------
    runner, recording
        Compute inputs; write records. The runner is the shadow's own: how long it looks features up is its own affair.
    meters
        Count what was scored and dropped.
    defer
        Calls a function soon, after the sockets were looked at: an event loop's ``call_soon``.

    Attributes
    ----------
    apart
        Where what is not short is scored; None: between the ticks, all the same.
    """

    def __init__(
        self,
        runner: BatchRunner,
        recording: Recording,
        meters: Meters,
        *,
        clock: Clock,
        defer: Callable[[Callable[[], None]], object],
    ) -> None:
        self._runner, self._recording, self._meters = runner, recording, meters
        self._clock, self._defer = clock, defer
        self._lanes: dict[str, _Lane] = {}
        self._scheduled = self._finished = False
        self.apart: Apart | None = None

    @property
    def waiting(self) -> int:
        """Rows that wait for their shadow."""
        return sum(lane.rows for lane in self._lanes.values())

    def offer(self, batch: Batch, other: LoadedVersion) -> None:
        """Let ``other`` score the rows of a batch, if there is room; also those that failed, which it may not have."""
        inputs = batch.inputs
        chosen: list[int] = []
        rows: list[msgspec.Raw] = []
        principals: list[str] = []
        start = 0
        for part in batch.parts:
            if part.role in COMPARED:
                chosen.extend(range(start, start + part.size))
                rows.extend(part.rows)
                principals.extend([part.call.principal] * part.size)
            start += part.size
        if not chosen:
            return
        same = inputs is not None and other.inputs == batch.version.inputs
        lane = self._lanes.setdefault(other.model, _Lane())
        if self._finished or lane.rows + len(chosen) > MAX_WAITING or (not same and len(rows) < len(chosen)):
            self._meters.of(other.model, other.number).shadow(dropped=len(chosen))
            return
        lane.jobs.append(
            _Job(
                version=other,
                inputs=inputs.take(chosen) if inputs else None,
                rows=[] if same else rows,
                answers=[batch.answers[row] for row in chosen],
                principals=principals,
            )
        )
        lane.rows += len(chosen)
        self._schedule()

    def finish(self) -> None:
        """Work off what waits, for at most :data:`FINISH_S`; the event loop stands still meanwhile. Nothing follows it."""
        until_s = time.monotonic() + FINISH_S
        while self.waiting and time.monotonic() < until_s:
            if self.apart:
                self.apart.collect()
            self._step()
            if self.apart and not self._ready():
                time.sleep(_POLL_S)
        self._finished = True
        for lane in self._lanes.values():
            for job in (lane.running, *lane.jobs):
                if job:
                    self._meters.of(job.version.model, job.version.number).shadow(dropped=len(job.answers))
            lane.jobs.clear()
            lane.rows = 0

    def _ready(self) -> list[_Lane]:
        return [lane for lane in self._lanes.values() if lane.jobs and not lane.running]

    def _schedule(self) -> None:
        if not self._scheduled and self._ready():
            self._scheduled = True
            self._defer(self._due)

    def _due(self) -> None:
        self._scheduled = False
        try:
            self._step()
        finally:
            self._schedule()

    def _step(self) -> None:
        """One job of each model."""
        for lane in self._ready():
            job = lane.jobs.popleft()
            with self._border(lane, job):
                if self.apart is None or lane.short(job):
                    self._settle(lane, job, self._score(job))
                else:
                    lane.running = job
                    work, done = functools.partial(self._score, job), functools.partial(self._returned, lane, job)
                    self.apart.run(f"{job.version.model} shadow", work, done)

    def _returned(self, lane: _Lane, job: _Job, scored: _Scored) -> None:
        """A job that was worked off apart is back."""
        lane.running = None
        if not self._finished:
            with self._border(lane, job):
                self._settle(lane, job, scored)
            self._schedule()

    @contextlib.contextmanager
    def _border(self, lane: _Lane, job: _Job) -> Iterator[None]:
        """Drop a job that cannot be worked off, so that its fault reaches neither the next one nor another model's lane."""
        try:
            yield
        except Exception:  # noqa: BLE001 -- the job border
            version = job.version
            _log.exception("%s:%s: %d rows in the shadow are dropped", version.model, version.number, len(job.answers))
            lane.running = None
            lane.rows -= len(job.answers)
            self._meters.of(version.model, version.number).shadow(dropped=len(job.answers))

    def _score(self, job: _Job) -> _Scored:
        """Score a job, on whatever thread; nothing is changed by it, and nothing raised."""
        version, inputs = job.version, job.inputs
        began_s = time.perf_counter()
        model_us, fault = 0.0, None
        scores = np.full(len(job.answers), np.nan)
        try:
            if job.rows or inputs is None:
                inputs = self._runner.inputs(version, job.rows, inputs.times_us if inputs else None)
            asked_s = time.perf_counter()
            scores = version.score(inputs.numbers, inputs.categories)
            model_us = (time.perf_counter() - asked_s) * 1e6
        except Exception as error:  # noqa: BLE001 -- the job border
            fault = error
        return _Scored(inputs, scores, fault, model_us, (time.perf_counter() - began_s) * 1e6)

    def _settle(self, lane: _Lane, job: _Job, scored: _Scored) -> None:
        """Record what was scored; after a fault each row is tried alone, so that only the one at fault fails."""
        version, inputs, fault, error = job.version, scored.inputs, scored.fault, ""
        lane.worked(job, scored.total_us / 1e6)
        if fault:
            if len(job.answers) > 1:
                lane.jobs.extendleft(reversed(job.alone()))
                return
            error = fault.code if isinstance(fault, SeakeepError) else InternalError.code
            if error == InternalError.code:
                _log.error("%s:%s failed in the shadow", version.model, version.number, exc_info=fault)
        spent = (inputs.decode_us, inputs.features_us) if inputs else (0.0, 0.0)
        stages = (*spent, 0.0, scored.model_us, scored.total_us)
        shared = Circumstances(version, "shadow", self._clock.now_us(), stages, error)
        self._recording.shadowed(shared, inputs or job.rows, job.answers, job.principals, scored.scores)
        self._meters.of(version.model, version.number).shadow(scored=len(scored.scores))
        lane.rows -= len(job.answers)  # at the very end: until then the border takes them off
