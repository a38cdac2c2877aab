"""Answers that may be given again: to the same request, by the same version, for a declared time, in bounded memory.

The key is what the answer was computed from: the version's bundle with the rows as they were sent, or with the inputs that a
client sent itself. What was looked up for rows is as old as the answer, so that a model with looked-up features needs no
other key: its declared staleness is that of its features. Another version has another bundle, so that nothing is told
again beyond a switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from seakeep.config import ServingSettings
from seakeep.serving.inference import Inputs, Part
from seakeep.serving.v1 import RowAnswer

Key = tuple[str, bytes, tuple[str, ...]]

_ROW_BYTES = 1_000
"""About what a row weighs beside its key and its inputs: its answer, and the objects that hold it all."""


class Kept(NamedTuple):
    """Answers to the rows of one request.

    Attributes
    ----------
    since_s
        When its features began to be looked up.
    """

    inputs: Inputs
    answers: Sequence[RowAnswer]
    since_s: float


class AnswerCache:
    """The answers of one model.

    Parameters
    ----------
    stale_s
        How old an answer may be.
    most_bytes
        About how much may be held; the oldest goes first.
    """

    def __init__(self, stale_s: float, most_bytes: int) -> None:
        self._stale_s, self._most_bytes = stale_s, most_bytes
        self._kept: dict[Key, Kept] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, now_s: float) -> Kept | None:
        """The answers under a key, unless they are too old."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now_s - kept.since_s > self._stale_s:
            self._drop(key)
            return None
        return kept

    def put(self, key: Key, kept: Kept) -> None:
        """Keep answers, in the place of older ones."""
        if key in self._kept:
            self._drop(key)
        self._kept[key] = kept
        self.bytes += _weight(key, kept)
        while self.bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        self.bytes -= _weight(key, self._kept.pop(key))


def caches_of(settings: ServingSettings) -> dict[str, AnswerCache]:
    """A cache for each model that declares one."""
    return {
        name: AnswerCache(one.cache_s, one.cache_mb * 1024 * 1024)
        for name, one in settings.models.items()
        if one.cache_s
    }


def key_of(part: Part) -> Key:
    """What the answers to a part are computed from."""
    direct = part.call.direct
    if direct is None:
        return part.version.bundle, b",".join(part.rows), ()
    return part.version.bundle, direct.numbers.tobytes(), tuple(direct.categories.ravel().tolist())


def _weight(key: Key, kept: Kept) -> int:
    rows = len(kept.answers)
    return 3 * len(key[1]) + sum(map(len, key[2])) + kept.inputs.numbers.nbytes + rows * _ROW_BYTES
