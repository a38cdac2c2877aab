"""The border every request crosses: who may be asked for by name, which methods exist, and what browsers are told."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer: only our own files run or load, nobody frames the page, and nothing of it is kept."""

_KEEP = "public, max-age=31536000, immutable"


class Border:
    """Refuses foreign names and every method but GET and HEAD; adds the security headers to what passes.

    Parameters
    ----------
    hosts
        Accepted names in the ``Host`` header, without port; an IPv6 address stands in its brackets.
    """

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                if scope["path"].startswith("/static/") and message["status"] == 200 and scope["query_string"]:
                    headers["Cache-Control"] = _KEEP
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        names = Headers(scope=scope).getlist("host")
        if len(names) != 1 or _without_port(names[0]) not in self._hosts:
            return PlainTextResponse("this dashboard does not answer to that name\n", 421)
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("the dashboard only shows\n", 405, {"Allow": "GET, HEAD"})
        return None


def _without_port(host: str) -> str:
    name, separator, port = host.lower().rpartition(":")
    return name if separator and port.isdecimal() and not name.endswith(":") else host.lower()
