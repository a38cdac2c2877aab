"""The data plane's routes over HTTP: a thin skin that finds what a path means and turns answers into bytes."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from seakeep.errors import NotFoundError, SeakeepError
from seakeep.serving import openapi, priority, prometheus, routes, v2
from seakeep.serving.dataplane import Dataplane
from seakeep.serving.deadline import of_headers
from seakeep.serving.errors import RequestError
from seakeep.serving.exchange import Exchange
from seakeep.serving.inference import Call, Trace
from seakeep.serving.ingest import Ingest
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.metrics import Meters, read
from seakeep.serving.observer import Observer
from seakeep.serving.open_inference import Live, ModelReady, OpenInference, model_name, version_number
from seakeep.serving.ports import Action, Authenticator
from seakeep.serving.tensors import InferRequest
from seakeep.serving.v1 import EventsAnswer, PredictAnswer, parse_events, parse_rows

_INFER_LENGTH = b"inference-header-content-length"
_MAX_ROUTES = 1024
METRICS_S = 0.5
"""How long a rendered page of metrics is given again, in seconds: to render it takes as long as many predictions."""

_encode = msgspec.json.Encoder().encode


class Route(NamedTuple):
    """What a path means: who answers it, whether it takes a body, and what one must be allowed to do."""

    handle: Callable[[Exchange], None]
    posts: bool
    action: Action | None


class Rest:
    """The HTTP application.

    Parameters
    ----------
    protocol
        Means what the Open Inference Protocol's requests mean.
    dataplane, ingest
        Answer predictions, take events.
    metrics
        The folder of all workers' counters.
    observer
        Is told of requests; None: nobody is.
    """

    def __init__(
        self,
        protocol: OpenInference,
        *,
        dataplane: Dataplane,
        ingest: Ingest,
        authenticator: Authenticator,
        meters: Meters,
        metrics: Path,
        observer: Observer | None = None,
    ) -> None:
        self._ranks = protocol.ranks
        self._protocol, self._dataplane, self._ingest = protocol, dataplane, ingest
        self._authenticator, self._meters, self._folder = authenticator, meters, metrics
        self._observer = observer
        self._routes: dict[bytes, Route] = {}
        self._page, self._page_s = b"", -math.inf

    # The protocol's application

    def admit(self, exchange: Exchange) -> None:
        """Find the route and check the principal, before the body is read."""
        route = self._routes.get(exchange.path)
        if route is None:
            route = self._find(exchange.path)
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            self._routes[exchange.path] = route
        if route.posts is not (exchange.method == b"POST"):
            raise RequestError(405, f"this path takes {'POST' if route.posts else 'GET'}")
        if route.action:
            authorization = exchange.headers.get(b"authorization", b"")
            exchange.principal = self._authenticator.check(authorization, route.action)
        exchange.route = route.handle

    @staticmethod
    def handle(exchange: Exchange) -> None:
        """Answer a complete request."""
        exchange.route(exchange)

    def refused(self, error: SeakeepError) -> None:
        """Count a request that was refused, and tell of it."""
        self._meters.server.failed(error.code)
        if self._observer:
            self._observer.refused(error)

    # Routes

    def _find(self, path: bytes) -> Route:
        found = routes.find(path)
        if found is None:
            raise NotFoundError(
                "there is nothing under this path", hint="see /openapi.json, /v2 and /v2/models/{model}"
            )
        operation, named = found
        handle = getattr(self, f"_{operation.name}")
        names = {name: version_number(part) if name == "number" else model_name(part) for name, part in named.items()}
        return Route(functools.partial(handle, **names), operation.posts, operation.action)

    def _predict(self, exchange: Exchange, model: str) -> None:
        self._dataplane.traffic_of(model)
        rank = self._ranks.of(exchange.principal, exchange.headers)
        self._dataplane.check(model, rank, exchange.arrived_s)
        deadline_s = of_headers(exchange.headers, exchange.arrived_s)
        rows = parse_rows(exchange.body, self._protocol.max_rows)
        call = Call(
            model=model,
            principal=exchange.principal,
            reply=functools.partial(_answer_rows, exchange),
            arrived_s=exchange.arrived_s,
            parsed_s=time.perf_counter(),
            deadline_s=deadline_s,
            rank=rank,
            rows=rows,
            trace=self._trace(exchange),
        )
        self._dataplane.submit(call)

    def _infer(self, exchange: Exchange, model: str, number: int = 0) -> None:
        chosen = self._protocol.choose(model, number)
        principal = exchange.principal
        rank = self._ranks.of(principal, exchange.headers)
        # The body may yet ask for a higher class; whoever could not be let in even so is not read.
        self._dataplane.check(model, self._ranks.most(principal), exchange.arrived_s)
        length = exchange.headers.get(_INFER_LENGTH)
        json_bytes = None if length is None else _length(length)
        request = v2.parse_infer(exchange.body, json_bytes, chosen[0], self._protocol.max_rows)
        if priority.HEADER in exchange.headers and not request.priority:
            request = msgspec.structs.replace(request, priority=rank + 1)
        self._protocol.submit(
            request,
            chosen,
            functools.partial(_answer_infer, exchange, request, chosen[0]),
            principal=principal,
            arrived_s=exchange.arrived_s,
            deadline_s=of_headers(exchange.headers, exchange.arrived_s),
            trace=self._trace(exchange),
        )

    def _trace(self, exchange: Exchange) -> Trace | None:
        return self._observer.begin(exchange.headers.get(b"traceparent", b"")) if self._observer else None

    def _events(self, exchange: Exchange, source: str) -> None:
        self._ingest.check(source)
        events = parse_events(exchange.body, self._protocol.max_rows)
        key = exchange.headers.get(b"idempotency-key", b"").decode("latin-1")
        self._ingest.submit(source, events, key, functools.partial(self._answer_events, exchange))

    def _answer_events(self, exchange: Exchange, outcome: EventsAnswer | SeakeepError) -> None:
        if isinstance(outcome, SeakeepError):
            self.refused(outcome)
            exchange.fail(outcome)
        else:
            self._meters.server.taken(outcome.accepted)
            exchange.respond(200, _encode(outcome))

    def _server_metadata(self, exchange: Exchange) -> None:
        exchange.respond(200, _encode(self._protocol.server()))

    def _model_metadata(self, exchange: Exchange, model: str, number: int = 0) -> None:
        exchange.respond(200, _encode(self._protocol.model(model, number)))

    def _model_ready(self, exchange: Exchange, model: str, number: int = 0) -> None:
        version = self._protocol.version(model, number)
        exchange.respond(200, _encode(ModelReady(model, str(version.number), ready=True)))

    @staticmethod
    def _live(exchange: Exchange) -> None:
        exchange.respond(200, _encode(Live(live=True)))

    def _ready(self, exchange: Exchange) -> None:
        told = self._protocol.readiness()
        exchange.respond(200 if told.ready else 503, _encode(told))

    def _openapi(self, exchange: Exchange) -> None:
        exchange.respond(200, openapi.document(self._protocol.server().version))

    def _metrics(self, exchange: Exchange) -> None:
        now_s = time.monotonic()
        if now_s - self._page_s >= METRICS_S:
            self._page, self._page_s = prometheus.render(read(self._folder)), now_s
        exchange.respond(200, self._page, prometheus.CONTENT_TYPE)


def _answer_rows(exchange: Exchange, call: Call) -> None:
    if call.error:
        exchange.fail(call.error)
        return
    answers = call.answers
    first = answers[0].version
    version = str(first) if all(answer.version == first for answer in answers) else ""
    exchange.respond(200, _encode(PredictAnswer(call.model, version, answers)))


def _answer_infer(exchange: Exchange, request: InferRequest, version: LoadedVersion, call: Call) -> None:
    if call.error:
        exchange.fail(call.error)
        return
    body, length = v2.encode_answer(request, version, call.answers)
    if length is None:
        exchange.respond(200, body)
    else:
        header = b"\r\ninference-header-content-length: %d" % length
        exchange.respond(200, body, b"application/octet-stream", header)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 12:
        raise RequestError(400, "Inference-Header-Content-Length is not a length")
    return int(value)
