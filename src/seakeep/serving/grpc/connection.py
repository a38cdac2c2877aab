"""A client's HTTP/2 connection on the event loop: frames become calls, within bounds on everything that a client can do.

References
----------
RFC 9113, sections 3.4, 5, 6, 8.1 and 10.5.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from typing import Protocol, cast

from seakeep.errors import DeadlineError, UnavailableError
from seakeep.serving.errors import RequestError
from seakeep.serving.exchange import Limits
from seakeep.serving.grpc import frames, heads
from seakeep.serving.grpc.envelopes import ENCODINGS
from seakeep.serving.grpc.frames import Code, ConnectionFault, FrameReader, StreamFault, frame
from seakeep.serving.grpc.heads import Head, HeadReader
from seakeep.serving.grpc.outlet import Outlet
from seakeep.serving.grpc.service import InferenceService, Method
from seakeep.serving.grpc.stream import Stream

STREAM_BYTES, CONNECTION_BYTES = 1024 * 1024, 4 * 1024 * 1024
"""What a client may send ahead on a stream, and on all of a connection."""
BLOCK_FRAMES = 16
"""Frames of one header block."""
ALLOWANCE, REFILL, RESET_COST = 10_000, 2_000, 10
"""Frames that bring no work forward: so many at once, so many more with each sweep; a stream that is reset costs more."""
KEEPALIVE_S, ANSWER_S = 60.0, 20.0
"""A client with calls that is silent for so long is asked whether it is there, and given so long to answer."""
PARTING_S = 1.0
"""How long a draining connection waits for calls that were sent before its client had heard of it."""

_KEEPALIVE, _PARTING = b"keepaliv", b"parting."
_FORSAKEN = 256
_log = logging.getLogger("seakeep.serving")


class Server(Protocol):
    """What the connections of a worker share; see :class:`seakeep.serving.grpc.server.GrpcServer`."""

    service: InferenceService
    limits: Limits
    connections: set[Connection]
    max_calls: int
    calls: int
    buffered_bytes: int
    draining: bool
    now_s: float


class Connection(asyncio.Protocol):
    """Called by the event loop, by the server's sweep, and by calls that have their answer."""

    def __init__(self, server: Server) -> None:
        self._server, self.service = server, server.service
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._frames, self._heads = FrameReader(), HeadReader(server.limits)
        self._out: list[bytes] = []
        self._outlet = Outlet(self._write)
        self.send = self._outlet.send
        self._streams: dict[int, Stream] = {}
        self._highest = 0
        self._last = frames.WINDOW_MOST
        self._skipped: deque[range] = deque(maxlen=16)
        self._forsaken: dict[int, None] = {}
        self._block: list[bytes] = []
        self._block_of = self._block_flags = 0
        self._settled = self._due = self._widened = self._leaving = self._over = False
        self._unread = self._spent = 0
        self._heard_s = self._framed_s = self._busy_s = server.now_s
        self._parting_s = self._asked_s = self._blocked_s = self._over_s = math.inf
        self._handlers = {
            frames.DATA: self._on_data, frames.HEADERS: self._on_headers, frames.RST_STREAM: self._on_reset,
            frames.SETTINGS: self._on_settings, frames.PING: self._on_ping, frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window, frames.CONTINUATION: self._on_continuation,
        }  # fmt: skip

    # From the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        server = self._server
        self._transport = cast("asyncio.Transport", transport)
        server.connections.add(self)
        self._write(
            frames.settings_frame(
                {
                    frames.MAX_CONCURRENT_STREAMS: server.max_calls,
                    frames.INITIAL_WINDOW_SIZE: STREAM_BYTES,
                    frames.MAX_HEADER_LIST_SIZE: server.limits.header_bytes,
                }
            )
            + frames.window_frame(0, CONNECTION_BYTES - frames.WINDOW)
        )
        if len(server.connections) > server.limits.connections:
            self._end(Code.ENHANCE_YOUR_CALM, "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """The client has gone; what it asked is answered into the void, so that it disturbs no other."""
        self._transport = None
        self._over = True
        self._drop_streams()
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Some bytes have arrived."""
        if self._over:
            return
        self._heard_s = self._server.now_s
        self._due = True  # what is written meanwhile leaves at the end, together
        try:
            for kind, flags, number, payload in self._frames.feed(data):
                self._framed_s = self._heard_s
                self._on_frame(kind, flags, number, payload)
                if self._over:
                    break
        except ConnectionFault as fault:
            self._end(fault.code, str(fault))
        if self._widened:
            self._widened = False
            self._outlet.pump()
        self._flush()

    def pause_writing(self) -> None:
        """The client is slower to read its answers than we are to write them: it is not read either."""
        self._outlet.blocked = True
        self._blocked_s = self._server.now_s
        if self._transport and not self._over:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._outlet.blocked = False
        self._blocked_s = math.inf
        if self._transport and not self._over:
            self._transport.resume_reading()
            self._outlet.pump()

    # From the server

    def look(self) -> None:
        """Close what is past its time; to be called every half second."""
        server, limits = self._server, self._server.limits
        now_s = server.now_s
        self._spent = max(0, self._spent - REFILL)
        blocked = not math.isinf(self._blocked_s)
        if blocked or self._over:
            late_s = self._blocked_s + limits.write_s if blocked else self._over_s + limits.linger_s
            if now_s > late_s:
                self.abort()
            return
        stalled = self._frames.partial and now_s - self._framed_s > (limits.body_s if self._settled else limits.header_s)
        if stalled or (self._block and now_s - self._framed_s > limits.header_s):
            self._end(Code.ENHANCE_YOUR_CALM, "the rest of a frame did not come")
        elif not self._streams and now_s - self._busy_s > limits.idle_s:
            self._end(Code.NO_ERROR, "idle")
        elif now_s - self._parting_s > PARTING_S:
            self._part_now()
        elif self._streams and now_s - self._heard_s > KEEPALIVE_S:
            self._check_alive(now_s)
        for stream in list(self._streams.values()):
            self._look_at(stream, now_s)

    def part(self) -> None:
        """Take no more calls and close after the last; those that are on their way to us are still answered."""
        if self._over:
            return
        self._parting_s = self._server.now_s
        self._write(frames.goaway_frame(frames.WINDOW_MOST, Code.NO_ERROR) + frame(frames.PING, 0, 0, _PARTING))
        for stream in list(self._streams.values()):
            stream.end_early()

    def abort(self) -> None:
        """Close at once."""
        if self._transport:
            self._transport.abort()

    # From calls

    @property
    def now_s(self) -> float:
        """``time.monotonic()``, lately."""
        return self._server.now_s

    @property
    def draining(self) -> bool:
        """Whether the worker is about to end."""
        return self._server.draining

    def later(self, stream: Stream) -> None:
        """Have a stream send what is due, in the next turn of the event loop."""
        self._loop.call_soon(stream.flush)

    def read(self, stream: Stream) -> None:
        """Let the client send more on a stream."""
        if stream.unread >= STREAM_BYTES // 2:
            self._write(frames.window_frame(stream.number, stream.unread))
            stream.unread = 0

    def hold(self, size: int) -> None:
        """So many bytes more are in memory for this client."""
        self._server.buffered_bytes += size

    def closed(self, stream: Stream) -> None:
        """Forget a call that has its answer; a client that has not sent all need not go on."""
        del self._streams[stream.number]
        self._outlet.forget(stream)
        self._server.calls -= 1
        if not stream.ended and not self._over:
            self._forsake(stream.number)
            self._write(frames.reset_frame(stream.number, Code.NO_ERROR))
        if not self._streams:
            self._busy_s = self._server.now_s
            if self._leaving:
                self._end(Code.NO_ERROR, "")

    # Frames

    def _on_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block and kind != frames.CONTINUATION:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block was not finished")
        if not self._settled and kind != frames.SETTINGS:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "settings must come first")
        try:
            frames.check(kind, flags, number, len(payload))
            handler = self._handlers.get(kind)
            if handler:
                handler(flags, number, payload)
            else:
                self._spend(1)
        except StreamFault as fault:
            self._spend(RESET_COST)
            self._reset(number, fault.code)

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._unread += size
        if self._unread > CONNECTION_BYTES:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more was sent than there is room for")
        if self._unread >= CONNECTION_BYTES // 2:
            self._write(frames.window_frame(0, self._unread))
            self._unread = 0
        data = frames.unpadded(frames.DATA, flags, payload) if flags & frames.PADDED else payload
        ended = bool(flags & frames.END_STREAM)
        if not data and not ended:
            self._spend(1)
        stream = self._streams.get(number)
        if stream is None or stream.ended:
            self._check_late(number)
            if stream:
                raise StreamFault(Code.STREAM_CLOSED, "more after the end")
            return
        stream.unread += size
        if stream.unread > STREAM_BYTES:
            raise StreamFault(Code.FLOW_CONTROL_ERROR, "more was sent than there is room for")
        self._receive(stream, data, ended=ended)

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        if flags & (frames.PADDED | frames.WEIGHTED):
            payload = frames.unpadded(frames.HEADERS, flags, payload)
        if flags & frames.END_HEADERS:
            self._on_block(number, payload, ended=bool(flags & frames.END_STREAM))
        else:
            self._block_of, self._block_flags = number, flags
            self._block.append(payload)

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        block = self._block
        if not block or number != self._block_of:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a CONTINUATION of nothing")
        block.append(payload)
        most = self._server.limits.header_bytes
        if len(block) > BLOCK_FRAMES or sum(map(len, block)) > most:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"the headers are larger than {most} bytes, or in too many frames")
        if flags & frames.END_HEADERS:
            whole = b"".join(block)
            block.clear()
            self._on_block(number, whole, ended=bool(self._block_flags & frames.END_STREAM))

    def _on_block(self, number: int, block: bytes, *, ended: bool) -> None:
        stream = self._streams.get(number)
        if stream:
            self._heads.read_trailers(block)
            if stream.ended or not ended:
                code = Code.STREAM_CLOSED if stream.ended else Code.PROTOCOL_ERROR
                raise StreamFault(code, "headers after the head that do not end the stream")
            self._receive(stream, b"", ended=True)
        elif number % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "clients open streams of odd numbers")
        elif number <= self._highest:
            self._heads.skip(block)
            self._check_late(number)
        elif number > self._last or self._leaving:
            self._heads.skip(block)  # the client will hear, or has heard, that it is not answered
        else:
            if number > self._highest + 2:
                self._skipped.append(range(self._highest + 2, number, 2))
            self._highest = number
            head = self._heads.read(block)
            if len(self._streams) >= self._server.max_calls:
                self._spend(RESET_COST)
                self._reset(number, Code.REFUSED_STREAM)
            else:
                self._open(number, head, ended=ended)

    def _on_reset(self, _flags: int, number: int, _payload: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            self._check_idle(number)
            self._spend(1)
            return
        self._spend(RESET_COST)
        stream.ended = True  # there is nothing to reset on our side
        stream.close()

    def _on_settings(self, flags: int, _number: int, payload: bytes) -> None:
        self._spend(1)
        if flags & frames.ACK:
            return
        self._settled = True
        most_credit = max((stream.credit for stream in self._streams.values()), default=0)
        for number, value in frames.read_settings(payload):
            self._outlet.heed(number, value, most_credit)
        self._widened = True
        self._write(frame(frames.SETTINGS, frames.ACK, 0))

    def _on_ping(self, flags: int, _number: int, payload: bytes) -> None:
        self._spend(1)
        if not flags & frames.ACK:
            self._write(frame(frames.PING, frames.ACK, 0, payload))
        elif payload == _PARTING and not math.isinf(self._parting_s):
            self._part_now()

    def _on_goaway(self, _flags: int, _number: int, _payload: bytes) -> None:
        self._leaving = True
        if not self._streams:
            self._end(Code.NO_ERROR, "")

    def _on_window(self, _flags: int, number: int, payload: bytes) -> None:
        increment = int.from_bytes(payload) & frames.WINDOW_MOST
        stream = self._streams.get(number)
        if stream or not number:
            self._outlet.widen(stream, increment)
            self._widened = True
        else:
            self._check_idle(number)

    # Streams

    def _open(self, number: int, head: Head, *, ended: bool) -> None:
        server, service = self._server, self.service
        method = service.methods.get(head.path)
        self._streams[number] = stream = Stream(self, number, head, method or _NOTHING)
        server.calls += 1
        try:
            if head.status != 200:
                stream.ended = stream.ended or ended
                self.send(stream, b"", heads.refusal(head.status))
                return
            if method is None:
                raise RequestError(501, "there is no such method", hint="the protocol is the Open Inference Protocol")  # noqa: TRY301
            if server.calls > server.max_calls:
                raise RequestError(429, "too many calls are in flight", hint="make them more slowly")  # noqa: TRY301
            if server.draining and method.streaming:
                raise UnavailableError("the worker is shutting down", hint="open the stream again")  # noqa: TRY301
            _check_head(head)
            stream.principal = service.admit(method, head.keys)
        except Exception as error:  # noqa: BLE001 -- the request border: a fault of ours must not end the connection
            stream.ended = ended
            stream.refuse(error)
            return
        if ended:
            self._receive(stream, b"", ended=True)
        elif not method.streaming:
            stream.since_s = server.now_s

    def _receive(self, stream: Stream, data: bytes, *, ended: bool) -> None:
        server = self._server
        if server.buffered_bytes + len(data) > server.limits.buffered_bytes:
            stream.ended = ended
            stream.refuse(UnavailableError("too many bodies are on their way", hint="send fewer at a time"))
            return
        stream.receive(data, server.limits.body_bytes, ended=ended)

    def _look_at(self, stream: Stream, now_s: float) -> None:
        limits = self._server.limits
        if stream.out:
            if now_s - stream.since_s > limits.write_s:
                self._reset(stream.number, Code.CANCEL)
        elif now_s - stream.since_s > limits.body_s:
            stream.refuse(DeadlineError("the request took too long to arrive", hint="send it in one go"))
        elif stream.deadline_s is not None and time.perf_counter() > stream.deadline_s:
            stream.fail(DeadlineError("the call's time is over", hint="allow it more time"))

    def _reset(self, number: int, code: Code) -> None:
        """End a stream without an answer."""
        self._write(frames.reset_frame(number, code))
        stream = self._streams.get(number)
        if stream is None or not stream.ended:
            self._forsake(number)
        if stream:
            stream.ended = True
            stream.close()

    def _forsake(self, number: int) -> None:
        """Remember a stream that we ended: what its client had sent before it heard of that is not at fault."""
        self._forsaken[number] = None
        if len(self._forsaken) > _FORSAKEN:
            del self._forsaken[next(iter(self._forsaken))]

    def _check_idle(self, number: int) -> None:
        """A stream that was never opened knows no frames but HEADERS and PRIORITY."""
        if number % 2 == 0 or number > self._highest:
            if number > self._last or self._leaving:
                return
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {number} is not open")

    def _check_late(self, number: int) -> None:
        """After its end a stream knows no DATA and no HEADERS."""
        self._check_idle(number)
        if number in self._forsaken or number in self._streams or number > self._highest:
            return
        if any(number in skipped for skipped in self._skipped):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {number} was passed over")
        raise ConnectionFault(Code.STREAM_CLOSED, f"stream {number} is closed")

    # The connection's end

    def _check_alive(self, now_s: float) -> None:
        if self._asked_s < self._heard_s or math.isinf(self._asked_s):
            self._asked_s = now_s
            self._write(frame(frames.PING, 0, 0, _KEEPALIVE))
        elif now_s - self._asked_s > ANSWER_S:
            self.abort()

    def _part_now(self) -> None:
        """Calls that the client has sent by now are the last."""
        self._parting_s = math.inf
        self._last = self._highest
        self._leaving = True
        if self._streams:
            self._write(frames.goaway_frame(self._last, Code.NO_ERROR))
        else:
            self._end(Code.NO_ERROR, "")

    def _end(self, code: Code, message: str) -> None:
        """Say why, and close our side; what the client still sends is thrown away, lest the system reset the connection
        before the client has read why.
        """
        if self._over or self._transport is None:
            return
        self._write(frames.goaway_frame(self._highest, code, message))
        self._over = True
        self._over_s = self._server.now_s
        self._drop_streams()
        self._flush()
        self._transport.resume_reading()
        self._transport.write_eof()

    def _drop_streams(self) -> None:
        for stream in list(self._streams.values()):
            stream.close()

    def _spend(self, cost: int) -> None:
        self._spent += cost
        if self._spent > ALLOWANCE:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    # Writing

    def _write(self, data: bytes) -> None:
        """Send some frames at the end of this turn of the event loop, together with others."""
        self._out.append(data)
        if not self._due:
            self._due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        out = self._out
        if out and self._transport:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()


_NOTHING = Method("", bytes, lambda _message, _place: None)


def _check_head(head: Head) -> None:
    if head.encoding not in ENCODINGS:
        known = ", ".join(encoding.decode() for encoding in ENCODINGS)
        raise RequestError(501, "messages are compressed with what is not known here", hint=f"known: {known}")
    if head.timeout_s is not None and head.timeout_s < 0:
        raise RequestError(400, "metadata 'grpc-timeout' is no time")
