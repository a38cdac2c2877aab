"""Scores answered requests with the other version, where no client waits for it.

A batch is scored as it was answered, all its rows at once, so that the times of both versions compare. Between two batches
the sockets are looked at: they wait for the shadow no longer than they waited for the answers.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from seakeep.clock import Clock
from seakeep.errors import SeakeepError
from seakeep.records.prediction import COMPARED
from seakeep.serving.batch import Batch, BatchRunner
from seakeep.serving.errors import InternalError
from seakeep.serving.inference import Inputs
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.metrics import Meters
from seakeep.serving.recording import Circumstances, Recording
from seakeep.serving.v1 import RowAnswer

MAX_WAITING = 8192
"""Rows that may wait; more are dropped and counted."""

_log = logging.getLogger("seakeep.serving")


@dataclasses.dataclass(slots=True, eq=False)
class _Job:
    """Answered rows that wait for their shadow; ``rows`` as sent, if the other version needs inputs of its own.

    ``inputs`` is None if the rows failed before they had any.
    """

    version: LoadedVersion
    inputs: Inputs | None
    rows: list[msgspec.Raw]
    answers: list[RowAnswer]
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


class Shadow:
    """A bounded queue of answered rows, worked off in small steps between the ticks.

    Parameters
    ----------
    runner, recording
        Compute inputs; write records.
    meters
        Count what was scored and dropped.
    defer
        Calls a function soon, after the sockets were looked at: an event loop's ``call_soon``.
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
        self._jobs: deque[_Job] = deque()
        self._scheduled = False
        self.waiting = 0

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
        if self.waiting + len(chosen) > MAX_WAITING or (not same and len(rows) < len(chosen)):
            self._meters.of(other.model, other.number).shadow(dropped=len(chosen))
            return
        self._jobs.append(
            _Job(
                version=other,
                inputs=inputs.take(chosen) if inputs else None,
                rows=[] if same else rows,
                answers=[batch.answers[row] for row in chosen],
                principals=principals,
            )
        )
        self.waiting += len(chosen)
        self._schedule()

    def finish(self) -> None:
        """Work off everything that waits, at once."""
        while self._jobs:
            self._score(self._jobs.popleft())

    def _schedule(self) -> None:
        if self._jobs and not self._scheduled:
            self._scheduled = True
            self._defer(self._step)

    def _step(self) -> None:
        self._scheduled = False
        if self._jobs:
            self._score(self._jobs.popleft())
        self._schedule()

    def _score(self, job: _Job) -> None:
        version, inputs, error = job.version, job.inputs, ""
        began_s = time.perf_counter()
        model_us = 0.0
        scores: list[Any] = [math.nan] * len(job.answers)
        try:
            if job.rows or inputs is None:
                inputs = self._runner.inputs(version, job.rows, inputs.times_us if inputs else None)
            asked_s = time.perf_counter()
            scores = version.score(inputs.numbers, inputs.categories).tolist()
            model_us = (time.perf_counter() - asked_s) * 1e6
        except Exception as fault:  # noqa: BLE001 -- the job border
            if len(job.answers) > 1:
                self._jobs.extendleft(reversed(job.alone()))  # so that only the row at fault fails
                return
            error = fault.code if isinstance(fault, SeakeepError) else InternalError.code
            if error == InternalError.code:
                _log.exception("%s:%s failed in the shadow", version.model, version.number)
        self.waiting -= len(job.answers)
        total_us = (time.perf_counter() - began_s) * 1e6
        self._meters.of(version.model, version.number).shadow(scored=len(scores))
        spent = (inputs.decode_us, inputs.features_us) if inputs else (0.0, 0.0)
        stages = (*spent, 0.0, model_us, total_us)
        shared = Circumstances(version, "shadow", self._clock.now_us(), stages, error)
        self._recording.shadowed(shared, inputs or job.rows, job.answers, job.principals, scores)
