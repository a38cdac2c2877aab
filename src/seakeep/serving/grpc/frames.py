"""HTTP/2 frames: nine bytes that tell length, type, flags and stream, then a payload.

Cuts frames out of what arrives, and makes those that leave; what may follow what is not decided here.

References
----------
RFC 9113 (HTTP/2), sections 3.4, 4.1, 4.2, 6 and 7.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WEIGHTED = 0x20
"""Flag of HEADERS: five bytes of priority come first, which nobody heeds any more (section 5.3.2)."""
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)
FRAME_BYTES = 16_384
"""Largest payload before settings say otherwise; ours never say otherwise."""
WINDOW = 65_535
"""A window before settings or updates say otherwise."""
WINDOW_MOST = 2**31 - 1

_HEAD = struct.Struct(">HBBBI")
_SETTING = struct.Struct(">HI")
_LENGTHS = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_OF_STREAMS = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION})
_OF_CONNECTIONS = frozenset({SETTINGS, PING, GOAWAY})


class Code(enum.IntEnum):
    """Why a stream or a connection ends (section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFault(Exception):
    """The peer broke a rule in a way that ends the connection."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamFault(Exception):
    """The peer broke a rule in a way that ends one stream."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class FrameReader:
    """Cuts what a client sends into frames: first the preface, then frame after frame."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    @property
    def partial(self) -> bool:
        """Whether a frame, or the preface, has begun and is not complete."""
        return bool(self._rest) or not self._begun

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Type, flags, stream and payload of each frame that is complete with these bytes.

        Raises
        ------
        ConnectionFault
            It is not HTTP/2, or a frame is larger than allowed.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        size = len(data)
        at = 0
        if not self._begun:
            if data[: len(PREFACE)] != PREFACE[:size]:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "not HTTP/2")
            if size < len(PREFACE):
                self._rest = data
                return
            self._begun = True
            at = len(PREFACE)
        while size - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > FRAME_BYTES:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            end = at + 9 + length
            if end > size:
                break
            yield kind, flags, stream & WINDOW_MOST, data[at + 9 : end]
            at = end
        self._rest = data[at:]


def check(kind: int, flags: int, stream: int, length: int) -> None:
    """Refuse a frame that its own type forbids, wherever it stands.

    Raises
    ------
    ConnectionFault, StreamFault
        It is on a stream, or of a length, that its type does not have.
    """
    if stream == 0 if kind in _OF_STREAMS else stream != 0 and kind in _OF_CONNECTIONS:
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"a frame of type {kind} on stream {stream}")
    if kind == PUSH_PROMISE:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "clients do not push")
    if length != _LENGTHS.get(kind, length):
        fault = StreamFault if kind == PRIORITY else ConnectionFault
        raise fault(Code.FRAME_SIZE_ERROR, f"a frame of type {kind} with {length} bytes")
    if kind == SETTINGS and (length % 6 or (flags & ACK and length)):
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"settings of {length} bytes")
    if kind == GOAWAY and length < 8:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a GOAWAY of {length} bytes")


def unpadded(kind: int, flags: int, payload: bytes) -> bytes:
    """The payload of DATA or HEADERS without padding and priority.

    Raises
    ------
    ConnectionFault
        They are longer than the payload.
    """
    start, end = 0, len(payload)
    if flags & PADDED:
        if not end:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a padded frame without the length of its padding")
        start = 1
        end -= payload[0]
    if kind == HEADERS and flags & WEIGHTED:
        start += 5
    if start > end:
        size_alone = not flags & PADDED or len(payload) < start
        code = Code.FRAME_SIZE_ERROR if size_alone else Code.PROTOCOL_ERROR
        raise ConnectionFault(code, "padding or priority is longer than its frame")
    return payload[start:end]


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Numbers and values, in their order; numbers nobody knows are among them.

    Raises
    ------
    ConnectionFault
        A value is not allowed.
    """
    settings = list(_SETTING.iter_unpack(payload))
    for number, value in settings:
        if number == ENABLE_PUSH and value > 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"ENABLE_PUSH is {value}")
        if number == INITIAL_WINDOW_SIZE and value > WINDOW_MOST:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE is {value}")
        if number == MAX_FRAME_SIZE and not FRAME_BYTES <= value < 2**24:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"MAX_FRAME_SIZE is {value}")
    return settings


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def settings_frame(settings: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*one) for one in settings.items()))


def reset_frame(stream: int, code: Code) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4))


def window_frame(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4))


def goaway_frame(last: int, code: Code, message: str = "") -> bytes:
    """A GOAWAY frame; ``last`` is the highest stream that is answered."""
    return frame(GOAWAY, 0, 0, last.to_bytes(4) + code.to_bytes(4) + message.encode()[:256])
