"""A gRPC connection without a socket: its server's half is ours, the client's half is ``h2``'s, or bare frames."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

import hpack

from seakeep.errors import AccessError
from seakeep.serving.exchange import Limits
from seakeep.serving.grpc import frames
from seakeep.serving.grpc.connection import Connection
from seakeep.serving.grpc.frames import FRAME_BYTES, PREFACE, Code, frame, settings_frame
from seakeep.serving.grpc.service import Method

ECHO, CHAT, GUARDED, LATER = "/test/Echo", "/test/Chat", "/test/Guarded", "/test/Later"
LIMITS = Limits(body_bytes=100_000)


class Service:
    """Echoes: at once, in a stream, only for a key, or when :meth:`answer` is called."""

    def __init__(self) -> None:
        self.methods = {
            ECHO: Method("Echo", bytes, self._echo),
            CHAT: Method("Chat", bytes, self._echo, streaming=True),
            GUARDED: Method("Guarded", bytes, self._echo),
            LATER: Method("Later", bytes, self._later),
        }
        self.asked: list[bytes] = []
        self.places: list[Any] = []
        self.faults: list[Exception] = []

    def admit(self, method: Method, keys: Any) -> str:
        if method.asked == "Guarded" and tuple(keys) != (b"Bearer key",):
            raise AccessError("no key")
        return "me"

    def ask(self, method: Method, body: bytes, place: Any) -> None:
        self.asked.append(body)
        method.act(body, place)

    def refused(self, error: Exception) -> Exception:
        self.faults.append(error)
        return error

    def _echo(self, body: bytes, place: Any) -> None:
        place.answer(body)

    def _later(self, body: bytes, place: Any) -> None:
        self.places.append((place, body))

    def answer(self) -> None:
        while self.places:
            place, body = self.places.pop(0)
            place.answer(body)


class Server:
    """What a connection needs of its server; nothing happens by itself."""

    def __init__(self, limits: Limits = LIMITS, max_calls: int = 100) -> None:
        self.service, self.limits, self.max_calls = Service(), limits, max_calls
        self.connections: set[Connection] = set()
        self.calls = self.buffered_bytes = 0
        self.draining = False
        self.now_s = 1000.0
        self._turns: deque[Any] = deque()
        self.later = self._turns.append

    def turn(self) -> None:
        while self._turns:
            self._turns.popleft()()


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.reading, self.ended, self.aborted = True, False, False

    def write(self, data: bytes) -> None:
        assert not self.ended, "something was written after the end"
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.aborted = True

    def take(self) -> bytes:
        data = bytes(self.sent)
        self.sent.clear()
        return data


@dataclasses.dataclass
class Frame:
    kind: int
    flags: int
    number: int
    payload: bytes


class Peer:
    """Speaks to a connection in bare frames."""

    def __init__(self, server: Server | None = None, *, settled: bool = True) -> None:
        self.server = server or Server()
        self.transport = Transport()
        self.connection = Connection(self.server)
        self.connection.connection_made(self.transport)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        if settled:
            self.say(PREFACE + settings_frame({}))
            self.hear()

    @property
    def service(self) -> Service:
        return self.server.service

    def say(self, *data: bytes) -> None:
        self.connection.data_received(b"".join(data))
        self.server.turn()

    def hear(self) -> list[Frame]:
        """The frames that were sent since the last time."""
        self.server.turn()
        found, data = [], self.transport.take()
        while data:
            size = int.from_bytes(data[:3])
            assert size <= FRAME_BYTES
            found.append(Frame(data[3], data[4], int.from_bytes(data[5:9]), data[9 : 9 + size]))
            data = data[9 + size :]
        return found

    def sweep(self, seconds: float = 0.0) -> None:
        self.server.now_s += seconds
        self.connection.look()
        self.server.turn()

    def head(self, path: str = ECHO, **more: str | None) -> list[tuple[str, str]]:
        """The header list of a call; ``more`` changes fields, None leaves one out (``_`` is ``-``)."""
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
        fields["content-type"] = "application/grpc"
        for name, value in more.items():
            key = name.replace("_", "-")
            fields[f":{key}" if f":{key}" in fields else key] = value
        return [(name, value) for name, value in fields.items() if value is not None]

    def block(self, path: str = ECHO, **more: str | None) -> bytes:
        return self.encoder.encode(self.head(path, **more))

    def open(self, number: int, path: str = ECHO, *, end: bool = False, **more: str | None) -> bytes:
        """A HEADERS frame that opens a call."""
        return frame(
            frames.HEADERS, frames.END_HEADERS | (frames.END_STREAM if end else 0), number, self.block(path, **more)
        )

    def call(self, number: int, path: str = ECHO, message: bytes = b"hello", **more: str | None) -> bytes:
        """A whole call of one message."""
        return self.open(number, path, **more) + data(number, envelope(message), end=True)

    def told(self, number: int) -> tuple[dict[str, str], bytes, bool]:
        """Headers (and trailers), data of a stream, and whether it ended, among what is heard now."""
        fields: dict[str, str] = {}
        body, ended = b"", False
        for one in self.hear():
            if one.kind == frames.HEADERS:
                found = dict(self.decoder.decode(one.payload))
                if one.number == number:
                    fields |= found
            if one.number == number:
                body += one.payload if one.kind == frames.DATA else b""
                ended = ended or (one.kind in {frames.DATA, frames.HEADERS} and bool(one.flags & frames.END_STREAM))
        return fields, body, ended

    def end(self) -> Code | None:
        """The code of the GOAWAY that ended the connection; None: it goes on."""
        codes = [one.payload[4:8] for one in self.hear() if one.kind == frames.GOAWAY]
        return Code(int.from_bytes(codes[-1])) if codes and self.transport.ended else None

    def resets(self) -> dict[int, Code]:
        """Streams that were reset, by number."""
        return {one.number: Code(int.from_bytes(one.payload)) for one in self.hear() if one.kind == frames.RST_STREAM}


def envelope(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4) + message


def data(number: int, payload: bytes = b"", *, end: bool = False) -> bytes:
    """DATA frames, as many as are needed."""
    parts = [payload[at : at + FRAME_BYTES] for at in range(0, len(payload), FRAME_BYTES)] or [b""]
    last = len(parts) - 1
    return b"".join(
        frame(frames.DATA, frames.END_STREAM if end and at == last else 0, number, part)
        for at, part in enumerate(parts)
    )
