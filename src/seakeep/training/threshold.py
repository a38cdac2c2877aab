"""The score from which the answer is "yes"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.model import Decision, Threshold
from seakeep.records.outputs import NEVER, PROBABILITY, Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray


def choose_threshold(decision: Decision, scores: NDArray[np.float64], outputs: Outputs = PROBABILITY) -> float:
    """Fix the threshold of a decision; answers that are no yes or no get one that none reaches.

    For a share of the rows it lies midway between two neighbouring scores, so that no validation row stands on it and
    the last bit of a score cannot decide. Equal scores are never parted: of the shares that are possible the nearest
    to the declared one is taken, and at least the highest score says "yes".

    Parameters
    ----------
    scores
        Of the validation rows, float64 ``(n,)``, ``n >= 1``.
    """
    if not outputs.yes_or_no:
        return NEVER
    if isinstance(decision, Threshold):
        return decision.score
    distinct, counts = np.unique(scores, return_counts=True)
    distinct, shares = distinct[::-1], np.cumsum(counts[::-1]) / len(scores)
    chosen = int(np.argmin(np.abs(shares - decision.share)))
    if chosen + 1 == len(distinct):
        return float(distinct[chosen])
    middle = (float(distinct[chosen]) + float(distinct[chosen + 1])) / 2
    return middle if middle > distinct[chosen + 1] else float(distinct[chosen])
