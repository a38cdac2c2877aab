"""The segment format: an append-only file of framed, checksummed records.

Format version 1, all integers little-endian::

    segment = magic frame(header) frame(record)*
    magic   = "SEAKSEG" 0x01                      8 bytes; the last one is the format version
    frame   = crc32:u32 length:u32 payload        crc32 (ISO-HDLC, as in zlib) covers length and payload
    header  = msgpack array [writer, number, created_us, accounted]
    record  = msgpack array [tag, field ...]      tag "p", "e" or "g"; fields in the order of records.prediction

In an encrypted segment the frames behind the header hold ``["x", sealed]`` in place of records: ``sealed`` is AES-256-GCM
of one or more whole frames, under the segment's key (:mod:`seakeep.recorder.keyring`), with the place of the outer frame
in the file as nonce (12 bytes, big-endian). ``docs/recorder.md`` describes all of it for other programs.

``accounted`` is how many sequence numbers of the writer were accounted for (recorded, or counted in a gap) before the
segment began: with the records and gaps inside, it tells exactly how many are missing at any point.

Fields may be added at the end of a record; readers ignore fields they do not know. Anything else is a new version.

A file that ends inside a frame has a torn tail: what follows the last whole frame never was acknowledged. Bytes that
are not a whole frame although whole frames follow are damage: it is reported with its place, never skipped in silence.
"""

from __future__ import annotations

import dataclasses
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seakeep.errors import IntegrityError, RecorderError
from seakeep.recorder.keyring import unlock
from seakeep.records.prediction import Gap, Record
from seakeep.security.envelope import DataKey

if TYPE_CHECKING:
    from mmap import mmap

VERSION = 1
MAGIC = b"SEAKSEG" + bytes([VERSION])
MAX_PAYLOAD = 1 << 28

_FRAME = struct.Struct("<II")
_FRAME_BYTES = _FRAME.size
_ARRAY_16 = 0xDC
_HEADER_BYTES = 512
"""More than a header takes."""
_BLOCK_START = b"\x92\xa1x"
_RECORD_START = re.compile(rb"(?:[\x90-\x9f]|\xdc..)\xa1[pegx]", re.DOTALL)
"""How the payload of a record begins: a msgpack array whose first element is the tag."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What a segment says of itself; see the format above."""

    writer: str
    number: int
    created_us: int
    accounted: int


