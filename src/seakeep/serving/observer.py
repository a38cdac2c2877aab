"""All who are told of requests beside the counters: the log, and whoever collects traces."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from seakeep.errors import SeakeepError
from seakeep.serving.batch import Batch
from seakeep.serving.inference import Call, Trace
from seakeep.serving.logs import AccessLog
from seakeep.serving.tracing import Tracing


@dataclasses.dataclass(frozen=True, slots=True)
class Observer:
    """What the transports and the data plane tell; ``tracing`` is None where nothing is traced."""

    log: AccessLog
    tracing: Tracing | None = None

    def begin(self, traceparent: bytes) -> Trace | None:
        """How a request is traced, by the header of that name (``b""``: none); None: not at all."""
        return self.tracing.begin(traceparent) if self.tracing else None

    def refused(self, error: SeakeepError) -> None:
        """A request was refused before it was one for a prediction."""
        self.log.refused(error)

    def answered(self, calls: Sequence[Call], batches: Sequence[Batch]) -> None:
        """The calls of a turn were answered, and the batches they were executed in recorded."""
        self.log.answered(calls, batches)
        if self.tracing:
            self.tracing.answered(batches)
