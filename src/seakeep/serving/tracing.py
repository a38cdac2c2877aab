"""Traces of requests: which are sampled, and the spans of a request from what was measured anyway.

References
----------
W3C Trace Context, level 1 (the header ``traceparent``).
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from seakeep.clock import Clock, id_number
from seakeep.serving.batch import Batch
from seakeep.serving.inference import Part, Trace
from seakeep.serving.ports import SpanSink, Stage, Traced

MOST_IDS = 16
"""Prediction ids of one request that its span names."""

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class Tracing:
    """Decides which requests are traced, and hands on their spans once they were answered.

    A caller's decision is honoured, either way. Of the others a share is traced: such a trace has the id of the
    request's first prediction, all 128 bits of it, so that a prediction leads to its trace.

    Parameters
    ----------
    sink
        Takes what is to be told, without blocking.
    share
        Of requests that come without a caller's decision, 0 to 1.
    """

    def __init__(self, sink: SpanSink, *, share: float, clock: Clock) -> None:
        self._sink, self._share, self._clock = sink, share, clock
        self._draw = random.Random().random  # noqa: S311 -- a sample, not a secret

    def begin(self, traceparent: bytes) -> Trace | None:
        """How a request with this header (``b""``: none) is traced; None: not at all."""
        caller = parse_traceparent(traceparent) if traceparent else None
        if caller:
            return caller.trace if caller.sampled else None
        return Trace(0, 0) if self._draw() < self._share else None

    def answered(self, batches: Sequence[Batch]) -> None:
        """Tell of the traced requests among those of a turn, which were answered and recorded."""
        found: dict[int, list[tuple[Batch, Part, int]]] = {}
        for batch in batches:
            start = 0
            for part in batch.parts:
                if part.call.trace:
                    found.setdefault(id(part.call), []).append((batch, part, start))
                start += part.size
        if found:
            # What was measured is in a counter's seconds; a trace speaks of moments.
            offset_ns = self._clock.now_us() * 1000 - time.perf_counter_ns()
            for executed in found.values():
                self._sink.put(_traced(executed, offset_ns))


class Caller(NamedTuple):
    """What a caller says of a trace: where it is in it, and whether it is recorded."""

    trace: Trace
    sampled: bool


def parse_traceparent(header: bytes) -> Caller | None:
    """What a ``traceparent`` header says; None where it is not valid: the trace begins anew then, as W3C asks."""
    match = _PARENT.fullmatch(header)
    if match is None:
        return None
    version, trace_id, parent, flags, more = match.groups()
    trace = Trace(int(trace_id, 16), int(parent, 16))
    if version == b"ff" or (version == b"00" and more) or not all(trace):
        return None
    return Caller(trace, bool(int(flags, 16) & _SAMPLED))


def trace_id(trace: Trace | None, prediction: str) -> str:
    """The trace of a request in hexadecimal, by the id of its first prediction; ``""`` if it is not traced."""
    if not trace or not (trace.trace_id or prediction):
        return ""
    return f"{trace.trace_id or id_number(prediction):032x}"


def _traced(executed: list[tuple[Batch, Part, int]], offset_ns: int) -> Traced:
    batch, part, start = executed[0]
    call = part.call
    given = call.trace or Trace(0, 0)
    ids = [one.batch.answers[one.at].id for one in _rows(executed)]

    def moment(seconds: float) -> int:
        return int(seconds * 1e9) + offset_ns

    stages = [Stage("parse", moment(call.arrived_s), moment(call.parsed_s))]
    for one, _, _ in executed:
        stages += [Stage(name, moment(begin), moment(end)) for name, begin, end in _stages(one, call.parsed_s)]
    stages.append(Stage("serialise", moment(call.replied_s), moment(call.done_s)))
    recorded_s = max(one.recorded_s for one, _, _ in executed)
    stages.append(Stage("record", moment(call.done_s), moment(max(recorded_s, call.done_s))))
    return Traced(
        trace_id=given.trace_id or id_number(batch.answers[start].id),
        parent=given.parent,
        name=f"predict {call.model}",
        start_ns=moment(call.arrived_s),
        end_ns=moment(call.done_s),
        stages=tuple(stages),
        attributes={
            "seakeep.model": call.model,
            "seakeep.version": ",".join(sorted({str(one.version.number) for one, _, _ in executed})),
            "seakeep.rows": call.size,
            "seakeep.batch_rows": sum(each.size for each in batch.parts),
            "seakeep.prediction_ids": tuple(ids[:MOST_IDS]),
        },
        error=call.error.code if call.error else "",
    )


class _Row(NamedTuple):
    batch: Batch
    at: int


def _rows(executed: list[tuple[Batch, Part, int]]) -> Iterator[_Row]:
    for batch, part, start in executed:
        for at in range(start, start + part.size):
            yield _Row(batch, at)


def _stages(batch: Batch, parsed_s: float) -> Iterator[tuple[str, float, float]]:
    """The stages of a batch: name, begin and end as the counter's seconds."""
    at = batch.started_s
    yield "queue", min(parsed_s, at), at
    spent = (batch.inputs.decode_us, batch.inputs.features_us) if batch.inputs else (0.0, 0.0)
    for name, us in zip(("validate", "features", "model"), (*spent, batch.model_us), strict=True):
        if us:
            yield name, at, at + us / 1e6
            at += us / 1e6
