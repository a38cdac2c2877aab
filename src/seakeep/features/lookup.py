"""One view at the moment of asking, and what it said last.

What a view says of an entity changes only when an event enters or leaves one of its windows, or when the store changes.
So a reading is kept with the moments between which it holds, until the store changes: entities that are asked for again
and again, as a few carriers and airports are, are read once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from seakeep.features import online
from seakeep.features.online import Snapshot
from seakeep.features.plan import ViewPlan
from seakeep.features.state import ALWAYS, Reader, Reading, Span

KEPT = 4096
"""Entities whose last reading is kept for one view, by version of the store."""

_NUMBER = struct.Struct("=q")


class Found(NamedTuple):
    """What a view says of an entity, in the form in which it is put beside what other views say.

    Attributes
    ----------
    numbers, newest
        Bytes of the float64 numbers, and of the int64 moment when the newest event became known.
    known
        Whether there is a state that reaches back to the moment asked for.
    since_us, until_us
        It holds for moments after the first, up to and with the second.
    """

    numbers: bytes
    categories: list[str]
    newest: bytes
    known: bool
    since_us: int
    until_us: int


class Lookup:
    """One view of a definition, ready to be read.

    Parameters
    ----------
    name
        The view's.
    """

    def __init__(self, name: str, plan: ViewPlan, reader: Reader) -> None:
        self.name, self.entity = name, plan.entity
        self._digest, self._reader = plan.digest, reader
        self._pack = struct.Struct(f"={len(reader.empty.numbers)}d").pack
        self._unknown = self._found(reader.empty, ALWAYS, known=False)
        self._kept: tuple[int, dict[str, Found]] = -1, {}

    def read(self, snapshot: Snapshot, entities: Sequence[str], times_us: Sequence[int]) -> list[Found]:
        """What the view says of each entity at the moment beside it."""
        version, kept = self._kept
        if version != snapshot.id():
            # In one step: a thread that still reads an older view keeps to the readings of that one.
            kept = {}
            self._kept = snapshot.id(), kept
        answers = []
        for entity, time_us in zip(entities, times_us, strict=True):
            found = kept.get(entity)
            if found is None or not found.since_us < time_us <= found.until_us:
                if len(kept) >= KEPT:
                    kept.clear()
                found = kept[entity] = self._read(snapshot, entity, time_us)
            answers.append(found)
        return answers

    def _read(self, snapshot: Snapshot, entity: str, time_us: int) -> Found:
        blob = snapshot.get(online.state_key(self._digest, entity))
        if blob is None:
            return self._unknown
        reading, span = self._reader.at(blob, time_us)
        return self._found(reading, span, known=reading.complete)

    def _found(self, reading: Reading, span: Span, *, known: bool) -> Found:
        newest = _NUMBER.pack(reading.newest_us)
        return Found(self._pack(*reading.numbers), reading.categories, newest, known, *span)
