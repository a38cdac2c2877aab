"""How long a converted model takes for one row."""

from __future__ import annotations

import time
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


class Scorer(Protocol):
    """A loaded model; :class:`seakeep.conversion.session.ScoringSession` is one."""

    def score(self, numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        """Scores, float64 ``(n,)``, of ``numbers`` ``(n, numbers)`` and ``categories`` ``(n, categories)``."""
        ...


class LatencyEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Times of single-row inferences, microseconds."""

    rows: int
    p50_us: float
    p99_us: float


def measure(session: Scorer, frame: Frame, *, rows: int = ROWS) -> LatencyEvidence:
    """Time single-row inferences of real rows, after a warm-up.

    Parameters
    ----------
    frame
        Rows to score; evenly spread ones are taken.
    """
    chosen = frame.select(np.unique(np.linspace(0, len(frame) - 1, min(rows, len(frame)), dtype=np.int64)))
    numbers, categories = chosen.numbers(), chosen.categories()
    took_ns = np.full(len(chosen), np.inf)
    for row in [*range(min(_WARM_UP, len(chosen))), *(list(range(len(chosen))) * ROUNDS)]:
        one, other = numbers[row : row + 1], categories[row : row + 1]
        began = time.perf_counter_ns()
        session.score(one, other)
        took_ns[row] = min(took_ns[row], time.perf_counter_ns() - began)
    p50, p99 = np.quantile(took_ns, (0.5, 0.99)) / 1_000
    return LatencyEvidence(rows=len(chosen), p50_us=float(p50), p99_us=float(p99))
