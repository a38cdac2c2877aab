"""The HTTP/2 of one connection, without its socket: frames become calls, within bounds on everything a client can do.

References
----------
RFC 9113, sections 3.4, 5, 6, 8.1 and 10.5.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

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

STREAMS = 256
"""Calls of one connection at once; a client keeps more to itself until there is room."""
STREAM_BYTES, CONNECTION_BYTES = 1024 * 1024, 4 * 1024 * 1024
"""What a client may send ahead on a stream, and on all of a connection."""
BLOCK_FRAMES = 16
"""Frames of one header block."""
ALLOWANCE, REFILL, RESET_COST = 10_000, 2_000, 10
"""Frames that bring no work forward: so many at once, so many more with each sweep; a stream that is reset costs more."""

_PARTING = b"parting."
_FORSAKEN = 256


class Server(Protocol):
    """What the connections of a worker share; see :class:`seakeep.serving.grpc.server.GrpcServer`."""

    service: InferenceService
    limits: Limits
    max_calls: int
    calls: int
    buffered_bytes: int
    draining: bool
    now_s: float

    @property
    def later(self) -> Callable[[Callable[[], None]], object]:
        """Calls a function in the next turn of the event loop: its ``call_soon``."""
        ...


class Session:
    """The state of a connection, and its open calls.

    Parameters
    ----------
    write
        Takes frames.
    rest
        Called when no call is open any more.

    Attributes
    ----------
    streams
        Open calls by number.
    highest
        The last stream that the client opened.
    leaving
        Whether no more calls are taken.
    over
        Set by the connection when nothing is read any more.
    """

    def __init__(self, server: Server, write: Callable[[bytes], None], rest: Callable[[], None]) -> None:
        self._server, self.service = server, server.service
        self._write, self._rest = write, rest
        self._frames, self._heads = FrameReader(), HeadReader(server.limits)
        self.outlet = Outlet(write)
        self.send = self.outlet.send
        self.streams: dict[int, Stream] = {}
        self.highest = 0
        self._last = frames.WINDOW_MOST
        self._skipped: deque[range] = deque(maxlen=16)
        self._forsaken: dict[int, None] = {}
        self._block: list[bytes] = []
        self._block_of = self._block_flags = 0
        self.settled = self.leaving = self.over = self._widened = self._parting = False
        self._unread = self._spent = 0
        self.framed_s = server.now_s
        self._handlers = {
            frames.DATA: self._on_data, frames.HEADERS: self._on_headers, frames.RST_STREAM: self._on_reset,
            frames.SETTINGS: self._on_settings, frames.PING: self._on_ping, frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window, frames.CONTINUATION: self._on_continuation,
        }  # fmt: skip

    # From the connection

    def greet(self) -> None:
        """Say what is taken here."""
        settings = {
            frames.MAX_CONCURRENT_STREAMS: STREAMS,
            frames.INITIAL_WINDOW_SIZE: STREAM_BYTES,
            frames.MAX_HEADER_LIST_SIZE: self._server.limits.header_bytes,
        }
        self._write(frames.settings_frame(settings) + frames.window_frame(0, CONNECTION_BYTES - frames.WINDOW))

    def feed(self, data: bytes) -> None:
        """Take some bytes.

        Raises
        ------
        ConnectionFault
            The client broke a rule; nothing more can be read.
        """
        for kind, flags, number, payload in self._frames.feed(data):
            self.framed_s = self._server.now_s
            self._on_frame(kind, flags, number, payload)
            if self.over:
                return
        if self._widened:
            self._widened = False
            self.outlet.pump()

    @property
    def unfinished(self) -> bool:
        """Whether a frame or a header block has begun and is not complete."""
        return self._frames.partial or bool(self._block)

    def sweep(self) -> None:
        """Look at the time of the open calls; to be called every half second."""
        self._spent = max(0, self._spent - REFILL)
        for stream in list(self.streams.values()):
            self._look_at(stream)

    def part(self) -> None:
        """Tell the client to make no more calls, and learn by its answer which calls are the last."""
        self._parting = True
        self._write(frames.goaway_frame(frames.WINDOW_MOST, Code.NO_ERROR) + frame(frames.PING, 0, 0, _PARTING))
        for stream in list(self.streams.values()):
            stream.end_early()

    def part_now(self) -> None:
        """Take no more calls than have come by now."""
        self._parting = False
        self._last = self.highest
        self.leaving = True
        if self.streams:
            self._write(frames.goaway_frame(self._last, Code.NO_ERROR))
        else:
            self._rest()

    def drop(self) -> None:
        """Forget all calls: there is nobody to answer."""
        self.over = True
        for stream in list(self.streams.values()):
            stream.close()

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
        self._server.later(stream.flush)

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
        del self.streams[stream.number]
        self.outlet.forget(stream)
        self._server.calls -= 1
        if not stream.ended and not self.over:
            self._forsake(stream.number)
            self._write(frames.reset_frame(stream.number, Code.NO_ERROR))
        if not self.streams and not self.over:
            self._rest()

    # Frames

    def _on_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block and kind != frames.CONTINUATION:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block was not finished")
        if not self.settled and kind != frames.SETTINGS:
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
        stream = self.streams.get(number)
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
            raise ConnectionFault(
                Code.ENHANCE_YOUR_CALM, f"the headers are larger than {most} bytes, or in too many frames"
            )
        if flags & frames.END_HEADERS:
            whole = b"".join(block)
            block.clear()
            self._on_block(number, whole, ended=bool(self._block_flags & frames.END_STREAM))

    def _on_block(self, number: int, block: bytes, *, ended: bool) -> None:
        stream = self.streams.get(number)
        if stream:
            if stream.ended:
                self._heads.skip(block)
                raise StreamFault(Code.STREAM_CLOSED, "headers after the end")
            self._heads.read_trailers(block)
            if not ended:
                raise StreamFault(Code.PROTOCOL_ERROR, "headers after the head that do not end the stream")
            self._receive(stream, b"", ended=True)
        elif number % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "clients open streams of odd numbers")
        elif number <= self.highest:
            self._heads.skip(block)
            if any(number in skipped for skipped in self._skipped):
                raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {number} was passed over")
            self._check_late(number)
        elif number > self._last or self.leaving:
            self._heads.skip(block)  # the client will hear, or has heard, that it is not answered
        else:
            if number > self.highest + 2:
                self._skipped.append(range((self.highest + 1) | 1, number, 2))
            self.highest = number
            head = self._heads.read(block)
            if len(self.streams) >= STREAMS:
                self._spend(RESET_COST)
                self._reset(number, Code.REFUSED_STREAM)
            else:
                self._open(number, head, ended=ended)

    def _on_reset(self, _flags: int, number: int, _payload: bytes) -> None:
        stream = self.streams.get(number)
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
        self.settled = True
        most_credit = max((stream.credit for stream in self.streams.values()), default=0)
        for number, value in frames.read_settings(payload):
            self.outlet.heed(number, value, most_credit)
        self._widened = True
        self._write(frame(frames.SETTINGS, frames.ACK, 0))

    def _on_ping(self, flags: int, _number: int, payload: bytes) -> None:
        self._spend(1)
        if not flags & frames.ACK:
            self._write(frame(frames.PING, frames.ACK, 0, payload))
        elif payload == _PARTING and self._parting:
            self.part_now()

    def _on_goaway(self, _flags: int, _number: int, _payload: bytes) -> None:
        self.leaving = True
        if not self.streams:
            self._rest()

    def _on_window(self, _flags: int, number: int, payload: bytes) -> None:
        increment = int.from_bytes(payload) & frames.WINDOW_MOST
        stream = self.streams.get(number)
        if stream or not number:
            self.outlet.widen(stream, increment)
            self._widened = True
        else:
            self._check_idle(number)

    # Streams

    def _open(self, number: int, head: Head, *, ended: bool) -> None:
        server, service = self._server, self.service
        method = service.methods.get(head.path)
        self.streams[number] = stream = Stream(self, number, head, method or _NOTHING)
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

    def _look_at(self, stream: Stream) -> None:
        limits, now_s = self._server.limits, self._server.now_s
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
        stream = self.streams.get(number)
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
        if number % 2 == 0 or number > self.highest:
            if number > self._last or self.leaving:
                return
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {number} is not open")

    def _check_late(self, number: int) -> None:
        """After its end a stream knows no DATA and no HEADERS."""
        self._check_idle(number)
        if number in self._forsaken or number in self.streams or number > self.highest:
            return
        raise ConnectionFault(Code.STREAM_CLOSED, f"stream {number} is closed")

    def _spend(self, cost: int) -> None:
        self._spent += cost
        if self._spent > ALLOWANCE:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")


_NOTHING = Method("", bytes, lambda _message, _place: None)


def _check_head(head: Head) -> None:
    if head.encoding not in ENCODINGS:
        known = ", ".join(encoding.decode() for encoding in ENCODINGS)
        raise RequestError(501, "messages are compressed with what is not known here", hint=f"known: {known}")
    if head.timeout_s is not None and head.timeout_s < 0:
        raise RequestError(400, "metadata 'grpc-timeout' is no time")
