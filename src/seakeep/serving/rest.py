"""The data plane's routes over HTTP: a thin skin that finds what a path means and turns answers into bytes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from seakeep.clock import Clock, Ids
from seakeep.errors import NotFoundError, SeakeepError
from seakeep.records.prediction import Role
from seakeep.records.version import NAME
from seakeep.serving import prometheus, v2
from seakeep.serving.dataplane import Dataplane
from seakeep.serving.errors import RequestError
from seakeep.serving.exchange import Exchange
from seakeep.serving.inference import Call, Inputs
from seakeep.serving.ingest import Ingest
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.loader import Loading
from seakeep.serving.metrics import Meters, read
from seakeep.serving.ports import Action, Authenticator
from seakeep.serving.v1 import EventsAnswer, PredictAnswer, parse_events, parse_rows

_INFER_LENGTH = b"inference-header-content-length"
_MAX_ROUTES = 1024

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
    dataplane, ingest
        Answer predictions, take events.
    loading
        Tells what is loaded.
    metrics
        The folder of all workers' counters.
    version
        Of the server, for its metadata.
    """

    def __init__(  # noqa: PLR0913 -- one wiring, all by keyword
        self,
        *,
        dataplane: Dataplane,
        ingest: Ingest,
        loading: Callable[[], Loading],
        authenticator: Authenticator,
        meters: Meters,
        metrics: Path,
        clock: Clock,
        ids: Ids,
        max_rows: int,
        version: str,
    ) -> None:
        self._dataplane, self._ingest, self._loading = dataplane, ingest, loading
        self._authenticator, self._meters, self._metrics = authenticator, meters, metrics
        self._clock, self._ids, self._max_rows, self._version = clock, ids, max_rows, version
        self._routes: dict[bytes, Route] = {}
        self.draining = False

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
        """Count a request that was refused."""
        self._meters.server.failed(error.code)

    # Routes

    def _find(self, path: bytes) -> Route:  # noqa: PLR0911 -- one table of paths
        match path.rstrip(b"/").split(b"/")[1:]:
            case [b"v1", b"models", model, b"predict"]:
                return Route(functools.partial(self._predict, _name(model)), posts=True, action="predict")
            case [b"v1", b"events", source]:
                return Route(functools.partial(self._events, _name(source)), posts=True, action="events")
            case [b"v2", b"models", model, *rest]:
                return self._find_model(_name(model), rest)
            case [b"v2"]:
                return Route(self._server_metadata, posts=False, action="predict")
            case [b"v2", b"health", b"live"]:
                return Route(_live, posts=False, action=None)
            case [b"v2", b"health", b"ready"]:
                return Route(self._ready, posts=False, action=None)
            case [b"metrics"]:
                return Route(self._show_metrics, posts=False, action="metrics")
        raise NotFoundError("there is nothing under this path", hint="see /v2 and /v2/models/{model}")

    def _find_model(self, model: str, rest: list[bytes]) -> Route:
        number = 0
        if len(rest) >= 2 and rest[0] == b"versions":
            number, rest = _number(rest[1]), rest[2:]
        match rest:
            case [b"infer"]:
                return Route(functools.partial(self._infer, model, number), posts=True, action="predict")
            case [b"ready"]:
                return Route(functools.partial(self._model_ready, model, number), posts=False, action="predict")
            case []:
                return Route(functools.partial(self._model_metadata, model, number), posts=False, action="predict")
        raise NotFoundError("there is nothing under this path", hint="see /v2/models/{model}")

    def _predict(self, model: str, exchange: Exchange) -> None:
        self._dataplane.traffic_of(model)
        rows = parse_rows(exchange.body, self._max_rows)
        call = Call(
            model=model,
            principal=exchange.principal,
            reply=functools.partial(_answer_rows, exchange),
            arrived_s=exchange.arrived_s,
            parsed_s=time.perf_counter(),
            rows=rows,
        )
        self._dataplane.submit(call)

    def _infer(self, model: str, number: int, exchange: Exchange) -> None:
        version, role = self._choose(model, number)
        length = exchange.headers.get(_INFER_LENGTH)
        request = v2.parse_infer(exchange.body, None if length is None else _length(length), version, self._max_rows)
        rows = len(request.numbers)
        inputs = Inputs(
            numbers=request.numbers,
            categories=request.categories,
            keys=[""] * rows,
            times_us=[self._clock.now_us()] * rows,
            raw=[{}] * rows,
            view_times_us=[[]] * rows,
            unknown=[()] * rows,
        )
        call = Call(
            model=model,
            principal=exchange.principal,
            reply=functools.partial(_answer_infer, exchange, request, version),
            arrived_s=exchange.arrived_s,
            parsed_s=time.perf_counter(),
            direct=inputs,
            version=version,
            role=role,
        )
        self._dataplane.submit(call)

    def _choose(self, model: str, number: int) -> tuple[LoadedVersion, Role]:
        """The version for inputs without a row: the one asked for, or any by its share."""
        if number:
            return self._dataplane.version_of(model, number), "pinned"
        traffic = self._dataplane.traffic_of(model)
        return traffic.choose(self._ids.new() if traffic.split else "")

    def _events(self, source: str, exchange: Exchange) -> None:
        self._ingest.check(source)
        events = parse_events(exchange.body, self._max_rows)
        key = exchange.headers.get(b"idempotency-key", b"").decode("latin-1")
        self._ingest.submit(source, events, key, functools.partial(self._answer_events, exchange))

    def _answer_events(self, exchange: Exchange, outcome: EventsAnswer | SeakeepError) -> None:
        if isinstance(outcome, SeakeepError):
            self._meters.server.failed(outcome.code)
            exchange.fail(outcome)
        else:
            self._meters.server.taken(outcome.accepted)
            exchange.respond(200, _encode(outcome))

    def _server_metadata(self, exchange: Exchange) -> None:
        exchange.respond(200, v2.server_metadata(self._version))

    def _model_metadata(self, model: str, number: int, exchange: Exchange) -> None:
        traffic = self._dataplane.traffic_of(model)
        version = self._dataplane.version_of(model, number) if number else traffic.champion
        exchange.respond(200, v2.model_metadata(version, [one.number for one in traffic.versions]))

    def _model_ready(self, model: str, number: int, exchange: Exchange) -> None:
        version = self._dataplane.version_of(model, number) if number else self._dataplane.traffic_of(model).champion
        exchange.respond(200, _encode({"name": model, "version": str(version.number), "ready": True}))

    def _ready(self, exchange: Exchange) -> None:
        loading = self._loading()
        ready = loading.ready and not self.draining
        told = {"ready": ready, "draining": self.draining, "models": loading.versions, "failed": loading.failures}
        exchange.respond(200 if ready else 503, _encode(told))

    def _show_metrics(self, exchange: Exchange) -> None:
        exchange.respond(200, prometheus.render(read(self._metrics)), prometheus.CONTENT_TYPE)


