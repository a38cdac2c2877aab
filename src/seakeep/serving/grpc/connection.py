"""A client's connection on the event loop: the socket and the time of what :mod:`~seakeep.serving.grpc.session` means."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol, cast

from seakeep.serving.grpc import frames, session
from seakeep.serving.grpc.frames import Code, ConnectionFault, frame, goaway_frame
from seakeep.serving.grpc.session import Session

KEEPALIVE_S, ANSWER_S = 60.0, 20.0
"""A client with calls that is silent for so long is asked whether it is there, and given so long to answer."""
PARTING_S = 1.0
"""How long a draining connection waits for calls that were sent before its client had heard of it."""

_KEEPALIVE = b"keepaliv"


class Server(session.Server, Protocol):
    """With the connections themselves."""

    connections: set[Connection]


class Connection(asyncio.Protocol):
    """Called by the event loop, by the server's sweep, and by the session that has something to send."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._session = Session(server, self._write, self._rest)
        self._out: list[bytes] = []
        self._due = self._over = False
        self._heard_s = self._busy_s = server.now_s
        self._parting_s = self._asked_s = self._blocked_s = self._over_s = math.inf

    # From the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        server = self._server
        self._transport = cast("asyncio.Transport", transport)
        server.connections.add(self)
        self._session.greet()
        if len(server.connections) > server.limits.connections:
            self._end(Code.ENHANCE_YOUR_CALM, "too many connections")
        elif server.draining:
            self.part()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """The client has gone; what it asked is answered into the void, so that it disturbs no other."""
        self._transport = None
        self._over = True
        self._session.drop()
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Some bytes have arrived."""
        if self._over:
            return
        self._heard_s = self._server.now_s
        self._due = True  # what is written meanwhile leaves at the end, together
        try:
            self._session.feed(data)
        except ConnectionFault as fault:
            self._end(fault.code, str(fault))
        self._flush()

    def pause_writing(self) -> None:
        """The client is slower to read its answers than we are to write them: it is not read either."""
        self._session.outlet.blocked = True
        self._blocked_s = self._server.now_s
        if self._transport and not self._over:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._session.outlet.blocked = False
        self._blocked_s = math.inf
        if self._transport and not self._over:
            self._transport.resume_reading()
            self._session.outlet.pump()

    # From the server

    def look(self) -> None:
        """Close what is past its time; to be called every half second."""
        now_s, limits, state = self._server.now_s, self._server.limits, self._session
        blocked = not math.isinf(self._blocked_s)
        if blocked or self._over:
            late_s = self._blocked_s + limits.write_s if blocked else self._over_s + limits.linger_s
            if now_s > late_s:
                self.abort()
            return
        if state.unfinished and now_s - state.framed_s > (limits.body_s if state.settled else limits.header_s):
            self._end(Code.ENHANCE_YOUR_CALM, "the rest of a frame did not come")
        elif not state.streams and now_s - self._busy_s > limits.idle_s:
            self._end(Code.NO_ERROR, "idle")
        elif now_s - self._parting_s > PARTING_S:
            self._parting_s = math.inf
            state.part_now()
        elif state.streams and now_s - self._heard_s > KEEPALIVE_S:
            self._check_alive(now_s)
        state.sweep()

    def part(self) -> None:
        """Take no more calls and close after the last; those that are on their way to us are still answered."""
        if not self._over:
            self._parting_s = self._server.now_s
            self._session.part()

    def abort(self) -> None:
        """Close at once."""
        if self._transport:
            self._transport.abort()

    # Inside

    def _rest(self) -> None:
        """No call is open."""
        self._busy_s = self._server.now_s
        if self._session.leaving:
            self._end(Code.NO_ERROR, "")

    def _check_alive(self, now_s: float) -> None:
        if self._asked_s <= self._heard_s or math.isinf(self._asked_s):
            self._asked_s = now_s
            self._write(frame(frames.PING, 0, 0, _KEEPALIVE))
        elif now_s - self._asked_s > ANSWER_S:
            self.abort()

    def _end(self, code: Code, message: str) -> None:
        """Say why, and close our side; what the client still sends is thrown away, lest the system reset the connection
        before the client has read why.
        """
        if self._over or self._transport is None:
            return
        self._write(goaway_frame(self._session.highest, code, message))
        self._over = True
        self._over_s = self._server.now_s
        self._session.drop()
        self._flush()
        if not math.isinf(self._blocked_s):
            self._transport.resume_reading()
        self._transport.write_eof()

    def _write(self, data: bytes) -> None:
        """Send some frames at the end of this turn of the event loop, together with others."""
        self._out.append(data)
        if not self._due:
            self._due = True
            self._server.later(self._flush)

    def _flush(self) -> None:
        self._due = False
        out = self._out
        if out and self._transport:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()
