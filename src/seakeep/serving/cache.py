"""Answers that may be given again: to the same request, by the same version, for a declared time, in bounded memory.

The key is what the answer was computed from: the version's bundle with the rows as they were sent, or with the inputs that a
client sent itself. What was looked up for rows is as old as the answer, so that a model with looked-up features needs no
other key: its declared staleness is that of its features. Another version has another bundle, so that nothing is told
again beyond a switch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple
from typing import Literal as OneOf

import msgspec

from seakeep.config import ServingSettings
from seakeep.serving.inference import Inputs, Part
from seakeep.serving.v1 import Answer

Key = tuple[str, OneOf["rows", "tensors"], bytes, tuple[str, ...]]
"""The form is part of it: a client that chooses its numbers can make their bytes read like somebody's row."""

LARGEST = 0.25
"""Part of a cache that one request's answers may take; larger ones are not kept, so that one client pushes out few others."""

_ENTRY_BYTES = 400
"""About what keeping an entry takes beside what it holds."""


class Kept(NamedTuple):
    """Answers to the rows of one request.

    Attributes
    ----------
    since_s
        When its features began to be looked up.
    """

    inputs: Inputs
    answers: Sequence[Answer]
    since_s: float


class AnswerCache:
    """The answers of one model.

    Parameters
    ----------
    stale_s
        How old an answer may be.
    most_bytes
        How much may be held; the oldest goes first.
    """

    def __init__(self, stale_s: float, most_bytes: int) -> None:
        self._stale_s, self._most_bytes = stale_s, most_bytes
        self._kept: dict[Key, tuple[Kept, int]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, now_s: float) -> Kept | None:
        """The answers under a key, unless they are too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        kept, _ = found
        if now_s - kept.since_s > self._stale_s:
            self._drop(key)
            return None
        return kept

    def put(self, key: Key, kept: Kept) -> None:
        """Keep answers, in the place of older ones; what is too old by then is not kept any longer."""
        if key in self._kept:
            self._drop(key)
        weight = _weight(key, kept)
        if weight > self._most_bytes * LARGEST:
            return
        self._kept[key] = kept, weight
        self.bytes += weight
        while self.bytes > self._most_bytes or kept.since_s - self._oldest_s() > self._stale_s:
            self._drop(next(iter(self._kept)))

    def _oldest_s(self) -> float:
        return next(iter(self._kept.values()))[0].since_s

    def _drop(self, key: Key) -> None:
        _, weight = self._kept.pop(key)
        self.bytes -= weight


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
        return part.version.bundle, "rows", b",".join(part.rows), ()
    return part.version.bundle, "tensors", direct.numbers.tobytes(), tuple(direct.categories.ravel().tolist())


def _weight(key: Key, kept: Kept) -> int:
    """Bytes that an entry takes, with all that it holds; what it shares with others counts for each."""
    inputs = kept.inputs
    found: list[Any] = [
        key[2], key[3], kept.answers, inputs.numbers, inputs.categories, inputs.categories.ravel().tolist(),
        inputs.keys, inputs.times_us, inputs.raw, inputs.view_times_us, inputs.unknown,
    ]  # fmt: skip
    weight = _ENTRY_BYTES
    while found:
        one = found.pop()
        weight += sys.getsizeof(one)
        if isinstance(one, dict):
            found.extend(one)
            found.extend(one.values())
        elif isinstance(one, list | tuple):
            found.extend(one)
        elif isinstance(one, msgspec.Struct):
            found.extend(msgspec.structs.astuple(one))
    return weight