def _live(exchange: Exchange) -> None:
    exchange.respond(200, b'{"live":true}')


def _answer_rows(exchange: Exchange, call: Call) -> None:
    if call.error:
        exchange.fail(call.error)
        return
    answers = call.answers
    first = answers[0].version
    version = str(first) if all(answer.version == first for answer in answers) else ""
    exchange.respond(200, _encode(PredictAnswer(call.model, version, answers)))


def _answer_infer(exchange: Exchange, request: v2.InferRequest, version: LoadedVersion, call: Call) -> None:
    if call.error:
        exchange.fail(call.error)
        return
    body, length = v2.encode_answer(request, version, call.answers)
    if length is None:
        exchange.respond(200, body)
    else:
        header = b"\r\ninference-header-content-length: %d" % length
        exchange.respond(200, body, b"application/octet-stream", header)


def _name(part: bytes) -> str:
    name = part.decode("latin-1")
    if not NAME.fullmatch(name):
        raise NotFoundError("no model or source has such a name", hint="names are lower-case: a-z 0-9 . _ -")
    return name


def _number(part: bytes) -> int:
    if not part.isdigit() or len(part) > 9 or not int(part):
        raise NotFoundError("no version has such a number", hint="versions are 1, 2, 3 …")
    return int(part)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 12:
        raise RequestError(400, "Inference-Header-Content-Length is not a length")
    return int(value)
