"""Predictions counted by day, score bin, outcome and decision: a small summary that merges and is cheap to resample.

Quality, estimates and verdicts need sums only, so a bootstrap of days is a product of two small matrices, however many
predictions a day has.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.clock import DAY_US
from seakeep.records.run import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.monitoring.history import Labelled

NEGATIVE, POSITIVE, UNKNOWN = 0, 1, 2
SILENT, ALERTED = 0, 1
LOGIT_LIMIT = 12.0


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreBins:
    """Bins of the score, from the quantiles of reference scores.

    Attributes
    ----------
    edges
        Inner edges, ascending, ``(bins - 1,)``; a score equal to an edge falls above it.
    logit
        Mean log-odds of the reference scores in each bin, ``(bins,)``.
    """

    edges: NDArray[np.float64]
    logit: NDArray[np.float64]

    @classmethod
    def fit(cls, score: NDArray[np.float64], *, bins: int = 64) -> ScoreBins:
        """At most ``bins`` bins of at least about fifty reference scores each; equal scores share a bin."""
        wanted = max(1, min(bins, len(score) // 50))
        edges = np.unique(np.quantile(score, np.arange(1, wanted) / wanted)) if len(score) else np.empty(0)
        log_odds = logit(score)
        place = np.searchsorted(edges, score, side="right")
        count = np.bincount(place, minlength=len(edges) + 1)
        total = np.bincount(place, weights=log_odds, minlength=len(edges) + 1)
        middle = logit(np.concatenate([edges[:1], edges])) if len(edges) else np.zeros(1)
        return cls(edges, np.where(count > 0, total / np.maximum(count, 1), middle))

    def __len__(self) -> int:
        return len(self.logit)


@dataclasses.dataclass(frozen=True, slots=True)
class DayCounts:
    """Counts of predictions; summaries over the same bins merge.

    Attributes
    ----------
    day
        Days since 1970-01-01 UTC that have predictions, int64 ``(days,)``, ascending.
    count
        float64 ``(days, bins, 3, 2)``: by day, score bin, outcome (negative, positive, unknown) and decision
        (silent, alerted).
    """

    day: NDArray[np.int64]
    count: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Labelled, bins: ScoreBins, *, now_us: int) -> DayCounts:
        """Count the rows, with the outcomes known before ``now_us``."""
        table = rows.predictions
        label = rows.labels(now_us)
        outcome = np.where(np.isnan(label), UNKNOWN, label > 0).astype(np.int64)
        day, row_day = np.unique(table.time_us // DAY_US, return_inverse=True)
        place = np.searchsorted(bins.edges, table.score, side="right")
        cell = ((row_day * len(bins) + place) * 3 + outcome) * 2 + table.decision
        count = np.bincount(cell, minlength=len(day) * len(bins) * 6).astype(np.float64)
        return cls(day, count.reshape(len(day), len(bins), 3, 2))

    def __len__(self) -> int:
        return len(self.day)

    @property
    def total(self) -> NDArray[np.float64]:
        """Counts over all days, ``(bins, 3, 2)``."""
        total: NDArray[np.float64] = self.count.sum(axis=0)
        return total

    def merge(self, other: DayCounts) -> DayCounts:
        """The counts of both."""
        day, place = np.unique(np.concatenate([self.day, other.day]), return_inverse=True)
        count = np.zeros((len(day), *self.count.shape[1:]))
        np.add.at(count, place, np.concatenate([self.count, other.count]))
        return DayCounts(day, count)

    def resample(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Total counts of resampled histories: ``(replicates, days)`` weights give ``(replicates, bins, 3, 2)``."""
        flat = weights @ self.count.reshape(len(self), -1)
        return flat.reshape(len(weights), *self.count.shape[1:])


def day_weights(days: int, replicates: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """How often each day occurs in each resampled history, float64 ``(replicates, days)``.

    Days of bad weather, campaigns and outages come in runs, so runs are drawn, not single days: a circular block
    bootstrap with blocks of ``days ** (1/3)``.

    References
    ----------
    Politis and Romano, "A circular block-resampling procedure for stationary data", 1992; Hall, Horowitz and Jing, "On
    blocking rules for the bootstrap with dependent data", Biometrika 82, 1995.
    """
    block = max(1, round(days ** (1 / 3)))
    starts = generator.integers(0, days, size=(replicates, -(-days // block)))
    drawn = ((starts[:, :, None] + np.arange(block)) % days).reshape(replicates, -1)[:, :days]
    cell = (drawn + np.arange(replicates)[:, None] * days).ravel()
    count = np.bincount(cell, minlength=replicates * days).reshape(replicates, days)
    return count.astype(np.float64)


def roc_auc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under the ROC curve of counts by ascending score bin, ``(..., bins)``; ties count one half; NaN if one is empty.

    References
    ----------
    Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.
    """
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    area = (positives * below).sum(axis=-1)
    return np.asarray(np.divide(area, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0), dtype=np.float64)


def interval(value: float, sample: NDArray[np.float64]) -> Metric:
    """A value with the central 95 % of its resampled values; without a finite one the interval is the value alone."""
    finite = sample[np.isfinite(sample)]
    low, high = np.quantile(finite, (0.025, 0.975)) if len(finite) else (value, value)
    return Metric(value=value, low=min(value, float(low)), high=max(value, float(high)))


def logit(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds of probabilities, cut at plus and minus 12 (one in 160,000)."""
    with np.errstate(divide="ignore"):
        log_odds = np.log(score) - np.log1p(-score)
    return np.asarray(np.clip(log_odds, -LOGIT_LIMIT, LOGIT_LIMIT))
