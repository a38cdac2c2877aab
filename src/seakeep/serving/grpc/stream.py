"""One call: messages in, answers out, in the order in which they were asked."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Protocol

from seakeep.errors import SeakeepError, UnavailableError
from seakeep.serving.errors import RequestError
from seakeep.serving.grpc import heads
from seakeep.serving.grpc.envelopes import Envelopes, enveloped
from seakeep.serving.grpc.frames import Code, StreamFault
from seakeep.serving.grpc.heads import Head
from seakeep.serving.grpc.service import InferenceService, Method
from seakeep.serving.grpc.status import code_of, details_of, metadata_of

PIPELINED = 32
"""Messages of one call that are on their way at once."""


class Line(Protocol):
    """The connection that a call came by."""

    service: InferenceService

    @property
    def now_s(self) -> float:
        """``time.monotonic()``, lately."""
        ...

    @property
    def draining(self) -> bool:
        """Whether calls of many messages are to end."""
        ...

    def send(self, stream: Stream, data: bytes, ending: bytes = b"") -> None:
        """See :meth:`seakeep.serving.grpc.outlet.Outlet.send`."""
        ...

    def later(self, stream: Stream) -> None:
        """Call :meth:`Stream.flush` in the next turn of the event loop."""
        ...

    def read(self, stream: Stream) -> None:
        """What had come of the stream was taken: its client may send more."""
        ...

    def closed(self, stream: Stream) -> None:
        """Nothing more is sent on the stream."""
        ...

    def hold(self, size: int) -> None:
        """So many bytes more (or fewer) are in memory for this client."""
        ...


class Stream:
    """A call, from its head to its end.

    Attributes
    ----------
    ended
        Whether the client has sent all.
    open
        Whether the end was not sent yet.
    unread
        Bytes that were received and whose room the client was not given back.
    since_s
        ``time.monotonic()`` since when the client owes us the rest of a message, or the room for an answer.
    """

    __slots__ = (
        "_asked", "_body", "_envelopes", "_held", "_line", "_places", "_reading", "_received", "begun", "credit",
        "deadline_s", "ended", "ending", "head", "method", "number", "open", "out", "principal", "since_s", "traceparent",
        "unread",
    )  # fmt: skip

    def __init__(self, line: Line, number: int, head: Head, method: Method) -> None:
        self._line, self.number, self.head, self.method = line, number, head, method
        self.principal, self.traceparent = "", head.traceparent
        self.deadline_s = None if head.timeout_s is None else time.perf_counter() + head.timeout_s
        self.ended = self.begun = self._reading = False
        self.open = True
        self.credit = self.unread = self._received = self._held = self._asked = 0
        self.out, self.ending = bytearray(), b""
        self.since_s = math.inf
        self._envelopes: Envelopes | None = None
        self._body: bytes | None = None
        self._places: deque[_Turn] = deque()

    @property
    def _streaming(self) -> bool:
        return self.method.streaming

    # From the connection

    def receive(self, data: bytes, most: int, *, ended: bool) -> None:
        """Take some bytes of messages, of which none may be larger than ``most``.

        Raises
        ------
        StreamFault
            They are not as many as was said.
        """
        self._received += len(data)
        self._hold(len(data))
        self.ended = ended
        length = self.head.length
        if length is not None and (self._received != length if ended else self._received > length):
            raise StreamFault(Code.PROTOCOL_ERROR, "content-length and the data differ")
        try:
            if ended and self._envelopes is None and not self._streaming and _is_whole(data, most):
                self._ask(data[5:])
                return
            if self._envelopes is None:
                self._envelopes = Envelopes(self.head.encoding, most)
            self._envelopes.feed(data)
            if self._streaming:
                self._read_many()
            else:
                self._read_one(self._envelopes)
        except SeakeepError as error:
            self.refuse(error)

    def end_early(self) -> None:
        """End a call of many messages, once what was read is answered: the worker is about to end."""
        if self._streaming:
            self._read_many()

    # Answers

    def answer(self, message: bytes) -> None:
        """Answer the one message of a call."""
        if self.open and not self.ending:
            self._send(enveloped(message), heads.OK)

    def fail(self, error: SeakeepError) -> None:
        """End with an error."""
        if self.open and not self.ending:
            ending = heads.ending(code_of(error), details_of(error), metadata_of(error), alone=not self.begun)
            self._places.clear()
            self._send(b"", ending)

    def refuse(self, error: Exception) -> None:
        """End with an error that nobody has counted yet."""
        if self.open:
            self.fail(self._line.service.refused(error))

    def flush(self) -> None:
        """Send the answers that are due: those before which none is missing."""
        places = self._places
        answers = []
        while places and places[0].message is not None:
            answers.append(enveloped(places.popleft().message or b""))
        if answers and self.open:
            self._send(b"".join(answers))
        if self.open:
            self._read_many()

    def sent(self, size: int) -> None:
        """So many bytes that had waited are gone (negative: have begun to wait)."""
        self._hold(-size)
        self.since_s = self._line.now_s if self.out else math.inf
        if size > 0 and not self.out and not self.ending:
            self._line.later(self)

    def close(self) -> None:
        """Nothing more is sent; an answer that still comes is for nobody."""
        if not self.open:
            return
        self.open = False
        self._line.hold(-self._held)
        self._held = 0
        self.out.clear()
        self._places.clear()
        self._envelopes = None
        self._line.closed(self)

    # Inside

    def _hold(self, size: int) -> None:
        self._held += size
        self._line.hold(size)

    def _send(self, data: bytes, ending: bytes = b"") -> None:
        self._line.send(self, data, ending)

    def _ask(self, body: bytes) -> None:
        self.since_s = math.inf
        self._line.service.ask(self.method, body, self)

    def _read_one(self, envelopes: Envelopes) -> None:
        if self._body is None:
            self._body = envelopes.next()
        if self._body is not None and len(envelopes):
            raise RequestError(501, "this method takes one message, and more were sent")
        if self.ended:
            if self._body is None:
                raise _cut_off(envelopes)
            body, self._body = self._body, None
            self._ask(body)
        else:
            if math.isinf(self.since_s):
                self.since_s = self._line.now_s
            self._line.read(self)

    def _read_many(self) -> None:
        """Ask what has come completely, as far as there is room for it; end when there is nothing more to come."""
        if self._reading or not self.open or self.ending:
            return
        self._reading = True
        asked = self._asked
        try:
            waits = self._take()
        except SeakeepError as error:
            self.refuse(error)
            return
        finally:
            self._reading = False
        self._watch(waits=waits, moved=self._asked > asked)
        if not self._places:
            self._end(waits=waits)
        elif self._places[0].message is not None:
            self._line.later(self)
        if not waits and not self.ended and self.open:
            self._line.read(self)

    def _watch(self, *, waits: bool, moved: bool) -> None:
        """Note since when the client owes us the rest of a message; we may owe it the room for that."""
        if self.out:
            return
        if waits or not self._envelopes:
            self.since_s = math.inf
        elif moved or math.isinf(self.since_s):
            self.since_s = self._line.now_s

    def _end(self, *, waits: bool) -> None:
        """End a call of many messages, all answered, if no more are to come or the worker ends."""
        if self._line.draining and not self.out:
            self.fail(UnavailableError("the worker is shutting down", hint="open the stream again"))
        elif self.ended and not waits:
            if self._envelopes:
                self.refuse(_cut_off(self._envelopes))
            else:
                self._send(b"", heads.OK)

    def _take(self) -> bool:
        """Ask for answers to complete messages; whether one may be left because there is no room."""
        envelopes, service, method = self._envelopes, self._line.service, self.method
        if envelopes is None:
            return False
        while not self._line.draining:
            if len(self._places) >= PIPELINED or self.out:
                return True
            size = len(envelopes)
            body = envelopes.next()
            if body is None:
                return False
            self._hold(len(envelopes) - size)
            place = _Turn(self)
            self._places.append(place)
            self._asked += 1
            service.ask(method, body, place)
        return False


class _Turn:
    """The place of an answer among those of its call."""

    __slots__ = ("_stream", "deadline_s", "message", "principal", "traceparent")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.principal, self.deadline_s, self.traceparent = stream.principal, stream.deadline_s, stream.traceparent
        self.message: bytes | None = None

    def answer(self, message: bytes) -> None:
        self.message = message
        stream = self._stream
        if stream.open and not stream._reading and stream._places and stream._places[0] is self:  # noqa: SLF001 -- its own
            stream.flush()

    def fail(self, error: SeakeepError) -> None:
        self._stream.fail(error)


def _is_whole(data: bytes, most: int) -> bool:
    """Whether bytes are one message, not compressed and not too large."""
    return 5 <= len(data) <= 5 + most and data[0] == 0 and int.from_bytes(data[1:5]) == len(data) - 5


def _cut_off(envelopes: Envelopes) -> RequestError:
    if len(envelopes):
        return RequestError(400, "the message is cut off")
    return RequestError(501, "this method takes one message, and none was sent")
