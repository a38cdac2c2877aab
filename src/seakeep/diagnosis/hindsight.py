"""What the labels show later: the question of the verdict answered by simple counting, to hold verdicts to account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from seakeep.monitoring.history import Labelled
    from seakeep.records.finding import Cause

FACTOR = 1.25


def truth(reference: Labelled, previous: Labelled, recent: Labelled) -> Cause:
    """The cause with every outcome in hand; no resampling, no calibration, nothing shared with the verdict.

    The world changed if positives a prediction are at least 1.25 times as many, or as few, as in the previous period.
    The model fails if, against its validation rows, it catches less (recall below 1 / 1.25) *and* leaves more missed
    positives in a thousand predictions (above 1.25 times), or if it is wrong more often when it alerts (precision
    below 1 / 1.25) *and* raises more false alarms in a thousand predictions (above 1.25 times).
    """
    accepted, before, now = (_rates(rows) for rows in (reference, previous, recent))
    if not (np.isfinite(accepted).all() and np.isfinite(before[0]) and np.isfinite(now).all()):
        return "cannot-tell"
    world = max(now[0] / before[0], before[0] / now[0]) >= FACTOR
    misses = now[1] * FACTOR <= accepted[1] and now[3] >= FACTOR * accepted[3]
    cries_wolf = now[2] * FACTOR <= accepted[2] and now[4] >= FACTOR * accepted[4]
    failing = misses or cries_wolf
    if world and failing:
        return "both"
    if world:
        return "world-changed"
    return "model-failing" if failing else "nothing"


def _rates(rows: Labelled) -> tuple[float, float, float, float, float]:
    """Base rate, recall, precision, missed positives and false alarms a prediction."""
    known = ~np.isnan(rows.value)
    positive = rows.value[known] > 0
    alerted = rows.predictions.decision[known]
    with np.errstate(invalid="ignore", divide="ignore"):
        hits = np.float64((positive & alerted).sum())
        recall, precision = hits / positive.sum(), hits / alerted.sum()
    n = max(1, len(positive))
    missed, false = (positive & ~alerted).sum() / n, (alerted & ~positive).sum() / n
    return float(positive.sum() / n) or np.nan, float(recall), float(np.nan_to_num(precision)), missed, false
