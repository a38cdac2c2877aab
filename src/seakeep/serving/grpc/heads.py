"""Heads of calls: header blocks become what a server needs to know of a call, and answers become header blocks.

``hpack`` compresses. Clients repeat themselves: as long as no block has moved its dynamic table, bytes that were read once
mean the same again, and are not read twice.

References
----------
RFC 9113, sections 8.1 to 8.3; RFC 7541 (HPACK); gRPC, *gRPC over HTTP2*.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from urllib.parse import quote

from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple, OversizedHeaderListError

from seakeep.serving.exchange import Limits
from seakeep.serving.grpc.frames import Code, ConnectionFault, StreamFault
from seakeep.serving.grpc.status import Status

REMEMBERED, REMEMBERED_BYTES = 64, 512
"""Blocks that are remembered of a connection, and how large each may be."""
MESSAGE_CHARACTERS = 1024
"""Of an error's text."""

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
_OF_HTTP_1 = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_SINGLE = frozenset({b"content-type", b"content-length", b"grpc-timeout", b"grpc-encoding", b"te", b"host"})
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CONTENT_TYPES = (b"", b"+", b";")
_GRPC = b"application/grpc"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a client says of a call before its messages.

    Attributes
    ----------
    keys
        Values of ``authorization``.
    timeout_s
        How long the client waits; None: as long as it takes; negative: nobody can read what was sent.
    encoding
        Of compressed messages.
    length
        Of all DATA, if it was told.
    status
        Of HTTP: not 200 for what is no gRPC at all.
    traceparent
        See https://www.w3.org/TR/trace-context/; ``b""``: none, or more than one, which means none.
    """

    path: str
    keys: tuple[bytes, ...] = ()
    timeout_s: float | None = None
    encoding: bytes = b"identity"
    length: int | None = None
    status: int = 200
    traceparent: bytes = b""


class HeadReader:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = Decoder(limits.header_bytes)
        self._known: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head:
        """The head that opens a call.

        Raises
        ------
        ConnectionFault
            It cannot be decompressed, and so nothing that follows.
        StreamFault
            It is malformed.
        """
        head = self._known.get(block)
        if head is None:
            fields, moved = self._decompress(block)
            head = _head(fields, self._limits)
            if not moved and len(block) <= REMEMBERED_BYTES:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[block] = head
        return head

    def read_trailers(self, block: bytes) -> None:
        """Look at what follows the messages, of which gRPC uses nothing; raises as :meth:`read` does."""
        fields, _ = self._decompress(block)
        _check(fields, self._limits)
        if any(name in _PSEUDO for name, _ in fields):
            raise StreamFault(Code.PROTOCOL_ERROR, "a pseudo-header among trailers")

    def skip(self, block: bytes) -> None:
        """Read a block that no call is opened by; those that follow build upon it."""
        self._decompress(block)

    def _decompress(self, block: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
        """Names and values, and whether the dynamic table has moved."""
        if _resized(block) > 2:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "a header block that resizes its table again and again")
        table = self._decoder.header_table.dynamic_entries
        before = len(table), table[0] if table else None
        try:
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            message = f"the headers are larger than {self._limits.header_bytes} bytes"
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, message) from error
        except (HPACKError, IndexError) as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "a header block that is not HPACK") from error
        moved = len(table) != before[0] or (table[0] if table else None) is not before[1]
        if moved:
            self._known.clear()
        return fields, moved


def _resized(block: bytes) -> int:
    """How often a block begins by resizing the dynamic table: more than twice says nothing more, and takes time (RFC 7541, 4.2)."""
    at = count = 0
    while at < len(block) and block[at] & 0xE0 == 0x20 and count < 3:
        count += 1
        more = block[at] & 0x1F == 0x1F
        at += 1
        while more and at < len(block):
            more = block[at] >= 0x80
            at += 1
    return count


def _check(fields: list[tuple[bytes, bytes]], limits: Limits) -> None:
    """Refuse what HTTP/2 calls malformed, whatever it is for: another reader might read it in another way."""
    if len(fields) > limits.header_count:
        raise StreamFault(Code.ENHANCE_YOUR_CALM, f"more than {limits.header_count} headers")
    regular = False
    seen = set()
    for name, value in fields:
        pseudo = name[:1] == b":"
        if (regular or name not in _PSEUDO) if pseudo else not _NAME.fullmatch(name):
            raise StreamFault(Code.PROTOCOL_ERROR, f"header {name[:64]!r} may not stand there")
        if not _VALUE.fullmatch(value):
            raise StreamFault(Code.PROTOCOL_ERROR, f"header {name[:64]!r} has a value that is none")
        if name in _OF_HTTP_1 or (name == b"te" and value.lower() != b"trailers"):
            raise StreamFault(Code.PROTOCOL_ERROR, f"header {name[:64]!r} is not HTTP/2's")
        if name in seen and (pseudo or name in _SINGLE):
            raise StreamFault(Code.PROTOCOL_ERROR, f"header {name[:64]!r} is there twice")
        regular = not pseudo
        seen.add(name)


def _head(fields: list[tuple[bytes, bytes]], limits: Limits) -> Head:
    _check(fields, limits)
    sent = dict(fields)
    path = sent.get(b":path", b"")
    if not path or b":method" not in sent or b":scheme" not in sent:
        raise StreamFault(Code.PROTOCOL_ERROR, "a pseudo-header is missing")
    if sent.get(b"host", sent.get(b":authority")) != sent.get(b":authority", sent.get(b"host")):
        raise StreamFault(Code.PROTOCOL_ERROR, "host and :authority differ")
    length = sent.get(b"content-length")
    if length is not None and not (length.isdigit() and len(length) < 16):
        raise StreamFault(Code.PROTOCOL_ERROR, "a content-length that is no number")
    kind = sent.get(b"content-type", b"").lower()
    spoken = kind.startswith(_GRPC) and kind[len(_GRPC) :][:1] in _CONTENT_TYPES
    status = 200 if spoken else 415
    traces = [value for name, value in fields if name == b"traceparent"]
    return Head(
        path=path[: limits.path_bytes].decode("latin-1"),
        keys=tuple(value for name, value in fields if name == b"authorization"),
        timeout_s=_timeout_s(sent[b"grpc-timeout"]) if b"grpc-timeout" in sent else None,
        encoding=sent.get(b"grpc-encoding", b"identity").lower(),
        length=None if length is None else int(length),
        status=405 if sent[b":method"] != b"POST" else status,
        traceparent=traces[0] if len(traces) == 1 else b"",
    )


def _timeout_s(text: bytes) -> float:
    found = _TIMEOUT.fullmatch(text)
    return int(found[1]) * _SECONDS[found[2]] if found else -1.0


def block(*fields: tuple[str, str]) -> bytes:
    """A header block that means the same on every connection, because no field enters the dynamic table."""
    return bytes(Encoder().encode([NeverIndexedHeaderTuple(name.encode(), value.encode()) for name, value in fields]))


_BEGINNING = ((":status", "200"), ("content-type", _GRPC.decode()))
RESPONSE = block(*_BEGINNING)
"""Begins an answer."""
OK = block(("grpc-status", "0"))
"""Ends it well."""


@functools.lru_cache(256)
def ending(status: Status, details: str, metadata: tuple[tuple[str, str], ...], *, alone: bool) -> bytes:
    """The block that ends a call with an error; ``alone``: nothing was answered before."""
    text = quote(details[:MESSAGE_CHARACTERS], safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    trailers = (("grpc-status", str(int(status))), ("grpc-message", text), *metadata)
    return block(*(_BEGINNING if alone else ()), *trailers)


@functools.lru_cache(8)
def refusal(status: int) -> bytes:
    """The block that answers what is no call of gRPC."""
    return block((":status", str(status)), ("content-length", "0"))
