from __future__ import annotations

import functools
import json
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.serving_rig import FileFeatures, ListSink, Rig
from tests.serving_runs import run, serving

from seakeep.clock import FixedClock, TimeOrderedIds
from seakeep.config import ServingSettings
from seakeep.serving.admission import TICK_ROWS, Queue
from seakeep.serving.batch import BatchRunner
from seakeep.serving.dataplane import Dataplane
from seakeep.serving.inference import Call, Inputs
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.metrics import Meters, read
from seakeep.serving.recording import Recording
from seakeep.serving.routing import Traffic
from seakeep.serving.shadow import Shadow

NOW_US = 1_372_636_800_000_000


class Plane:
    """A data plane without sockets: what it defers happens in :meth:`turn`, one turn of an event loop."""

    def __init__(
        self, rig: Rig, *, mode: str = "wall", max_in_flight: int = 1000, queue_ms: int = 10_000, **more: Any
    ) -> None:
        self.rig, self.later, self.sink = rig, deque(), ListSink()
        self.features, self.clock = FileFeatures(rig.folder / "features.jsonl"), FixedClock(NOW_US)
        ids = TimeOrderedIds(self.clock)
        self.meters = Meters(rig.metrics, 0)
        self.runner = BatchRunner(self.features, clock=self.clock, ids=ids, mode=mode)
        self.recording = Recording(self.sink, self.meters, clock=self.clock, ids=ids)
        self.shadow = Shadow(self.runner, self.recording, self.meters, clock=self.clock, defer=self.later.append)
        settings = ServingSettings(max_in_flight=max_in_flight, queue_ms=queue_ms, models=more.pop("models", {}))
        self.dataplane = Dataplane(
            self.runner,
            self.recording,
            self.shadow,
            defer=self.later.append,
            settings=settings,
            **more,
        )
        self.queue = self.dataplane._queues["late"] = Queue(queue_ms / 1000)
        self.queue._limit_rows = TICK_ROWS  # a turn takes all it can from the beginning
        self.replies: list[Call] = []

    def serve(self, champion: LoadedVersion, candidate: LoadedVersion | None = None, weight: float = 0.0) -> None:
        self.dataplane.traffic = {champion.model: Traffic(champion, candidate, weight)}

    def call(self, *rows: Any, **more: Any) -> Call:
        """Rows may be objects, or JSON."""
        texts = [msgspec.Raw(one if isinstance(one, bytes) else json.dumps(one).encode()) for one in rows]
        now_s = time.perf_counter()
        parts = {
            "model": "late",
            "principal": "me",
            "reply": self.replies.append,
            "arrived_s": now_s,
            "parsed_s": now_s,
        }
        return Call(**(parts | {"rows": texts} | more))

    def ask(self, *rows: Any, **more: Any) -> Call:
        call = self.call(*rows, **more)
        self.dataplane.submit(call)
        return call

    def turn(self) -> None:
        for _ in range(len(self.later)):
            self.later.popleft()()

    def finish(self) -> None:
        while self.later:
            self.turn()

    def roles(self) -> list[str]:
        return [record.role for record in self.sink.records]

    def counted(self) -> dict[str, Any]:
        """Counters and errors by version, as ``late:1`` (``:0`` for none)."""
        return {f"{one.model}:{one.version}": one.counters | one.errors for one in read(self.rig.metrics).versions}


def direct(*distances: float) -> Inputs:
    """Inputs of rows whose client sent them."""
    count = len(distances)
    return Inputs(
        numbers=np.column_stack([np.full(count, np.nan), np.array(distances)]),
        categories=np.full((count, 1), "AA", dtype=object),
        keys=[""] * count,
        times_us=[NOW_US] * count,
        raw=[{}] * count,
        view_times_us=[[]] * count,
        unknown=[()] * count,
    )


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
def plane(rig: Rig) -> Plane:
    """Version 1 answers alone."""
    plane = Plane(rig)
    plane.serve(rig.load(rig.put(1)))
    return plane


@pytest.fixture
def make_plane(rig: Rig):
    return functools.partial(Plane, rig)


@pytest.fixture
def direct_inputs():
    return direct


@pytest.fixture
def serve(rig: Rig):
    """``async with serve(...) as service``: keyword arguments are settings, or parts of the context."""
    return functools.partial(serving, rig)


@pytest.fixture
def on_loop():
    return run
