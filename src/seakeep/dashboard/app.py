"""The dashboard as an ASGI application: pages for people, and the same values as JSON for programs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import jinja2
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from seakeep.dashboard import charts, formatting
from seakeep.dashboard.border import SECURITY_HEADERS, Border
from seakeep.dashboard.listening import LOOPBACK
from seakeep.dashboard.source import PageSource
from seakeep.dashboard.timerange import parse_range, range_links, write_moment, write_query
from seakeep.dashboard.values import ModelPage, Page, to_json
from seakeep.errors import AccessError, NotFoundError, RowError, SeakeepError, UnavailableError
from seakeep.records.outputs import NEVER

_STATUS: tuple[tuple[type[SeakeepError], int], ...] = (
    (NotFoundError, 404),
    (RowError, 400),
    (AccessError, 403),
    (UnavailableError, 503),
)


def create_app(
    source: PageSource, *, name: str, hosts: tuple[str, ...] = LOOPBACK, refresh_s: float = 2, past: bool = False
) -> Starlette:
    """The dashboard over a source of values.

    Parameters
    ----------
    name
        The project's name, shown on every page.
    hosts
        Names by which browsers may ask for it; any other ``Host`` is refused, so that no foreign page can reach it by
        rebinding its own name to this address.
    refresh_s
        Seconds between two refreshes of a page that follows now.
    past
        Whether predictions speak for another time than that of the clock, which the pages then say.
    """
    pages = _Pages(source, name=name, refresh_s=refresh_s, past=past)
    return Starlette(
        routes=[
            Route("/", pages.now, methods=["GET"]),
            Route("/now.json", pages.now, methods=["GET"]),
            *_twins("/models/{key}", pages.model),
            *_twins("/predictions/{key}", pages.prediction),
            *_twins("/runs/{key}", pages.run),
            *_twins("/versions/{key}", pages.version),
            Mount("/static", StaticFiles(packages=[("seakeep.dashboard", "static")])),
        ],
        middleware=[Middleware(Border, hosts=hosts)],
        exception_handlers={SeakeepError: pages.fault, HTTPException: pages.fault, Exception: pages.fault},
    )


def _twins(path: str, endpoint: Callable[[Request], Response]) -> tuple[Route, Route]:
    return Route(f"{path}.json", endpoint, methods=["GET"]), Route(path, endpoint, methods=["GET"])


class _Pages:
    """The endpoints: each asks the source for a value, and writes it as a page, as the live part of one, or as JSON."""

    def __init__(self, source: PageSource, *, name: str, refresh_s: float, past: bool) -> None:
        self._source = source
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("seakeep.dashboard", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(formatting.FILTERS)
        self._templates.globals.update(
            project=name,
            refresh=f"{1_000 * refresh_s:.0f}ms",  # htmx takes the point of "0.5s" for a path
            past=past,
            never=NEVER,
            span=formatting.span,
            charts=charts,
            asset=_assets(),
        )

    def now(self, request: Request) -> Response:
        return self._answer(request, "now.html", self._source.now(), live=True)

    def model(self, request: Request) -> Response:
        asked = parse_range(request.query_params)
        page = self._source.model(request.path_params["key"], asked.from_us, asked.to_us)
        ranked = sorted(page.findings, key=lambda finding: -abs(finding.effect))
        return self._answer(
            request,
            "model.html",
            page,
            live=asked.follows_now,
            query=write_query(asked),
            ranges=range_links(asked, page.from_us, page.to_us, first_us=page.first_us, last_us=page.last_us),
            drawn=charts.model_charts(page, quality_metric(page)),
            metric=quality_metric(page),
            asked=[write_moment(end) if end is not None else "" for end in (asked.from_us, asked.to_us)],
            shown=(write_moment(page.from_us), write_moment(page.to_us)),
            findings=ranked,
            strongest=max((abs(finding.effect) for finding in ranked), default=0.0) or 1.0,
        )

    def prediction(self, request: Request) -> Response:
        return self._answer(request, "prediction.html", self._source.prediction(request.path_params["key"]))

    def run(self, request: Request) -> Response:
        return self._answer(request, "run.html", self._source.run(request.path_params["key"]))

    def version(self, request: Request) -> Response:
        return self._answer(request, "version.html", self._source.version(request.path_params["key"]))

    def fault(self, request: Request, error: Exception) -> Response:
        """A fault as a page with its message and hint; of an unforeseen one nothing is shown but that it happened."""
        status, code, message, hint = _explain(error)
        headers = dict(SECURITY_HEADERS)
        headers["HX-Reswap"] = "none"  # a refresh that fails leaves what is shown
        if isinstance(error, UnavailableError):
            headers["Retry-After"] = str(error.retry_after_s)
        if request.url.path.endswith(".json"):
            body = {"error": code, "message": message, "hint": hint}
            return Response(msgspec.json.encode(body), status, headers, "application/json")
        text = self._templates.get_template("error.html").render(
            status=status, code=code, message=message, hint=hint, twin="", live=False
        )
        return Response(text, status, headers, "text/html")

    def _answer(self, request: Request, template: str, page: Page, *, live: bool = False, **more: Any) -> Response:
        path = quote(request.url.path)
        query = more.get("query", "")
        if path.endswith(".json"):
            return Response(to_json(page), media_type="application/json")
        text = self._templates.get_template(template).render(
            page=page,
            live=live,
            here=f"{path}{query}",
            twin=f"{'/now' if path == '/' else path}.json{query}",
            fragment=request.headers.get("hx-request") == "true",
            **more,
        )
        return Response(text, headers={"Vary": "HX-Request"}, media_type="text/html")


def quality_metric(page: ModelPage) -> str:
    """The metric that the model's page draws: recall where it is known, else the first that is."""
    known = dict.fromkeys(name for window in page.quality for name in (*window.realised, *window.estimated))
    rates = ("alert_rate", "base_rate")
    return next((name for name in ("recall", *known) if name in known and name not in rates), "recall")


def _explain(error: Exception) -> tuple[int, str, str, str]:
    if isinstance(error, SeakeepError):
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        return status, error.code, error.message, error.hint
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return 404, "not-found", "there is no page at this address", "start from the first page"
        return error.status_code, "http", error.detail.lower(), ""
    return 500, "fault", "the page could not be made", "the dashboard's log says why"


def _assets() -> Callable[[str], str]:
    """Gives a static file's address with the head of its digest, so that a browser may keep it for ever."""
    root = files("seakeep.dashboard") / "static"
    known: dict[str, str] = {}

    def asset(path: str) -> str:
        if path not in known:
            known[path] = hashlib.sha256((root / path).read_bytes()).hexdigest()[:12]
        return f"/static/{path}?v={known[path]}"

    return asset
