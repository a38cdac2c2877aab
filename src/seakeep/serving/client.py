"""A small, fast client over connections that stay open; for streaming traffic through a server, and for tests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import cast

import httptools


class Client:
    """Sends requests over a few keep-alive connections, one at a time over each.

    A request on a connection that the server had closed meanwhile is sent once more on a fresh one, so what is sent must
    bear being sent twice: predictions do, and events with an idempotency key.

    Parameters
    ----------
    connections
        How many to use at most; further requests wait.
    timeout_s
        Longest wait for an answer, in seconds.
    """

    def __init__(self, host: str, port: int, connections: int = 1, *, timeout_s: float = 30) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._free: deque[Link] = deque()
        self._turns = asyncio.Semaphore(connections)
        self._name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Send a body (JSON, if ``headers`` do not say otherwise); the status and the body of the answer.

        Raises
        ------
        OSError
            There is no answer.
        """
        sent = {"content-type": "application/json", **(headers or {})}
        return await self._ask(written(b"POST", path, sent, body, self._name))

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Ask for a page; the status and the body of the answer. Raises OSError if there is none."""
        return await self._ask(written(b"GET", path, headers or {}, b"", self._name))

    async def close(self) -> None:
        """Close all connections."""
        while self._free:
            self._free.pop().close()
        await asyncio.sleep(0)

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        async with self._turns:
            while self._free:
                link = self._free.pop()
                if not link.open:
                    continue
                try:
                    return await self._over(link, request)
                except _StaleError:
                    break
            return await self._over(await self._connect(), request)

    async def _connect(self) -> Link:
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(Link, self._host, self._port)
        return link

    async def _over(self, link: Link, request: bytes) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await link.send(request)
        except BaseException:
            link.close()
            raise
        if link.open:
            self._free.append(link)
        return answer


def written(method: bytes, path: str, headers: Mapping[str, str], body: bytes, host: str) -> bytes:
    """The bytes of a request; ``host`` with its port."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in {"host": host, **headers}.items()]).encode("latin-1")
    return b"%b %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (
        method, path.encode("ascii"), lines, len(body), body,
    )  # fmt: skip


class _StaleError(ConnectionError):
    """The connection was closed before any byte of an answer."""


class Link(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._begun = False
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    @property
    def open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a whole request; the answer's status and body come, or an OSError if there is none.

        Raises
        ------
        ConnectionError
            The connection is closed.
        """
        if self._transport is None:
            raise _StaleError
        self._answer = asyncio.get_running_loop().create_future()
        self._begun = False
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Send no more."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server has taken the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """The connection is gone; whoever waits for an answer is told."""
        self._transport = None
        if self._answer and not self._answer.done():
            lost = ConnectionResetError("the server closed the connection before its answer was complete")
            self._answer.set_exception(lost if self._begun else _StaleError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Some of an answer."""
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._answer and not self._answer.done():
                self._answer.set_exception(ConnectionError(f"the answer is not HTTP: {error}"))
            self.close()

    def on_message_begin(self) -> None:
        """The first byte of an answer."""
        self._body = []

    def on_body(self, body: bytes) -> None:
        """Some of its body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The last byte of an answer."""
        status = self._parser.get_status_code()
        if status == 100:
            return
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer and not self._answer.done():
            self._answer.set_result((status, b"".join(self._body)))
