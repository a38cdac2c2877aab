"""Turns what was computed into records and counts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from seakeep.clock import Clock, Ids
from seakeep.errors import RecorderError, ServingError
from seakeep.records.prediction import Prediction, Role
from seakeep.serving.batch import Batch, by_class
from seakeep.serving.inference import Call, Inputs, Part
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.metrics import RUNGS, Meters
from seakeep.serving.ports import RecordSink
from seakeep.serving.v1 import UNREADABLE, Answer, ClassAnswer, RowAnswer

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stages = tuple[float, float, float, float, float]
"""Microseconds in parse (with validate), features, queue, model, and in all."""


class Circumstances(NamedTuple):
    """What the records of rows that were computed together have in common; see :class:`Prediction`."""

    version: LoadedVersion
    role: Role
    recorded_us: int
    stages: Stages
    error: str = ""


class _Row(NamedTuple):
    numbers: list[float]
    categories: list[str]
    view_times_us: list[int]
    time_us: int
    raw: dict[str, Any]


class Recording:
    """Writes predictions to the flight recorder and counts them.

    Parameters
    ----------
    sink
        The recorder's pen.
    meters
        The worker's counters.
    """

    def __init__(self, sink: RecordSink, meters: Meters, *, clock: Clock, ids: Ids) -> None:
        self._sink, self._meters, self._clock, self._ids = sink, meters, clock, ids

    def number(self, batch: Batch) -> None:
        """Take the numbers of a batch's records; to be called before its answers go out.

        So a record that a crash keeps from being made after its answer was sent is counted as missing.
        """
        batch.sequence = self._sink.next_sequence(len(batch.answers))
        batch.due = len(batch.answers)

    def answered(self, batch: Batch) -> None:
        """Record a batch whose calls were answered, or are about to be."""
        began_s = time.perf_counter()
        now_us = self._clock.now_us()
        version = batch.version
        rows = _rows(batch.inputs) if batch.inputs else _without_inputs(batch.parts[0].rows, now_us)
        start = 0
        for part in batch.parts:
            stop = start + part.size
            stages = _stages(batch, part)
            fault = part.call.error or part.error
            error = fault.code if fault else ""
            shared = Circumstances(version, part.role, now_us, stages, error)
            principal, pairs = part.call.principal, part.instead_of
            for place in range(start, stop):
                pair = pairs[place - start] if pairs else ""
                answer, sequence = batch.answers[place], batch.sequence + place
                batch.due -= self._write(shared, sequence, answer, rows[place], principal, pair=pair)
            start = stop
        batch.recorded_s = time.perf_counter()
        batch.record_us = (batch.recorded_s - began_s) * 1e6

    def count(self, batch: Batch) -> None:
        """Count a batch that was answered and recorded, in whichever order."""
        meter = self._meters.of(batch.version.model, batch.version.number)
        unknown = batch.inputs.unknown if batch.inputs else []
        start = answered = 0
        for part in batch.parts:
            stop = start + part.size
            fault = part.call.error or part.error
            if fault:
                meter.failed(fault.code)
            else:
                meter.answered(part.size, sum(map(len, unknown[start:stop])), _alone(batch, part.call))
                answered += 1
                if part.role in RUNGS:
                    meter.stood_in(part.role, part.size)
            start = stop
        spent = (batch.inputs.decode_us, batch.inputs.features_us) if batch.inputs else (0.0, 0.0)
        meter.worked(answered, (*spent, batch.model_us, batch.record_us))

    def cache_missed(self, part: Part) -> None:
        """Count rows that a cache was asked for in vain."""
        self._meters.of(part.version.model, part.version.number).cache_missed(part.size)

    @property
    def comes_first(self) -> bool:
        """Whether answers wait for their records."""
        return self._sink.answers_wait

    def settle(self, calls: Sequence[Call], batches: Sequence[Batch]) -> None:
        """Wait until every record of a turn's batches is durable; else no call is answered with what was computed."""
        missing = any(batch.due for batch in batches)
        fault = RecorderError("the recorder has no room", hint="try again later") if missing else None
        try:
            self._sink.commit()
        except RecorderError as error:
            fault = error
        for call in calls if fault else ():
            if not call.error:
                call.error, call.answers = fault, []

    def unrouted(self, code: str) -> None:
        """Count a call that reached no version."""
        self._meters.server.failed(code)

    def shadowed(
        self, shared: Circumstances, inputs: Inputs | Sequence[msgspec.Raw], answered: Sequence[Answer], principals: Sequence[str],
        scores: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Record rows scored in the shadow of ``answered``; a row whose score is no number has failed, and it alone.

        Parameters
        ----------
        inputs
            Of the rows, or the rows as sent if they failed before they had inputs.
        scores
            As the version gives them.
        """
        failed = shared._replace(error=shared.error or ServingError.code)
        rows = _rows(inputs) if isinstance(inputs, Inputs) else _without_inputs(inputs, shared.recorded_us)
        twins = self._twins(shared.version, answered, scores)
        for row, answer, principal, twin in zip(rows, answered, principals, twins, strict=True):
            told = shared if math.isfinite(twin.score) else failed
            self._write(told, self._sink.next_sequence(), twin, row, principal, pair=answer.id)

    def _twins(
        self, version: LoadedVersion, answered: Sequence[Answer], scores: NDArray[np.float64]
    ) -> Iterator[Answer]:
        """What a version would have answered; without a number for every class the score is none either."""
        if scores.ndim == 1:
            for answer, score in zip(answered, scores.tolist(), strict=True):
                yield RowAnswer(self._ids.new(), answer.key, score, score >= version.threshold, 0, ())
            return
        whole: list[bool] = np.asarray(np.isfinite(scores).all(axis=1)).tolist()
        for answer, named, told in zip(answered, by_class(version.outputs.names, scores), whole, strict=True):
            name, score, probabilities = named
            yield ClassAnswer(self._ids.new(), answer.key, name, score if told else math.nan, probabilities, 0, ())

    def _write(
        self, shared: Circumstances, sequence: int, answer: Answer, row: _Row, principal: str, *, pair: str = ""
    ) -> bool:
        """Record a row; False if there was no room."""
        version = shared.version
        parse_us, features_us, queue_us, model_us, total_us = shared.stages
        record = Prediction(
            sequence=sequence,
            id=answer.id,
            model=version.model,
            version=version.number,
            bundle=version.bundle,
            role=shared.role,
            pair=pair,
            time_us=row.time_us,
            recorded_us=shared.recorded_us,
            key=answer.key,
            principal=principal,
            request=row.raw,
            numbers=row.numbers,
            categories=row.categories,
            feature_times_us=row.view_times_us,
            score=math.nan if shared.error else answer.score,
            decision=answer.decision and not shared.error,
            parse_us=parse_us,
            features_us=features_us,
            queue_us=queue_us,
            model_us=model_us,
            total_us=total_us,
            error=shared.error,
        )
        if isinstance(answer, ClassAnswer) and not shared.error:
            record = msgspec.structs.replace(record, scores=tuple(answer.probabilities.values()), answer=answer.answer)
        kept = self._sink.append(record)
        if not kept:
            self._meters.of(version.model, version.number).gap()
        return kept


def _rows(inputs: Inputs) -> list[_Row]:
    return list(
        map(
            _Row,
            inputs.numbers.tolist(),
            inputs.categories.tolist(),
            inputs.view_times_us,
            inputs.times_us,
            inputs.raw,
        )
    )


def _without_inputs(sent: Sequence[msgspec.Raw], now_us: int) -> list[_Row]:
    """Rows that failed before they had inputs."""
    return [_Row([], [], [], now_us, _object(row)) for row in sent]


def _object(sent: msgspec.Raw) -> dict[str, Any]:
    try:
        return msgspec.json.decode(sent, type=dict[str, Any])
    except UNREADABLE:
        return {}


def _stages(batch: Batch, part: Part) -> Stages:
    call = part.call
    parse_us = (call.parsed_s - call.arrived_s) * 1e6
    features_us = 0.0
    if batch.inputs:
        parse_us += batch.inputs.decode_us
        features_us = batch.inputs.features_us
    done_s = call.done_s or time.perf_counter()  # where the record comes first, the answer is still to be sent
    return parse_us, features_us, _queue_us(batch, call), batch.model_us, (done_s - call.arrived_s) * 1e6


def _alone(batch: Batch, call: Call) -> tuple[float, float, float, float]:
    """Microseconds of a call itself in parse, queue and serialise, and in all."""
    return (
        (call.parsed_s - call.arrived_s) * 1e6,
        _queue_us(batch, call),
        (call.done_s - call.replied_s) * 1e6,
        (call.done_s - call.arrived_s) * 1e6,
    )


def _queue_us(batch: Batch, call: Call) -> float:
    return max(0.0, (batch.started_s - call.parsed_s) * 1e6)