class Block(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """Frames that were encrypted together."""

    sealed: bytes


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a segment that cannot be read although records follow them, or that end a sealed segment."""

    file: str
    offset: int
    length: int


_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(Record)
_header_decoder = msgspec.msgpack.Decoder(Header)
_block_decoder = msgspec.msgpack.Decoder(Block)


def decode_record(payload: bytes | memoryview) -> Record:
    """The record in a whole frame.

    Raises
    ------
    RecorderError
        The payload is whole but not a record of this version.
    """
    try:
        record: Record = _record_decoder.decode(payload)
    except msgspec.DecodeError as error:
        message = f"a whole frame holds no record of format {VERSION}: {error}"
        raise RecorderError(message, hint="read it with the release that wrote it") from error
    return record


def encode_header(header: Header) -> bytes:
    """The first bytes of a segment."""
    payload = _encoder.encode(header)
    return MAGIC + _frame(payload) + payload


def add_frame(record: Record, buffer: bytearray) -> None:
    """Append a record's frame to a buffer.

    Raises
    ------
    RecorderError
        The record cannot be encoded; the buffer is as before.
    """
    start = len(buffer)
    try:
        _encoder.encode_into(record, buffer, start + _FRAME_BYTES)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        del buffer[start:]
        message = f"a record cannot be encoded: {error}"
        raise RecorderError(message, hint="send values that JSON can hold") from error
    length = len(buffer) - start - _FRAME_BYTES
    _FRAME.pack_into(buffer, start, 0, length)
    with memoryview(buffer) as view:
        checksum = zlib.crc32(view[start + 4 :])
    _FRAME.pack_into(buffer, start, checksum, length)


def seal_frames(frames: memoryview, key: DataKey, place: int) -> bytes:
    """Whole frames as one encrypted frame, to be written at ``place`` of its file and nowhere else."""
    payload = _encoder.encode(Block(key.seal(place, frames)))
    return _frame(payload) + payload


def read_segment(path: Path) -> SegmentReader:
    """A reader of a segment's file as it is now.

    Raises
    ------
    FileNotFoundError
        It is gone.
    IntegrityError
        It is encrypted, and its key cannot be had.
    """
    key = unlock(path)  # before the file: a key goes after its file
    return SegmentReader(path.read_bytes(), path.name, key=key)


def read_header(path: Path) -> Header | None:
    """The header of a segment's file; None if it is gone, damaged, or ends inside it."""
    try:
        with path.open("rb") as file:
            return SegmentReader(file.read(_HEADER_BYTES), path.name).header()
    except (FileNotFoundError, RecorderError):
        return None


@dataclasses.dataclass(slots=True)
class SegmentReader:
    """Walks over the frames of a segment, or of the part of it that is there.

    Attributes
    ----------
    buffer
        Bytes of the file.
    file
        Its name, for messages.
    base
        Where in the file the buffer begins.
    key
        The segment's key; None if it is not encrypted.
    offset
        Start of the first byte not read yet: after the walk, the end of the last whole frame.
    damage
        Places skipped because they were no whole frame although whole frames follow.
    """

    buffer: memoryview | mmap | bytes
    file: str
    base: int = 0
    key: DataKey | None = None
    offset: int = 0
    damage: list[Damage] = dataclasses.field(default_factory=list)

    def header(self) -> Header | None:
        """The header, from the beginning of the file; None if the file ends inside it.

        Raises
        ------
        RecorderError
            The file is no segment, or its header is damaged.
        """
        start = bytes(self.buffer[: len(MAGIC)])
        if not MAGIC.startswith(start):
            message = f"{self.file} is not a segment of format {VERSION}"
            raise RecorderError(message, hint="move files of other origin out of the recorder's folder")
        whole = self._whole(memoryview(self.buffer), len(MAGIC))
        if whole:
            self.offset = whole
            return _header_decoder.decode(self.buffer[len(MAGIC) + _FRAME_BYTES : whole])
        if self._follows(len(MAGIC)):
            message = f"{self.file} has a damaged header"
            raise RecorderError(message, hint="restore the file from a copy; `seakeep doctor` names what it held")
        return None

    def payloads(self) -> Iterator[memoryview]:
        """Payloads of the whole frames from ``offset`` on, decrypted, in order."""
        view = memoryview(self.buffer)
        size, offset, unpack, crc32 = len(view), self.offset, _FRAME.unpack_from, zlib.crc32
        while offset + _FRAME_BYTES <= size:
            checksum, length = unpack(view, offset)
            end = offset + _FRAME_BYTES + length
            if end > size or crc32(view[offset + 4 : end]) != checksum:
                found = self._follows(offset + 1)
                if not found:
                    return
                self.damage.append(Damage(file=self.file, offset=self.base + offset, length=found - offset))
                offset = self.offset = found
                continue
            self.offset = end
            payload = view[offset + _FRAME_BYTES : end]
            if payload[:3] == _BLOCK_START:
                yield from self._opened(payload, offset)
            else:
                yield payload
            offset = end

    def records(self) -> Iterator[Record]:
        """The records of the whole frames from ``offset`` on, in order."""
        return map(decode_record, self.payloads())

    def finish(self) -> None:
        """Count what follows the last whole frame as damage: a sealed segment has no torn tail."""
        rest = len(self.buffer) - self.offset
        if rest:
            self.damage.append(Damage(file=self.file, offset=self.base + self.offset, length=rest))

    def _opened(self, payload: memoryview, offset: int) -> Iterator[memoryview]:
        """The payloads in an encrypted frame; one that was changed is damage."""
        if self.key is None:
            message = f"{self.file} is encrypted, and its key is gone"
            raise RecorderError(message, hint="restore the .key file of that name from a copy")
        try:
            frames = self.key.open(self.base + offset, _block_decoder.decode(payload).sealed)
        except (IntegrityError, msgspec.DecodeError):
            length = _FRAME_BYTES + len(payload)
            self.damage.append(Damage(file=self.file, offset=self.base + offset, length=length))
            return
        yield from SegmentReader(frames, self.file).payloads()

    def _follows(self, start: int) -> int:
        """Start of the first whole record frame at or after ``start``; 0 if there is none."""
        view = memoryview(self.buffer)
        position = start + _FRAME_BYTES
        while found := _RECORD_START.search(view, position):
            if self._whole(view, found.start() - _FRAME_BYTES):
                return found.start() - _FRAME_BYTES
            position = found.start() + 1
        return 0

    @staticmethod
    def _whole(view: memoryview, offset: int) -> int:
        """End of the frame at ``offset`` if it is whole, else 0."""
        if offset + _FRAME_BYTES > len(view):
            return 0
        checksum, length = _FRAME.unpack_from(view, offset)
        end = offset + _FRAME_BYTES + length
        whole = length <= MAX_PAYLOAD and end <= len(view) and zlib.crc32(view[offset + 4 : end]) == checksum
        return end if whole else 0


def kind_of(payload: memoryview) -> str:
    """The tag of a record, without decoding it: ``p``, ``e`` or ``g``."""
    return chr(payload[4] if payload[0] == _ARRAY_16 else payload[2])


def weight(record: Record) -> int:
    """How many sequence numbers a record accounts for: 1, or a gap's count."""
    return record.count if isinstance(record, Gap) else 1


def moment_us(record: Record) -> int:
    """When a record was made; the end of a gap."""
    return record.to_us if isinstance(record, Gap) else record.recorded_us


def _frame(payload: bytes) -> bytes:
    length = struct.pack("<I", len(payload))
    return struct.pack("<I", zlib.crc32(payload, zlib.crc32(length))) + length
