"""HTTP/1.1 on a socket: what a request may take up and how long, and answers in the order of the requests.

llhttp (through httptools) parses, strictly. This module adds what a parser does not know: sizes, counts, deadlines and
back pressure. Everything that a client can make us hold is bounded.

References
----------
RFC 9110 and 9112 (HTTP semantics, HTTP/1.1).
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from typing import Protocol, cast

import httptools

from seakeep.clock import MICROSECONDS, Clock
from seakeep.errors import SeakeepError, UnavailableError
from seakeep.serving.errors import InternalError, RequestError
from seakeep.serving.exchange import Exchange, Limits, check_head, decompress, too_large
from seakeep.serving.heads import Heads

SWEEP_S = 0.5
"""How often deadlines are looked at, in seconds."""
PIECE_BYTES = 1024
"""The parser is given no more at once, but for the rest of a body: it cannot be stopped, and small requests are many."""

_log = logging.getLogger("seakeep.serving")
_SINGLE = frozenset(
    {
        b"host", b"authorization", b"content-type", b"content-encoding", b"expect", b"origin", b"transfer-encoding",
        b"inference-header-content-length", b"idempotency-key", b"x-envoy-expected-rq-timeout-ms",
        b"seakeep-priority",
    }
)  # fmt: skip
"""Headers we read: a second one is refused, so that nobody in front of us can have read another value."""


class Application(Protocol):
    """What stands behind the protocol."""

    def admit(self, exchange: Exchange) -> None:
        """Look at the head of a request; a SeakeepError refuses it before its body is read."""
        ...

    def handle(self, exchange: Exchange) -> None:
        """Answer a complete request, now or later; a SeakeepError becomes its answer."""
        ...

    def refused(self, error: SeakeepError) -> None:
        """A request was refused before it was answered."""
        ...


class HttpServer:
    """What the connections of a worker share.

    Parameters
    ----------
    application
        Answers the requests.
    limits
        What clients may take up.
    clock
        For the ``Date`` header.
    hosts
        Names that ``Host`` may have (lower case, without port); empty: any. Guards a server on loopback against pages
        that rebind their own name to it.
    """

    def __init__(
        self, application: Application, limits: Limits, clock: Clock, hosts: frozenset[bytes] = frozenset()
    ) -> None:
        self.application, self.limits, self.hosts = application, limits, hosts
        self._clock = clock
        self.heads = Heads()
        self.connections: set[Connection] = set()
        self.buffered_bytes = 0
        self.draining = False
        self.idle_s = limits.idle_s
        self.now_s = 0.0
        self.date = b""
        self.sweep()

    def sweep(self) -> None:
        """Refresh the time, and close the connections that are past their deadline; to be called every SWEEP_S."""
        self.now_s = time.monotonic()
        moment = time.gmtime(self._clock.now_us() // MICROSECONDS)
        self.date = time.strftime("\r\ndate: %a, %d %b %Y %H:%M:%S GMT", moment).encode()
        for connection in [one for one in self.connections if one.deadline_s < self.now_s]:
            connection.expire()

    def drain(self, idle_s: float) -> None:
        """Answer what still comes with ``Connection: close``; let silent connections go after ``idle_s``."""
        self.draining = True
        self.idle_s = idle_s
        for connection in self.connections:
            connection.part()


class Connection(asyncio.Protocol):
    """One client's connection: called by the event loop, by the parser, and by exchanges that have their answer."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self.deadline_s = math.inf
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._queue: deque[Exchange] = deque()
        self._refused = self._blocked = self._throttled = self._closing = self._receiving = False
        self._exchange: Exchange | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = self._partial_bytes = self._head_count = self._chunks = 0
        self._body_bytes = self._framing_bytes = 0
        self._body: list[bytes] = []
        self._unread: bytes | memoryview = b""
        self._taken = 0
        self._resuming = False
        self._fed = b""

    # From the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        server = self._server
        self._transport = cast("asyncio.Transport", transport)
        server.connections.add(self)
        self.deadline_s = server.now_s + server.idle_s
        if len(server.connections) > server.limits.connections:
            self._refuse(UnavailableError("too many connections", hint="use fewer, and keep them open"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """The client has gone; what it asked is answered into the void, so that it disturbs no other."""
        self._transport = None
        for exchange in self._queue:
            self._server.buffered_bytes -= len(exchange.body)
        self._queue.clear()
        self._unread = b""
        self._drop_body()
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Some bytes have arrived."""
        if self._closing or self._refused:
            return
        if self._unread:
            self._unread = bytes(self._unread) + data  # one read more than was paused for
        elif self._receiving or not self._recognise(data):
            self._fed = b"" if self._receiving else data
            if len(data) <= PIECE_BYTES:
                self._feed(data)
            else:
                self._take(memoryview(data))
            self._fed = b""

    def eof_received(self) -> bool:
        """The client sends no more: it may still wait for its answers."""
        if not self._queue or self._closing:
            return False
        self._queue[-1].close = True
        return True

    def pause_writing(self) -> None:
        """The client is slower to read its answers than we are to write them."""
        self._allow(self._server.limits.write_s)
        self._blocked = True
        self._regulate()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._blocked = False
        if not self._closing:
            self._allow(self._server.limits.body_s if self._receiving else math.inf)
            self._rest()
        self._regulate()

    # From the parser

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._refused:
            return
        self._exchange = None
        self._url = b""
        self._headers = {}
        self._head_bytes = self._partial_bytes = self._head_count = self._chunks = self._framing_bytes = 0
        self._receiving = True
        self._allow(self._server.limits.header_s)

    def on_url(self, url: bytes) -> None:
        """Some of the path."""
        self._url += url
        if len(self._url) > self._server.limits.path_bytes:
            self._refuse(RequestError(414, f"the path is longer than {self._server.limits.path_bytes} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer after the body: those are counted and not used."""
        if self._refused:
            return
        self._head_count += 1
        self._head_bytes += len(name) + len(value)
        self._partial_bytes = 0
        self._check_head_size()
        if self._head_count > self._server.limits.header_count:
            self._refuse(RequestError(431, f"more than {self._server.limits.header_count} headers"))
        if self._exchange is not None:
            return
        name = name.lower()
        if name in self._headers and name in _SINGLE:
            self._refuse(RequestError(400, f"header {name.decode()!r} is there twice"))
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """The head of a request."""
        if self._refused:
            return
        server, parser = self._server, self._parser
        path = self._url.partition(b"?")[0]
        self._exchange = exchange = Exchange(self, parser.get_method(), path, self._headers)
        version = parser.get_http_version()
        exchange.close = version == "1.0" or server.draining or not parser.should_keep_alive()
        try:
            check_head(exchange, version, server.limits, server.hosts)
        except SeakeepError as error:
            self._refuse(error)
            return
        if not self._admit(exchange):
            return
        self._allow(server.limits.body_s)
        if b"expect" in self._headers and version == "1.1" and not self._queue and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        """The next chunk of a body."""
        self._chunks += 1
        if self._chunks > self._server.limits.chunks:
            self._refuse(RequestError(413, f"the body has more than {self._server.limits.chunks} chunks"))

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        if self._refused:
            return
        server = self._server
        self._body.append(body)
        self._body_bytes += len(body)
        server.buffered_bytes += len(body)
        if self._body_bytes > server.limits.body_bytes:
            self._refuse(too_large(server.limits))
        elif server.buffered_bytes > server.limits.buffered_bytes:
            self._refuse(_crowded())

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        exchange = self._exchange
        if self._refused or exchange is None or (self._queue and self._queue[-1].close):
            return  # what follows the last request of a connection is not answered
        server = self._server
        exchange.arrived_s = time.perf_counter()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._drop_body()
        if self._fed:
            server.heads.keep(self._fed, exchange, body)
        self._exchange = None
        self._receiving = False
        self._allow(math.inf)
        self._queue.append(exchange)
        self._taken += 1
        try:
            exchange.body = decompress(exchange, body, server.limits) if b"content-encoding" in self._headers else body
            server.buffered_bytes += len(exchange.body)
            self._check_room()  # a small body may have become a large one
            server.application.handle(exchange)
        except SeakeepError as error:
            self._fail(exchange, error)
        except Exception:  # noqa: BLE001 -- the request border
            _log.exception("a request could not be handled")
            self._fail(exchange, InternalError("a fault in the server"))
        self._regulate()

    # From exchanges

    def lines(self) -> bytes:
        """Header lines that every answer carries at present."""
        return self._server.date

    def flush(self) -> None:
        """Write the answers that are due: those before which none is missing."""
        if self._transport is None or self._closing:
            return
        server, queue = self._server, self._queue
        answers = []
        while queue and queue[0].answer and not self._closing:
            exchange = queue.popleft()
            server.buffered_bytes -= len(exchange.body)
            answers.append(exchange.answer)
            self._closing = exchange.close
        if not answers:
            return
        self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
        if self._closing:
            self._leave(self._transport)
            return
        if not queue:
            self._rest()
        if self._throttled:
            self._regulate()

    def expire(self) -> None:
        """Close a connection that is past its deadline."""
        self.deadline_s = math.inf
        if self._transport is None:
            return
        if self._blocked or self._closing:
            self._transport.abort()
        elif self._receiving:
            self._refuse(RequestError(408, "the request took too long to arrive"))
        else:
            self._transport.close()

    def part(self) -> None:
        """Close after the last request that is on its way, or, if there is none, after the next or a short silence."""
        if self._exchange:
            self._exchange.close = True
        elif self._queue and not self._receiving:
            self._queue[-1].close = True
        else:
            self._rest()

    # Inside

    def _take(self, data: memoryview) -> None:
        """Hand the parser as many requests as one turn may take; the rest waits until others had their turn."""
        most = self._taken + self._server.limits.pipelined
        while data and self._taken < most and not (self._full() or self._refused or self._closing):
            size = max(PIECE_BYTES, self._body_left())
            self._feed(data[:size])
            data = data[size:]
        self._unread = b"" if self._refused or self._closing else data
        if self._unread and self._receiving:
            self._allow(math.inf)  # it is we who let the rest of it wait
        self._regulate()

    def _resume(self) -> None:
        self._resuming = False
        if self._transport is None or self._closing or self._full():
            return
        data, self._unread = self._unread, b""
        if self._receiving:
            limits = self._server.limits
            self._allow(limits.body_s if self._exchange else limits.header_s)
        self._take(memoryview(data))

    def _recognise(self, data: bytes) -> bool:
        """Take a request whose head was parsed before; False if it has to be parsed."""
        found = self._server.heads.find(data)
        if found is None:
            return False
        head, body = found
        self._headers = head.headers
        self._exchange = exchange = Exchange(self, head.method, head.path, head.headers)
        exchange.close = self._server.draining
        if self._admit(exchange):
            if body:
                self.on_body(body)
            self.on_message_complete()
        return True

    def _admit(self, exchange: Exchange) -> bool:
        """Let the application look at a head; False if it was refused."""
        try:
            self._server.application.admit(exchange)
        except SeakeepError as error:
            self._refuse(error)
        except Exception:  # noqa: BLE001 -- the request border: a fault of ours must not end the connection without an answer
            _log.exception("a request could not be admitted")
            self._refuse(InternalError("a fault in the server"))
        return not self._refused

    def _feed(self, data: bytes | memoryview) -> None:
        headers, count = self._headers, self._head_count
        in_head = self._receiving and self._exchange is None
        exchange, body_bytes = self._exchange, self._body_bytes
        size = len(data)
        while data and not self._refused:
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:  # we stay with HTTP/1.1, as a server may
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                self._refuse(RequestError(400, f"not HTTP/1.1: {error}"))
        in_head = in_head and self._receiving and self._exchange is None
        if in_head and self._headers is headers and self._head_count == count:
            self._partial_bytes += size  # all of it belongs to one header that is not yet complete
            self._check_head_size()
        elif exchange and exchange is self._exchange:  # nothing of it belongs to another request
            self._framing_bytes += size - (self._body_bytes - body_bytes)
            if self._framing_bytes > self._server.limits.framing_bytes:
                self._refuse(RequestError(413, "the body comes with too much beside it: chunk sizes, trailers"))

    def _body_left(self) -> int:
        """How many bytes are certain to belong to the body that is on its way."""
        length = self._exchange.headers.get(b"content-length") if self._exchange else None
        return int(length) - self._body_bytes if length else 0

    def _full(self) -> bool:
        """Whether the client does not take its answers, or has too many requests on their way."""
        return self._blocked or len(self._queue) >= self._server.limits.pipelined

    def _refuse(self, error: SeakeepError) -> None:
        """Answer with an error after what was asked before, and take nothing more from this client."""
        if self._refused:
            return
        self._refused = True
        exchange = self._exchange or Exchange(self, b"", b"", {})
        exchange.close = True
        self._receiving = False
        self._drop_body()
        self._allow(math.inf)
        self._queue.append(exchange)
        self._fail(exchange, error)

    def _fail(self, exchange: Exchange, error: SeakeepError) -> None:
        self._server.buffered_bytes -= len(exchange.body)
        exchange.body = b""  # its answer may have to wait for others
        self._server.application.refused(error)
        exchange.fail(error)

    def _leave(self, transport: asyncio.Transport) -> None:
        """Close; after a refusal only our side at first: what the client still sends would make the system reset the
        connection, and the client might never read its answer.
        """
        limits = self._server.limits
        self._drop_body()
        if not self._refused:
            transport.close()
            self.deadline_s = self._server.now_s + limits.write_s
            return
        if self._throttled:
            transport.resume_reading()
        transport.write_eof()
        self.deadline_s = self._server.now_s + limits.linger_s

    def _rest(self) -> None:
        """Begin to wait for the next request."""
        if not self._receiving and not self._queue:
            self._allow(self._server.idle_s)

    def _allow(self, seconds: float) -> None:
        """Give the client time for what comes next; while it does not take its answers, that has its own deadline."""
        if not self._blocked:
            self.deadline_s = self._server.now_s + seconds

    def _regulate(self) -> None:
        """Read no more while too much is on its way, or while what was read still waits for its turn."""
        if self._transport is None or self._closing:
            return
        full = self._full()
        if self._unread and not full and not self._resuming:
            self._resuming = True
            asyncio.get_running_loop().call_soon(self._resume)
        throttle = full or bool(self._unread)
        if throttle != self._throttled:
            self._throttled = throttle
            if throttle:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _check_head_size(self) -> None:
        most = self._server.limits.header_bytes
        if self._head_bytes + self._partial_bytes > most:
            self._refuse(RequestError(431, f"the headers are larger than {most} bytes"))

    def _check_room(self) -> None:
        if self._server.buffered_bytes > self._server.limits.buffered_bytes:
            raise _crowded()

    def _drop_body(self) -> None:
        self._server.buffered_bytes -= self._body_bytes
        self._body_bytes = 0
        self._body = []


def _crowded() -> UnavailableError:
    return UnavailableError("too many bodies are on their way", hint="send fewer at a time")
