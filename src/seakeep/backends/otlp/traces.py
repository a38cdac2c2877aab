"""Spans to an OpenTelemetry collector, from a thread of their own: serving neither waits for it nor fails with it."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

if TYPE_CHECKING:
    from seakeep.serving.ports import Traced

MOST_WAITING = 2048
"""Requests that wait to be sent; more are dropped and counted."""
TOGETHER = 128
"""Requests sent in one message, about 9 spans each."""
PAUSE_S = 1.0
"""How long requests are gathered, in seconds."""
PATIENCE_S = 5.0
"""Longest wait for the collector, in seconds; at the end of the worker, a last one."""

_FLAGS = TraceFlags(TraceFlags.SAMPLED)
_log = logging.getLogger("seakeep.serving")


class OtlpTraces:
    """A bounded queue of traced requests and the thread that sends them.

    Parameters
    ----------
    endpoint
        URL of the collector's ``/v1/traces``. Headers, such as a token, and certificates come from OpenTelemetry's own
        variables (``OTEL_EXPORTER_OTLP_HEADERS`` and others).
    service
        Name of the service that the spans are of.
    version
        Of this program.

    Attributes
    ----------
    dropped
        Requests that found the queue full, or that the collector did not take.
    """

    def __init__(self, endpoint: str, *, service: str, version: str) -> None:
        self._endpoint = endpoint
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # a collector that is away is told once, here
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=PATIENCE_S)
        self._resource = Resource.create({"service.name": service, "service.version": version})
        self._scope = InstrumentationScope("seakeep.serving", version)
        self._queue: deque[Traced] = deque()
        self._ending = threading.Event()
        self._away = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def put(self, traced: Traced) -> None:
        """Take a request to be told of; drop it if too many wait."""
        if len(self._queue) >= MOST_WAITING:
            self.dropped += 1
        else:
            self._queue.append(traced)

    def close(self) -> None:
        """Send what waits, if the collector takes it in time, and end."""
        self._ending.set()
        self._thread.join(PATIENCE_S)
        self._exporter.shutdown()

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ending.wait(PAUSE_S)
            while self._queue and self._send([self._queue.popleft() for _ in range(min(TOGETHER, len(self._queue)))]):
                pass

    def _send(self, batch: list[Traced]) -> bool:
        """Whether the collector took a batch; if not, the batch is lost: the newest requests say more."""
        spans = [span for traced in batch for span in self._spans(traced)]
        taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        if not taken:
            self.dropped += len(batch)
        if taken is self._away:
            self._away = not taken
            if taken:
                _log.warning("the collector %s takes traces again; %d were lost", self._endpoint, self.dropped)
            else:
                _log.warning("the collector %s takes no traces; they are lost until it does", self._endpoint)
        return taken

    def _spans(self, traced: Traced) -> list[ReadableSpan]:
        root = self._context(traced.trace_id)
        parent = SpanContext(traced.trace_id, traced.parent, is_remote=True, trace_flags=_FLAGS)
        failed = {"error.type": traced.error} if traced.error else {}
        spans = [
            ReadableSpan(
                name=traced.name,
                context=root,
                parent=parent if traced.parent else None,
                resource=self._resource,
                attributes={**traced.attributes, **failed},
                kind=SpanKind.SERVER,
                status=Status(StatusCode.ERROR, traced.error) if traced.error else Status(),
                start_time=traced.start_ns,
                end_time=traced.end_ns,
                instrumentation_scope=self._scope,
            )
        ]
        spans += [
            ReadableSpan(
                name=stage.name,
                context=self._context(traced.trace_id),
                parent=root,
                resource=self._resource,
                start_time=stage.start_ns,
                end_time=stage.end_ns,
                instrumentation_scope=self._scope,
            )
            for stage in traced.stages
        ]
        return spans

    @staticmethod
    def _context(trace_id: int) -> SpanContext:
        return SpanContext(trace_id, secrets.randbits(64) or 1, is_remote=False, trace_flags=_FLAGS)
