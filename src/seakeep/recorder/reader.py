"""Reads what was recorded: all of it, or what is new since the last look."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from seakeep.errors import RecorderError
from seakeep.recorder import stored
from seakeep.recorder.keyring import unlock
from seakeep.recorder.layout import Part, parts
from seakeep.recorder.segment import Damage, SegmentReader, moment_us, read_header, read_segment
from seakeep.records.prediction import Record
from seakeep.security.envelope import DataKey

T = TypeVar("T")


def scan(folder: Path, *, damage: list[Damage] | None = None) -> Iterator[Record]:
    """Every record of a folder, writer by writer, in the order of files.

    Parameters
    ----------
    damage
        Collects the places that cannot be read.

    Raises
    ------
    RecorderError
        Something cannot be read and ``damage`` is not given, or a file is no segment.
    """
    for part in parts(folder)[0]:
        found = segment(folder, part)
        if isinstance(found, Part):
            only = 0 if part.state == "parquet" else part.first
            yield from compacted(folder, found, partial(stored.read, only=only))
        else:
            yield from found.records()
            report(found, part, damage)


def segment(folder: Path, part: Part) -> SegmentReader | Part:
    """The frames of a segment behind its header; or the Parquet file, if it became one meanwhile."""
    found: Part | None = part
    while found and found.state != "parquet":
        try:
            reader = read_segment(found.path)
        except FileNotFoundError:
            found = _successor(folder, found)
            continue
        reader.header()
        return reader
    return found or SegmentReader(b"", part.path.name)  # it was empty, or was let go


def compacted(folder: Path, part: Part, question: Callable[[Path], Iterable[T]]) -> Iterator[T]:
    """What a Parquet file gives, or the one that took its place meanwhile; nothing if it was let go."""
    found: Part | None = part
    while found:
        try:
            yield from question(found.path)
        except FileNotFoundError:  # before the first: while it is read, nobody takes it away
            found = _successor(folder, found)
        else:
            return


def _successor(folder: Path, part: Part) -> Part | None:
    """The file that holds what was in one that is gone: it was sealed, compacted or revised since the folder was listed."""
    return next(
        (one for one in parts(folder)[0] if one.writer == part.writer and one.first <= part.first <= one.last), None
    )


def report(reader: SegmentReader, part: Part, damage: list[Damage] | None) -> None:
    """Hand over the damage a walk found; a sealed segment that ends inside a frame is damaged too.

    Raises
    ------
    RecorderError
        There is damage and nobody collects it.
    """
    if part.state == "seg":
        reader.finish()
    if not reader.damage:
        return
    if damage is None:
        first = reader.damage[0]
        message = f"{first.length} bytes at offset {first.offset} of {part.path} cannot be read"
        raise RecorderError(message, hint="restore the file from a copy, or read on without these records")
    damage.extend(reader.damage)


@dataclasses.dataclass(slots=True)
class _Follow:
    """A segment that is being followed. It stays open, so that what is renamed or replaced can be read to its end."""

    part: Part
    file: int
    key: DataKey | None
    offset: int = 0


class Tail:
    """Follows a folder: each :meth:`poll` gives the records that came since the last one, each exactly once.

    Several writers, seals, compaction and new files are followed. Only whole records are given; a record may be given
    before it is durable, and a second time, with the same sequence number, if the disk then failed to keep it. A new tail begins with all that is there.

    Parameters
    ----------
    folder
        Where the writers write; may not exist yet.
    since_us
        Records made before this moment are left out.

    Attributes
    ----------
    damage
        Places that could not be read.
    """

    def __init__(self, folder: Path, *, since_us: int = 0) -> None:
        self._folder, self._since_us = folder, since_us
        self._following: dict[tuple[str, int], _Follow] = {}
        self._done: dict[str, set[int]] = {}
        self.damage: list[Damage] = []

    def poll(self) -> list[Record]:
        """New records, in the order of each writer."""
        found: list[Record] = []
        listed, _ = parts(self._folder)
        # What is no longer listed as open does not grow any more: reading to its end now is reading all of it.
        growing = {(part.writer, part.first) for part in listed if part.state == "open"}
        for place, follow in sorted(self._following.items()):
            self._read(follow, found, growing=place in growing)
        for part in listed:
            if part.state == "parquet":
                self._whole(part, found)
            elif part.first in self._done.setdefault(part.writer, set()):
                continue
            elif self._since_us and part.state == "seg" and _next_began_us(listed, part) < self._since_us:
                self._done[part.writer].add(part.first)  # all in it is older
            else:
                self._begin(part, found)
        return found

    def close(self) -> None:
        """Let go of the files."""
        for follow in self._following.values():
            os.close(follow.file)
        self._following.clear()

    def _begin(self, part: Part, found: list[Record]) -> None:
        place = (part.writer, part.first)
        if place in self._following:
            return
        try:
            key = unlock(part.path)
            follow = _Follow(part, os.open(part.path, os.O_RDONLY), key)
        except FileNotFoundError:
            return  # renamed or replaced since it was listed: the next poll finds it
        self._following[place] = follow
        self._read(follow, found, growing=part.state == "open")

    def _read(self, follow: _Follow, found: list[Record], *, growing: bool) -> None:
        size = os.fstat(follow.file).st_size
        data = os.pread(follow.file, size - follow.offset, follow.offset) if size > follow.offset else b""
        reader = SegmentReader(data, follow.part.path.name, base=follow.offset, key=follow.key)
        begun = bool(follow.offset or reader.header())
        if begun:
            found.extend(record for record in reader.records() if moment_us(record) >= self._since_us)
            follow.offset += reader.offset
        if not growing and begun:
            reader.finish()
        self.damage += reader.damage
        if growing:
            return
        os.close(follow.file)
        del self._following[follow.part.writer, follow.part.first]
        self._done.setdefault(follow.part.writer, set()).add(follow.part.first)

    def _whole(self, part: Part, found: list[Record]) -> None:
        done = self._done.setdefault(part.writer, set())
        numbers = set(range(part.first, part.last + 1))
        if not numbers <= done:
            read = partial(stored.read, without=done & numbers, since_us=self._since_us)
            found.extend(compacted(self._folder, part, read))
            done |= numbers


def _next_began_us(listed: list[Part], part: Part) -> float:
    """When the segment after this one was begun: nothing in this one is newer. Infinity if that is not known."""
    later = [one for one in listed if one.writer == part.writer and one.first > part.last and one.state != "parquet"]
    own, header = read_header(part.path), read_header(later[0].path) if later else None
    # A clock that was set back in between tells nothing.
    return math.inf if header is None or (own and own.created_us > header.created_us) else header.created_us
