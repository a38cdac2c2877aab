"""How long a converted model takes for one row."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from seakeep.features.frame import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 2_000
"""Rows measured at most."""
ROUNDS = 3
"""Times that each row is measured; the least counts, because what else the machine does is not the model's."""
_WARM_UP = 100
_TURN = 20


class Scorer(Protocol):
    """A loaded model; :class:`seakeep.conversion.session.ScoringSession` is one."""

    def score(self, numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        """Scores, float64 ``(n,)``, of ``numbers`` ``(n, numbers)`` and ``categories`` ``(n, categories)``."""
        ...


Side = tuple[Scorer, "NDArray[np.float64]", "NDArray[np.object_]"]
"""A model with its own inputs: numbers ``(n, numbers)`` and categories ``(n, categories)``."""


class LatencyEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Times of single-row inferences, microseconds; ``cpu_us`` is the mean of the processor's own."""

    rows: int
    p50_us: float
    p99_us: float
    cpu_us: float = math.nan


def measure(session: Scorer, frame: Frame, *, rows: int = ROWS) -> LatencyEvidence:
    """Time single-row inferences of real rows, after a warm-up.

    Parameters
    ----------
    frame
        Rows to score; evenly spread ones are taken.
    """
    chosen = frame.select(np.unique(np.linspace(0, len(frame) - 1, min(rows, len(frame)), dtype=np.int64)))
    return measure_in_turn([(session, chosen.numbers(), chosen.categories())])[0]


def measure_in_turn(sides: Sequence[Side]) -> tuple[LatencyEvidence, ...]:
    """Time single-row inferences of several models on the same rows, a few rows of each in turn.

    What else the machine does meanwhile so hits all of them alike.

    Parameters
    ----------
    sides
        Each a model with its own inputs ``(n, numbers)`` and ``(n, categories)``; ``n >= 1`` is the same for all.
    """
    count = len(sides[0][1])
    took_us, cpu_us = times_in_turn(sides, calls=count)
    quantiles = np.quantile(took_us, (0.5, 0.99), axis=1)
    return tuple(
        LatencyEvidence(rows=count, p50_us=float(p50), p99_us=float(p99), cpu_us=float(cpu))
        for p50, p99, cpu in zip(*quantiles, cpu_us, strict=True)
    )


def times_in_turn(
    sides: Sequence[Side], *, calls: int, batch: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The time of each call, ``(sides, calls)``, and the mean time on the processor, ``(sides,)``; microseconds.

    Parameters
    ----------
    sides
        As :func:`measure_in_turn` takes them, of at least ``batch`` rows.
    calls
        How many calls, on ``batch`` rows each that follow one another; they begin anew where the rows end.
    """
    room = len(sides[0][1]) - batch + 1
    took_ns = np.full((len(sides), calls), np.inf)
    cpu_s = np.zeros(len(sides))
    turns = [range(start, min(start + _TURN, calls)) for start in range(0, calls, _TURN)] * ROUNDS
    for turn, some in enumerate([range(min(_WARM_UP, calls)), *turns]):
        for side, (session, numbers, categories) in enumerate(sides):
            before_s = time.thread_time()
            for call in some:
                row = call * batch % room
                one, other = numbers[row : row + batch], categories[row : row + batch]
                began = time.perf_counter_ns()
                session.score(one, other)
                took_ns[side, call] = min(took_ns[side, call], time.perf_counter_ns() - began)
            cpu_s[side] += time.thread_time() - before_s if turn else 0.0
    return took_ns / 1_000, cpu_s / (calls * ROUNDS) * 1e6
