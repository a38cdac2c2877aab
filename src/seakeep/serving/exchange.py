"""A request with the place of its answer, and the rules for its head that a parser does not know."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from http import HTTPStatus
from typing import Any, Protocol

from seakeep.errors import SeakeepError
from seakeep.serving.errors import RequestError, body_of, headers_of, status_of

JSON = b"application/json"

COMPRESSED_BYTES = 16 * 1024
"""Size of a body from which on it is worth compressing."""
_LEVEL = 1  # the fastest: the event loop waits meanwhile, about 5 ms for a megabyte
_LENGTH_DIGITS = 20
"""Others in front of us may read no more; Python refuses to read thousands."""
_METHODS = frozenset({b"GET", b"HEAD", b"POST"})
_CROSS_SITE_TYPES = (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data")
"""What a foreign page may make a browser send without asking first."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, and all together, may take up. Times in seconds.

    Attributes
    ----------
    framing_bytes
        What may come with a body beside it: sizes of chunks and what follows them, trailers.
    buffered_bytes
        Bodies of all connections that are on their way or not yet answered.
    linger_s
        How long the rest of a refused request is read and thrown away, so that its answer arrives.
    """

    body_bytes: int
    header_bytes: int = 32 * 1024
    header_count: int = 64
    path_bytes: int = 1024
    chunks: int = 16_384
    framing_bytes: int = 512 * 1024
    pipelined: int = 32
    connections: int = 4096
    buffered_bytes: int = 256 * 1024 * 1024
    header_s: float = 10
    body_s: float = 30
    idle_s: float = 75
    write_s: float = 30
    linger_s: float = 2


class Line(Protocol):
    """The connection that an exchange came by."""

    def lines(self) -> bytes:
        """Header lines that every answer carries at present, each after CRLF."""
        ...

    def flush(self) -> None:
        """Write the answers that are due."""
        ...


class Exchange:
    """One request, and the place of its answer.

    Attributes
    ----------
    method, path
        As sent; the path is without its query.
    headers
        By lower-case name.
    body
        Complete when the application gets it to handle.
    arrived_s
        ``time.perf_counter()`` when the last byte was there.
    answer
        All bytes of the answer, once there is one.
    close
        Whether the connection ends with this answer.
    route, principal
        For the application to remember what it found when it admitted the request.
    """

    __slots__ = ("_line", "answer", "arrived_s", "body", "close", "headers", "method", "path", "principal", "route")

    def __init__(self, line: Line, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> None:
        self._line = line
        self.method, self.path, self.headers = method, path, headers
        self.body = b""
        self.arrived_s = 0.0
        self.answer = b""
        self.close = False
        self.route: Any = None
        self.principal = ""

    def respond(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """Answer; nothing happens if the client has gone. ``headers`` are lines that each begin with CRLF.

        A large body is compressed for a client that accepts gzip.
        """
        if len(body) >= COMPRESSED_BYTES:
            headers += b"\r\nvary: accept-encoding"
            if accepts_gzip(self.headers.get(b"accept-encoding", b"")):
                body = zlib.compress(body, _LEVEL, wbits=31)
                headers += b"\r\ncontent-encoding: gzip"
        self.answer = b"%b%b\r\ncontent-length: %d%b%b%b\r\n\r\n%b" % (
            _status_line(status),
            content_type,
            len(body),
            self._line.lines(),
            headers,
            b"\r\nconnection: close" if self.close else b"",
            b"" if self.method == b"HEAD" else body,
        )
        self._line.flush()

    def fail(self, error: SeakeepError) -> None:
        """Answer with an error."""
        self.respond(status_of(error), body_of(error), headers=headers_of(error))


def check_head(exchange: Exchange, version: str, limits: Limits, hosts: frozenset[bytes]) -> None:
    """Refuse a request by its head.

    Parameters
    ----------
    version
        Of HTTP, as the request states it.
    hosts
        Names that ``Host`` may have (lower case, without port); empty: any.

    Raises
    ------
    RequestError
        It is refused.
    """
    headers = exchange.headers
    if version not in {"1.1", "1.0"}:
        raise RequestError(505, "only HTTP/1.1 is spoken here")
    if exchange.method not in _METHODS:
        raise RequestError(405, "only GET, HEAD and POST are answered here")
    _check_origin(exchange, version, hosts)
    encoding = headers.get(b"transfer-encoding")
    if encoding is not None and (encoding.lower() != b"chunked" or version == "1.0"):
        raise RequestError(501, "only chunked bodies are understood")
    length = headers.get(b"content-length", b"0")
    if len(length) > _LENGTH_DIGITS:
        raise RequestError(400, "Content-Length has too many digits")
    if int(length) > limits.body_bytes:
        raise too_large(limits)
    if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise RequestError(417, "only 'Expect: 100-continue' is understood")
    if headers.get(b"content-encoding", b"gzip").lower() not in {b"gzip", b"identity"}:
        raise RequestError(415, "only gzip is understood as content encoding")


def decompress(exchange: Exchange, body: bytes, limits: Limits) -> bytes:
    """The body as it was before its content encoding.

    Raises
    ------
    RequestError
        It is not one gzip stream, or larger than allowed.
    """
    if exchange.headers[b"content-encoding"].lower() == b"identity":
        return body
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, limits.body_bytes + 1)
    except zlib.error as error:
        raise RequestError(400, "the body is not gzip") from error
    if len(plain) > limits.body_bytes:
        raise too_large(limits)
    if not stream.eof or stream.unused_data:
        raise RequestError(400, "the body is not one complete gzip stream")
    return plain


@functools.lru_cache(256)
def accepts_gzip(accepted: bytes) -> bool:
    """Whether an ``Accept-Encoding`` header names gzip, or ``*``, with a weight above zero (RFC 9110, 12.5.3)."""
    weights = {}
    for one in accepted.lower().split(b","):
        coding, _, parameter = one.partition(b";")
        name, _, weight = parameter.partition(b"=")
        try:
            weights[coding.strip()] = float(weight) if name.strip() == b"q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get(b"gzip", weights.get(b"*", 0.0)) > 0


def too_large(limits: Limits) -> RequestError:
    """What to tell a client whose body is too large."""
    return RequestError(413, f"the body is larger than {limits.body_bytes} bytes", hint="send fewer rows")


def _check_origin(exchange: Exchange, version: str, hosts: frozenset[bytes]) -> None:
    """Refuse what a page of another origin can make a browser send."""
    headers = exchange.headers
    host = headers.get(b"host", b"")
    if not host and version == "1.1":
        raise RequestError(400, "there is no Host header")
    name, _, port = host.rpartition(b":")
    if not port.isdigit():
        name = host
    if hosts and host and name.lower() not in hosts:
        raise RequestError(421, "this server does not answer for that host", hint="ask it by its address")
    if exchange.method != b"POST":
        return
    origin = headers.get(b"origin", b"")
    if origin and origin.rpartition(b"//")[2] != host:
        raise RequestError(403, "requests from pages of other origins are not answered")
    if headers.get(b"content-type", b"").lower().startswith(_CROSS_SITE_TYPES):
        raise RequestError(415, "the body must be JSON", hint="send 'Content-Type: application/json'")


_status_lines: dict[int, bytes] = {}


def _status_line(status: int) -> bytes:
    line = _status_lines.get(status)
    if line is None:
        text = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nx-content-type-options: nosniff\r\ncontent-type: "
        line = _status_lines[status] = text.encode()
    return line
