"""One open segment: bytes go to its end and to the disk, whole frames only, or the segment is given up."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from array import array
from collections.abc import Iterator
from pathlib import Path

from seakeep.recorder.keyring import Keyring
from seakeep.recorder.layout import KEY, segment_path, sync_folder
from seakeep.recorder.ledger import Ledger
from seakeep.recorder.segment import Header, add_frame, encode_header, seal_frames, weight
from seakeep.records.prediction import Record
from seakeep.security.envelope import DataKey

_BLOCK_BYTES = 64 << 10
"""Frames that are encrypted together: enough to cost little, few enough to lose little to one damaged byte."""


@dataclasses.dataclass(slots=True)
class Group:
    """Encoded frames that are written together.

    Attributes
    ----------
    buffer
        The frames.
    ends
        Where each frame ends in the buffer.
    weights
        How many sequence numbers each frame accounts for: 1, or a gap's count.
    """

    buffer: bytearray = dataclasses.field(default_factory=bytearray)
    ends: array[int] = dataclasses.field(default_factory=lambda: array("Q"))
    weights: array[int] = dataclasses.field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self.ends)

    def add(self, record: Record) -> None:
        """Append a record; raises RecorderError, and stays as it was, if it cannot be encoded."""
        add_frame(record, self.buffer)
        self.ends.append(len(self.buffer))
        self.weights.append(weight(record))

    def cuts(self, size: int) -> Iterator[int]:
        """Ends of frames that are at least ``size`` bytes apart, the last one included."""
        start = 0
        for end in self.ends:
            if end - start >= size or end == self.ends[-1]:
                yield end
                start = end

    def written(self, size: int) -> int:
        """Take away the whole frames among the first ``size`` bytes; returns how many numbers they account for."""
        whole = sum(end <= size for end in self.ends)
        cut = self.ends[whole - 1] if whole else 0
        accounted = sum(self.weights[:whole])
        del self.buffer[:cut], self.weights[:whole]
        self.ends = array("Q", [end - cut for end in self.ends[whole:]])
        return accounted


class Appender:
    """The segment a writer appends to.

    After any error of the file system it is sealed with the whole frames it holds and never written again: what
    follows a failed write or sync is not to be trusted. The caller begins another one.

    Parameters
    ----------
    ledger
        Its writer's ledger; gives the segment its number.
    now_us
        When it begins.
    keyring
        Gives the segment its key; None: it is not encrypted.

    Raises
    ------
    OSError
        It cannot be begun; nothing is left of it.
    """

    def __init__(self, ledger: Ledger, now_us: int, keyring: Keyring | None = None) -> None:
        self._ledger = ledger
        # The number is spent before the file exists, so that no two files ever have the same one.
        ledger.segment = number = ledger.segment + 1
        self._path = segment_path(ledger.folder, ledger.writer, number)
        self.accounted = ledger.accounted
        header = encode_header(Header(ledger.writer, number, now_us, self.accounted))
        self._key = keyring.create(self._path.stem) if keyring else None
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write_all(self._file, header)
                os.fsync(self._file)
                sync_folder(ledger.folder)
            except OSError:
                os.close(self._file)
                raise
        except OSError:
            self._remove()
            raise
        self.size = self._begin = len(header)

    def write(self, group: Group) -> None:
        """Append a group and sync it; the frames that are in the file for good are taken out of the group.

        Raises
        ------
        OSError
            Not all of it could be written, or the disk could not take it: the segment has been sealed, and what is
            still in the group belongs into another one.
        """
        done = whole = counted = 0
        try:
            for data, end in _blocks(group, self._key, self.size):
                stop = done + len(data)
                with memoryview(data) as view:
                    while done < stop:
                        with view[done - stop :] as rest:
                            done += os.pwrite(self._file, rest, self.size + done)
                whole, counted = done, end
        except OSError:
            # Readers may have seen the whole frames already, so they stay; the torn one goes.
            self._keep(group, counted if self._key else done, whole)
            self.seal()
            raise
        try:
            os.fdatasync(self._file)
        except OSError:
            # The kernel may have forgotten the data it could not write: none of this group counts.
            self.seal()
            raise
        self._keep(group, counted, whole)

    def seal(self) -> None:
        """Cut off what does not count, make the segment durable and give it its final name; an empty one goes."""
        try:
            os.ftruncate(self._file, self.size)
            with contextlib.suppress(OSError):
                # A disk that failed may fail here too; the whole frames are in the kernel's hands.
                os.fdatasync(self._file)
        finally:
            self._ledger.accounted = self.accounted
            os.close(self._file)
        if self.size == self._begin:
            self._remove()
        else:
            rename_sealed(self._path)

    def _keep(self, group: Group, done: int, whole: int) -> None:
        """Count the whole frames among the first ``done`` bytes of a group; encrypted, they take ``whole`` bytes."""
        before = len(group.buffer)
        self.accounted += group.written(done)
        self.size += whole if self._key else before - len(group.buffer)

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._path.with_suffix(KEY).unlink(missing_ok=True)


def write_segment(path: Path, header: Header, group: Group, key: DataKey | None) -> None:
    """Write a whole segment durably; the file is new or replaced.

    Raises
    ------
    OSError
        The disk does not take it.
    """
    data = bytearray(encode_header(header))
    for block, _ in _blocks(group, key, len(data)):
        data += block
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as target:
            target.write(data)
            target.flush()
            os.fsync(file)
    except OSError:
        path.unlink()
        raise


def _blocks(group: Group, key: DataKey | None, place: int) -> Iterator[tuple[bytearray | bytes, int]]:
    """What to write from a place of a file on, piece by piece, each with the end of the frames it holds in the group."""
    if key is None:
        yield group.buffer, len(group.buffer)
        return
    start = 0
    for end in group.cuts(_BLOCK_BYTES):
        with memoryview(group.buffer) as view, view[start:end] as frames:
            data = seal_frames(frames, key, place)
        yield data, end
        place, start = place + len(data), end


def _write_all(file: int, data: bytes) -> None:
    if os.pwrite(file, data, 0) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def rename_sealed(path: Path) -> None:
    """Give a complete segment its final name, durably."""
    path.rename(path.with_suffix(".seg"))
    sync_folder(path.parent)
