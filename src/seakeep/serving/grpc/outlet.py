"""What leaves on a connection: headers at once, messages as far as the client's windows let them go.

References
----------
RFC 9113, sections 5.2 and 6.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from seakeep.serving.grpc import frames, heads
from seakeep.serving.grpc.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    HEADERS,
    WINDOW,
    WINDOW_MOST,
    Code,
    ConnectionFault,
    StreamFault,
    frame,
)

_TABLE_BYTES = 4096
_EMPTY_TABLE = b"\x20"
"""Begins a header block: the dynamic table, which we do not use, has no bytes from here on (RFC 7541, 4.2)."""


class Outgoing(Protocol):
    """A stream, as far as its answers are concerned.

    Attributes
    ----------
    credit
        Bytes its client allowed beyond the initial window, less those that were sent.
    begun
        Whether its head was sent.
    out, ending
        Bytes of messages that wait for a window, and the header block that ends the stream after them, if it is to end.
    """

    number: int
    credit: int
    begun: bool
    out: bytearray
    ending: bytes

    def sent(self, size: int) -> None:
        """So many bytes that had waited are gone."""
        ...

    def close(self) -> None:
        """The end was sent."""
        ...


class Outlet:
    """Sends frames within the client's windows and settings.

    Parameters
    ----------
    write
        Takes frames.

    Attributes
    ----------
    blocked
        Whether the transport is full, so that messages wait whatever the windows say.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._window = self._initial = WINDOW
        self._frame_bytes = FRAME_BYTES
        self._table_bytes = _TABLE_BYTES
        self._before_block = b""
        self._waiting: dict[int, Outgoing] = {}
        self.blocked = False

    def send(self, stream: Outgoing, data: bytes, ending: bytes = b"") -> None:
        """Send messages in their envelopes, and then the end; what the windows do not allow waits.

        Parameters
        ----------
        ending
            The header block that ends the stream; with no data and nothing sent before it is the whole answer.
        """
        number, size = stream.number, len(data)
        if size and not stream.begun:
            stream.begun = True
            self._write(self._headers(number, heads.RESPONSE, 0))
        if stream.out or self.blocked or size > min(self._window, self._initial + stream.credit, self._frame_bytes):
            stream.out += data
            stream.sent(-size)
            stream.ending = ending
            self._waiting[number] = stream
            self.pump()
            return
        if size:
            self._window -= size
            stream.credit -= size
            self._write(frame(DATA, 0, number, data))
        if ending:
            self._write(self._headers(number, ending, END_STREAM))
            stream.close()

    def pump(self) -> None:
        """Send what waits, stream by stream in turn, as far as it may go now."""
        moved = True
        while moved and self._waiting and not self.blocked:
            moved = False
            for stream in list(self._waiting.values()):
                room = min(self._window, self._initial + stream.credit, self._frame_bytes)
                if room > 0 and stream.out:
                    chunk = bytes(stream.out[:room])
                    del stream.out[:room]
                    self._window -= len(chunk)
                    stream.credit -= len(chunk)
                    self._write(frame(DATA, 0, stream.number, chunk))
                    moved = True
                    stream.sent(len(chunk))
                if not stream.out and stream.number in self._waiting:
                    del self._waiting[stream.number]
                    if stream.ending:
                        self._write(self._headers(stream.number, stream.ending, END_STREAM))
                        stream.close()

    def forget(self, stream: Outgoing) -> None:
        """Send nothing more of a stream."""
        self._waiting.pop(stream.number, None)

    def widen(self, stream: Outgoing | None, increment: int) -> None:
        """The client has room for so many more bytes on a stream, or on the connection.

        Raises
        ------
        ConnectionFault, StreamFault
            It says so wrongly.
        """
        fault = StreamFault if stream else ConnectionFault
        if not increment:
            raise fault(Code.PROTOCOL_ERROR, "a window grows by nothing")
        window = (self._initial + stream.credit if stream else self._window) + increment
        if window > WINDOW_MOST:
            raise fault(Code.FLOW_CONTROL_ERROR, "a window grows beyond its largest size")
        if stream:
            stream.credit += increment
        else:
            self._window = window

    def heed(self, number: int, value: int, most_credit: int) -> None:
        """Follow a setting of the client.

        Parameters
        ----------
        most_credit
            The largest credit of a stream; 0 if there is none.

        Raises
        ------
        ConnectionFault
            A window would grow beyond its largest size.
        """
        if number == frames.INITIAL_WINDOW_SIZE:
            if value + most_credit > WINDOW_MOST:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window grows beyond its largest size")
            self._initial = value
        elif number == frames.MAX_FRAME_SIZE:
            self._frame_bytes = value
        elif number == frames.HEADER_TABLE_SIZE and value < self._table_bytes:
            self._table_bytes = 0
            self._before_block = _EMPTY_TABLE

    def _headers(self, number: int, block: bytes, flags: int) -> bytes:
        if self._before_block:
            block = self._before_block + block
            self._before_block = b""
        return frame(HEADERS, flags | END_HEADERS, number, block)
