"""gRPC's messages in a stream of bytes: each behind five bytes that tell whether it is compressed, and its length.

References
----------
gRPC, *gRPC over HTTP2*, Length-Prefixed-Message; *Compression*.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from seakeep.serving.errors import RequestError

_PREFIX = 5
_WINDOW_BITS: Mapping[bytes, int] = {b"gzip": 31, b"deflate": 15}
ENCODINGS = (b"identity", *_WINDOW_BITS)
"""What messages may be compressed with."""


class Envelopes:
    """Cuts messages out of the bytes of one call.

    Parameters
    ----------
    encoding
        Of :data:`ENCODINGS`.
    most
        Largest message in bytes, as sent and as decompressed.
    """

    __slots__ = ("_buffer", "_encoding", "_most")

    def __init__(self, encoding: bytes, most: int) -> None:
        self._encoding, self._most = encoding, most
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take some more bytes."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next message, if it is complete.

        Raises
        ------
        RequestError
            It is too large, or not compressed as it says.
        """
        buffer = self._buffer
        if len(buffer) < _PREFIX:
            return None
        size = int.from_bytes(buffer[1:_PREFIX])
        if size > self._most:
            raise self._too_large()
        end = _PREFIX + size
        if len(buffer) < end:
            return None
        flag = buffer[0]
        body = bytes(buffer[_PREFIX:end])
        del buffer[:end]
        return body if flag == 0 else self._decompressed(flag, body)

    def _decompressed(self, flag: int, body: bytes) -> bytes:
        bits = _WINDOW_BITS.get(self._encoding)
        if flag != 1 or bits is None:
            raise RequestError(400, "a message is compressed, but no 'grpc-encoding' tells how")
        stream = zlib.decompressobj(wbits=bits)
        try:
            plain = stream.decompress(body, self._most + 1)
        except zlib.error as error:
            raise RequestError(400, f"a message is not {self._encoding.decode()}") from error
        if len(plain) > self._most:
            raise self._too_large()
        if not stream.eof or stream.unused_data:
            raise RequestError(400, f"a message is not one complete {self._encoding.decode()} stream")
        return plain

    def _too_large(self) -> RequestError:
        return RequestError(413, f"a message is larger than {self._most} bytes", hint="send fewer rows")


def enveloped(message: bytes) -> bytes:
    """A message as it travels, uncompressed."""
    return b"\x00" + len(message).to_bytes(4) + message
