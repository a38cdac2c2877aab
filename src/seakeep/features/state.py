"""The online state of one entity in one view: its recent events and running sums, as bytes.

The state is a function of the events alone, not of the order or the batches in which they came. Layout, in words of
eight bytes (native byte order; the state is derived and never leaves the host)::

    n | floor | known[n] | per sum: value[n] high[n+1] low[n+1] count[n+1] | per number: value[n]
      | per string: end[n+1] | the strings' UTF-8, padded to a whole word

Events known before ``floor`` may have been let go, so a window that reaches back beyond it cannot be answered.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from seakeep.features.plan import EventValues, Output, ViewPlan
from seakeep.features.windows import between, canonical_order, running_sums

Blob = bytes | memoryview

EVERYTHING = -(2**63)
"""The floor of a state that has let nothing go."""

_HEADER = 2


def merge(plan: ViewPlan, blob: Blob | None, events: EventValues, *, newest_us: int | None = None) -> bytes:
    """The state with more events in it, in order wherever they belong, and without what no window needs any more.

    Parameters
    ----------
    newest_us
        Events known after this moment do not count as the newest: one with a wrong date must not push out the rest.
    """
    floor = EVERYTHING
    if blob is not None:
        kept, floor = unpack(plan, blob)
        events = _joined(kept, events)
    events = events.select(canonical_order(events))
    newest = int(events.known_us[-1]) if len(events.known_us) else EVERYTHING
    if newest_us is not None:
        newest = min(newest, newest_us)
    horizon = newest - plan.keep_us
    if len(events.known_us) and int(events.known_us[0]) < horizon:
        floor = max(floor, horizon)
    return pack(events.select(slice(int(np.searchsorted(events.known_us, floor)), None)), floor)


def pack(events: EventValues, floor: int) -> bytes:
    """Bytes of the given events, which must be in order."""
    words: list[Any] = [np.array([len(events.known_us), floor], dtype=np.int64), events.known_us]
    for values in events.sums:
        words += [values, *running_sums(values)]
    words += events.numbers
    texts: list[bytes] = []
    end = 0
    for strings in events.strings:
        encoded = [text.encode() for text in strings.tolist()]
        ends = np.cumsum([end, *map(len, encoded)], dtype=np.int64)
        end = int(ends[-1])
        words.append(ends)
        texts += encoded
    text = b"".join(texts)
    return b"".join([word.tobytes() for word in words]) + text + bytes(-len(text) % 8)


def unpack(plan: ViewPlan, blob: Blob) -> tuple[EventValues, int]:
    """The events of a state, in order, and its floor."""
    ints = np.frombuffer(blob, dtype=np.int64)
    floats = np.frombuffer(blob, dtype=np.float64)
    n, floor = int(ints[0]), int(ints[1])
    at = _HEADER + n
    sums, numbers, strings = [], [], []
    for _ in plan.sums:
        sums.append(floats[at : at + n])
        at += 4 * n + 3
    for _ in plan.numbers:
        numbers.append(floats[at : at + n])
        at += n
    text = bytes(memoryview(blob)[8 * (at + len(plan.strings) * (n + 1)) :])
    for _ in plan.strings:
        ends = ints[at : at + n + 1].tolist()
        strings.append(np.array([text[a:b].decode() for a, b in pairwise(ends)], dtype=object))
        at += n + 1
    return EventValues(ints[_HEADER : _HEADER + n], sums, numbers, strings), floor


class Reading(NamedTuple):
    """What a view says of one entity at one moment.

    Attributes
    ----------
    newest_us
        When the newest event in the longest window became known; 0 if there is none.
    complete
        False when the state no longer reaches back that far; every value is then missing.
    """

    numbers: list[float]
    categories: list[str]
    newest_us: int
    complete: bool


Span = tuple[int, int]
"""Moments between which something holds: after the first, up to and with the second."""

ALWAYS: Span = (-(2**63), 2**63 - 1)


class Reader:
    """Reads chosen inputs of a view from states.

    Parameters
    ----------
    outputs
        In the order wanted; numbers and categories are read apart.
    """

    def __init__(self, plan: ViewPlan, outputs: Sequence[Output]) -> None:
        self._windows = plan.windows_us
        self._longest = plan.windows_us[-1]
        self._kept = len(plan.sums), len(plan.numbers), len(plan.strings)
        self._numbers = [(one.function, one.value, one.window) for one in outputs if one.kind == "number"]
        self._categories = [(one.value, one.window) for one in outputs if one.kind == "category"]
        none = [0.0 if function in {"count", "sum"} else math.nan for function, _, _ in self._numbers]
        no_text = [""] * len(self._categories)
        self.empty = Reading(none, no_text, 0, complete=True)
        self._incomplete = Reading([math.nan] * len(none), no_text, 0, complete=False)

    def read(self, blob: Blob, times_us: Sequence[int]) -> list[Reading]:
        """The inputs at each of the given moments, in O(log n) each."""
        return [self.at(blob, time_us)[0] for time_us in times_us]

    def at(self, blob: Blob, time_us: int) -> tuple[Reading, Span]:
        """The inputs at a moment, in O(log n), and the moments around it at which they are the same."""
        view = memoryview(blob)
        ints, floats = view.cast("q"), view.cast("d")
        n, floor = ints[0], ints[1]
        first = floor + self._longest
        if time_us < first:
            return self._incomplete, (ALWAYS[0], first - 1)
        last = _HEADER + n
        end = bisect_left(ints, time_us, _HEADER, last)
        starts = [bisect_left(ints, time_us - window, _HEADER, end) for window in self._windows]
        numbers = [
            _number(ints, floats, function, at, n + 1, starts[window], end) for function, at, window in self._places(n)
        ]
        categories = [
            self._category(view, ints, value, end - 1 - _HEADER) if end > starts[window] else ""
            for value, window in self._categories
        ]
        newest = ints[end - 1] if end > starts[-1] else 0
        # The next event to enter all windows, and the next to leave each; the last that entered, and that left each.
        edges = [(end, 0), *zip(starts, self._windows, strict=True)]
        since = max(first - 1, *(ints[place - 1] + window for place, window in edges if place > _HEADER), ALWAYS[0])
        until = min([ints[place] + window for place, window in edges if place < last], default=ALWAYS[1])
        return Reading(numbers, categories, newest, complete=True), (since, until)

    def _places(self, n: int) -> list[tuple[str, int, int]]:
        """For each number its function, the word from which positions among ``known`` lead to its values, its window."""
        sums = self._kept[0]
        return [
            (
                function,
                n + (sums * (4 * n + 3) + value * n if function == "latest" else n + value * (4 * n + 3)),
                window,
            )
            for function, value, window in self._numbers
        ]

    def _category(self, view: memoryview, ints: Any, value: int, row: int) -> str:
        n = ints[0]
        sums, numbers, strings = self._kept
        ends = _HEADER + n + sums * (4 * n + 3) + numbers * n
        text = 8 * (ends + strings * (n + 1))
        at = ends + value * (n + 1) + row
        return bytes(view[text + ints[at] : text + ints[at + 1]]).decode()


def _number(  # noqa: PLR0917 -- the innermost step of the hot path
    ints: Any, floats: Any, function: str, at: int, length: int, start: int, end: int
) -> float:
    if function == "count":
        return float(end - start)
    if function == "latest":
        return float(floats[at + end - 1]) if end > start else math.nan
    low, count = at + length, at + length + length
    total: float = between(floats[at + start], floats[at + end], floats[low + start], floats[low + end])
    if function == "sum":
        return total
    present: int = ints[count + end] - ints[count + start]
    return total / present if present else math.nan


def _joined(kept: EventValues, more: EventValues) -> EventValues:
    return EventValues(
        np.concatenate([kept.known_us, more.known_us]),
        [np.concatenate(pair) for pair in zip(kept.sums, more.sums, strict=True)],
        [np.concatenate(pair) for pair in zip(kept.numbers, more.numbers, strict=True)],
        [np.concatenate(pair) for pair in zip(kept.strings, more.strings, strict=True)],
    )
