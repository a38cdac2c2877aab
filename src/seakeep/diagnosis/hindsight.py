"""What the labels show later: the question of the verdict answered by simple counting, to hold verdicts to account.

A model's recall falls when the world becomes calm, since what is left of the positives is harder to foresee; a model
whose scores said so is not failing. How much they said is counted, too: each recent prediction counts as many positives
as the validation rows with about its score had, and would have been alerted if it reached the threshold of those rows.
What was really alerted plays no part in this promise, so alerts that stop are no excuse for themselves.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from seakeep.monitoring.history import Labelled
    from seakeep.records.finding import Cause

FACTOR = 1.25
GROUPS = 20


@dataclasses.dataclass(frozen=True, slots=True)
class _Count:
    """Predictions with an outcome, by outcome and decision."""

    hits: float
    missed: float
    false: float
    right: float

    @property
    def rows(self) -> float:
        return self.hits + self.missed + self.false + self.right

    @property
    def base(self) -> float:
        return (self.hits + self.missed) / self.rows

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.missed)

    @property
    def precision(self) -> float:
        alerts = self.hits + self.false
        return self.hits / alerts if alerts else 0.0

    @property
    def known(self) -> bool:
        return self.hits + self.missed > 0


def truth(reference: Labelled, previous: Labelled, recent: Labelled) -> Cause:
    """The cause with every outcome in hand; no resampling, no smoothing, nothing shared with the verdict.

    The world changed if positives a prediction are at least 1.25 times as many, or as few, as in the previous period.
    The model fails if it catches less than on its validation rows (recall below 1 / 1.25) *and* less than its scores
    promised (recall below 1 / 1.25 of the promised, or more than 1.25 times the missed positives promised), or if it is
    wrong more often when it alerts (precision below 1 / 1.25) *and* raises more false alarms in a thousand predictions
    (above 1.25 times).
    """
    if not recent.outputs.yes_or_no:
        return "cannot-tell"
    accepted, before, now = (_count(rows) for rows in (reference, previous, recent))
    if not (accepted.known and before.known and now.known):
        return "cannot-tell"
    promised = _promised(reference, recent)
    world = max(now.base / before.base, before.base / now.base) >= FACTOR
    broken_promise = now.recall * FACTOR < promised.recall or now.missed >= FACTOR * promised.missed
    misses = now.recall * FACTOR <= accepted.recall and broken_promise
    more_alarms = now.false / now.rows >= FACTOR * accepted.false / accepted.rows
    cries_wolf = now.precision * FACTOR <= accepted.precision and more_alarms
    failing = misses or cries_wolf
    if world and failing:
        return "both"
    if world:
        return "world-changed"
    return "model-failing" if failing else "nothing"


def _count(rows: Labelled) -> _Count:
    known = ~np.isnan(rows.value)
    positive = rows.value[known] > 0
    alerted = rows.predictions.decision[known]
    cells = positive & alerted, positive & ~alerted, ~positive & alerted, ~positive & ~alerted
    return _Count(*(float(cell.sum()) for cell in cells))


def _promised(reference: Labelled, recent: Labelled) -> _Count:
    """What recent scores promise, by the outcomes of twenty equal groups of validation scores and their threshold."""
    table = reference.predictions
    threshold = table.score[table.decision].min(initial=np.inf)
    known = ~np.isnan(reference.value)
    score, positive = table.score[known], reference.value[known] > 0
    edges = np.unique(np.quantile(score, np.arange(1, GROUPS) / GROUPS))
    group = np.searchsorted(edges, score, side="right")
    rate = np.bincount(group, weights=positive, minlength=len(edges) + 1) / np.maximum(
        1, np.bincount(group, minlength=len(edges) + 1)
    )
    asked = recent.predictions.score[~np.isnan(recent.value)]
    share = rate[np.searchsorted(edges, asked, side="right")]
    alerted = asked >= threshold
    return _Count(
        hits=float(share[alerted].sum()),
        missed=float(share[~alerted].sum()),
        false=float((1 - share[alerted]).sum()),
        right=float((1 - share[~alerted]).sum()),
    )
