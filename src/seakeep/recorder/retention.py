"""Lets the oldest records go: by age or by size, whole files at a time, never one that is being read.

Files go from the front of a writer's row, so that what is gone is a prefix of its numbers: how many, the first file that
is left tells (:func:`expired`).

A clock that jumps ahead makes everything look old. So nothing goes by age until the wall clock has agreed with the steady
one for :data:`SETTLED_S`, and a file dated in the future is as old as the first one behind it that is not.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import msgspec

from seakeep.clock import MICROSECONDS, Clock
from seakeep.recorder import stored
from seakeep.recorder.container import alone
from seakeep.recorder.layout import Part, parts, writers
from seakeep.recorder.ledger import accounted_by
from seakeep.recorder.segment import moment_us, read_header, read_segment
from seakeep.recorder.upkeep import remove, upkeep

SETTLED_S = 3_600.0
"""How long the clocks must have agreed, in seconds."""
TOLERANCE_S = 60.0
"""By how much they may differ, in seconds."""


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """What one look let go.

    Attributes
    ----------
    files, size
        How many, and their bytes.
    in_use
        Files that were due and are being read; they go another time.
    """

    files: int = 0
    size: int = 0
    in_use: int = 0


class Steadiness:
    """Tells for how long the wall clock has run as a clock should.

    Parameters
    ----------
    clock
        The wall clock.
    steady_s
        A clock that cannot be set, in seconds.
    """

    def __init__(self, clock: Clock, steady_s: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._steady_s = clock, steady_s
        self._since_s = steady_s()
        self._offset_s = self._offset()

    def settled(self) -> bool:
        """Whether both have agreed for :data:`SETTLED_S`."""
        offset = self._offset()
        if abs(offset - self._offset_s) > TOLERANCE_S:
            self._since_s, self._offset_s = self._steady_s(), offset
        return self._steady_s() - self._since_s >= SETTLED_S

    def _offset(self) -> float:
        return self._clock.now_us() / MICROSECONDS - self._steady_s()


def expire(folder: Path, *, older_than_us: int | None = None, now_us: int = 0, max_bytes: int = 0) -> Expired:
    """Let go of sealed files whose every record is too old, then of the oldest while they take too much room.

    Parameters
    ----------
    older_than_us
        Files whose records are all from before this moment go; None: none goes by age.
    now_us
        The present moment: what is dated later is not believed.
    max_bytes
        Room that the folder's records may take; 0: all there is.
    """
    if not folder.is_dir():
        return Expired()
    with upkeep(folder) as ours:
        if not ours:
            return Expired()
        rows = [_Row(list(group), now_us) for _, group in groupby(parts(folder)[0], key=lambda part: part.writer)]
        if older_than_us is not None:
            for row in rows:
                while row.newest_us < older_than_us and row.let_go():
                    pass
        room = sum(row.size for row in rows)
        while max_bytes and room > max_bytes:
            oldest = min(rows, key=lambda row: row.newest_us)
            size = oldest.let_go()
            if not size:
                break
            room -= size
    return Expired(
        files=sum(row.gone for row in rows), size=sum(row.freed for row in rows), in_use=sum(row.in_use for row in rows)
    )


def expired(folder: Path) -> dict[str, int]:
    """How many sequence numbers of each writer lie before its first file that is left."""
    while True:
        first = {part.writer: part for part in reversed(parts(folder)[0])}
        with contextlib.suppress(FileNotFoundError):  # one went meanwhile: another look
            return {name: _accounted_before(first.get(name), folder, name) for name in writers(folder)}


_NEVER = 2**63


class _Row:
    """The files of one writer, oldest first."""

    def __init__(self, row: list[Part], now_us: int) -> None:
        self._row, self._now_us = row, now_us
        self._sizes = [_size(part) for part in row]
        self.gone = self.freed = self.in_use = 0
        self.newest_us = self._front_us()

    @property
    def size(self) -> int:
        return sum(self._sizes)

    def let_go(self) -> int:
        """Remove the first file; how many bytes it took, 0 if it is being read or may not go."""
        if self.newest_us == _NEVER:
            return 0
        with alone(self._row[0].path) as free:
            if not free:
                self.in_use, self.newest_us = 1, _NEVER
                return 0
            remove([self._row.pop(0)])
        size = self._sizes.pop(0)
        self.gone += 1
        self.freed += size
        self.newest_us = self._front_us()
        return size

    def _front_us(self) -> int:
        """When the newest record of the first file was made; :data:`_NEVER` if it may not go."""
        if not self._row or self._row[0].state == "open":
            return _NEVER
        moments = (self._newest_us(place) for place in range(len(self._row)))
        first = next(moments)
        return first if first <= self._now_us else next((one for one in moments if one <= self._now_us), first)

    def _newest_us(self, place: int) -> int:
        part = self._row[place]
        if part.state == "parquet":
            return stored.newest_us(part.path)
        following = self._row[place + 1] if place + 1 < len(self._row) else None
        header = read_header(part.path)
        after = read_header(following.path) if following and following.state != "parquet" else None
        if header and after and after.created_us >= header.created_us:
            return after.created_us  # all in it was there before the next one was begun
        reader = read_segment(part.path)
        reader.header()
        return max((moment_us(record) for record in reader.records()), default=0)


def _accounted_before(part: Part | None, folder: Path, writer: str) -> int:
    if part is None:
        return accounted_by(folder, writer)
    if part.state == "parquet":
        return stored.accounted(part.path)
    header = read_header(part.path)
    return header.accounted if header else 0


def _size(part: Part) -> int:
    try:
        return part.path.stat().st_size
    except FileNotFoundError:
        return 0
