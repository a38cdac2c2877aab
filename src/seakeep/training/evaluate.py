"""How good scores are, with intervals that respect that the rows of one day are alike.

Every metric is computed from weighted rows. The weights of the sample itself are 1; those of a resample say how often
each block of days was drawn. So a metric and its interval come from one formula.

References
----------
Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 8 (blocks) and 13 (percentile intervals).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.clock import DAY_US
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.run import Metric
from seakeep.training import classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS_OF: dict[str, tuple[str, ...]] = {
    "probability": (
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "calibration",
        "base_rate",
        "alert_rate",
        "recall",
        "precision",
    ),
    "probabilities": ("roc_auc", "log_loss", "brier", "accuracy", "macro_f1"),
    "value": ("mae", "rmse", "bias"),
}
"""Names of the metrics of :func:`evaluate` by what the scores are."""
KNOWN_BY = {"probability": "roc_auc", "probabilities": "roc_auc", "value": "rmse"}
"""The metric that a model is known by where one must stand for all, by what the scores are."""
RESAMPLES = 300
_MIN_DAYS = 10
_SHORT_BLOCKS = 20
_SLICES = 20
_SLICE_ROWS = 100
_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Labelled rows with their scores, each of shape ``(n,)`` but where it says otherwise.

    Attributes
    ----------
    label
        float64, 1 or 0; or the number that came; or the code of the class.
    score
        float64, probability of the positive class; or the number that was predicted; or of every class, ``(n, classes)``.
    time_us
        int64, when each row was asked.
    outputs
        What the scores are: every function here asks it.
    """

    label: NDArray[np.float64]
    score: NDArray[np.float64]
    time_us: NDArray[np.int64]
    outputs: Outputs = PROBABILITY

    def select(self, rows: NDArray[Any]) -> Scored:
        """The rows chosen by a boolean mask or by positions."""
        return dataclasses.replace(self, label=self.label[rows], score=self.score[rows], time_us=self.time_us[rows])


def evaluate(rows: Scored, *, threshold: float, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Metric]:
    """All metrics that are defined on these rows, with 95 % intervals.

    ``calibration`` is positives observed over positives expected (the sum of scores). A metric that would divide by
    zero is left out: ``roc_auc`` without both classes, ``precision`` without a "yes".

    Of numbers they are ``mae``, ``rmse``, both in the label's unit, and ``bias``: the mean of predicted minus told. Of
    classes those of :func:`seakeep.training.classes.metrics`, and ``roc_auc``: the mean of each class's against the rest.

    Parameters
    ----------
    threshold
        Score from which the decision is "yes".
    seed
        Of the resampling.
    """
    return _told(_values(rows, resample(rows.time_us, seed, resamples), threshold))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Two versions' metrics on the same rows, and how far one is from the other, each with its 95 % interval."""

    one: dict[str, Metric]
    other: dict[str, Metric]
    difference: dict[str, Metric]


def evaluate_beside(
    rows: Scored, other: Scored, *, threshold: float, other_threshold: float, blocks: Resampled
) -> Beside:
    """All metrics of two versions on the same rows, and one minus the other by the same resampled blocks.

    Parameters
    ----------
    other
        The same rows with the other version's scores.
    blocks
        Of the rows.
    """
    left, right = _values(rows, blocks, threshold), _values(other, blocks, other_threshold)
    with np.errstate(invalid="ignore"):
        return Beside(
            one=_told(left), other=_told(right), difference=_told({name: left[name] - right[name] for name in left})
        )


def paired_loss(rows: Scored, other: NDArray[np.float64], *, seed: int = 0, resamples: int = RESAMPLES) -> Metric:
    """Loss minus that of other scores on the same rows: negative is better. With its 95 % interval.

    The loss of probabilities, of one class or of several, is the log-loss; that of numbers the squared error, and their difference is told as a share
    of the other's, which has no unit.
    """
    blocks = resample(rows.time_us, seed, resamples)
    if rows.outputs.kind == "value":
        own, others = (blocks.totals((score - rows.label) ** 2) for score in (rows.score, other))
        # Beside a faultless other every error counts as one as large as the other's whole: a share must stay finite.
        return interval(np.where(others > 0, own / np.where(others > 0, others, 1.0) - 1, np.sign(own)))
    lost = classes.log_losses if rows.outputs.of_classes else log_losses
    difference = lost(rows.label, rows.score) - lost(rows.label, other)
    return interval(blocks.totals(difference) / blocks.totals(np.ones(len(difference))))


def evaluate_slices(
    column: NDArray[np.object_], rows: Scored, *, threshold: float, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, dict[str, Metric]]:
    """Metrics in each of the most frequent values of a category column, and ``rows``: how many there are.

    Values with fewer than 100 rows, and beyond the twenty most frequent, are left out.
    """
    names, code, counts = np.unique(column, return_inverse=True, return_counts=True)
    chosen = [one for one in np.argsort(-counts, kind="stable")[:_SLICES] if counts[one] >= _SLICE_ROWS]
    return {
        str(names[one]): {
            **evaluate(rows.select(code == one), threshold=threshold, seed=seed, resamples=resamples),
            "rows": Metric(value=float(counts[one]), low=float(counts[one]), high=float(counts[one])),
        }
        for one in chosen
    }


def roc_auc(label: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve, ties counted half; NaN without both classes.

    References
    ----------
    Hanley and McNeil (1982), Radiology 143(1): the area is the Wilcoxon statistic.
    """
    rows = Scored(label=label, score=score, time_us=np.zeros(len(label), dtype=np.int64))
    with np.errstate(invalid="ignore"):
        return float(_ranking(rows, np.zeros(len(label), dtype=np.int64), np.ones((1, 1)))["roc_auc"][0])


def log_losses(label: NDArray[np.float64], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-loss of each row; scores are kept a machine epsilon away from 0 and 1, so that one row cannot be infinite.

    References
    ----------
    Good (1952), Rational decisions, J. Royal Statistical Society B 14(1).
    """
    tiny = np.finfo(np.float64).eps
    kept = np.clip(score, tiny, 1 - tiny)
    return np.asarray(-np.where(label > 0.5, np.log(kept), np.log1p(-kept)), dtype=np.float64)


@dataclasses.dataclass(frozen=True, slots=True)
class Resampled:
    """Blocks of rows that are close in time, and how often each counts in each resample.

    Attributes
    ----------
    block
        Of each row, int64 ``(n,)``.
    weights
        float64 ``(1 + resamples, blocks)``; the first row is the sample itself, with each block once.
    whole_days
        Whether a block is a day; else it is one of equally long stretches of rows.
    """

    block: NDArray[np.int64]
    weights: NDArray[np.float64]
    whole_days: bool

    def __len__(self) -> int:
        return len(self.weights[0])

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The sum of the rows' values in each block, ``(blocks,)``."""
        return np.bincount(self.block, values, len(self)).astype(np.float64)

    def totals(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The sum of the rows' values in each resample, ``(1 + resamples,)``."""
        return np.asarray(self.weights @ self.sums(values))


def resample(time_us: NDArray[np.int64], seed: int = 0, resamples: int = RESAMPLES) -> Resampled:
    """Resample rows by the days they are of: the rows of one day are alike, so whole days are drawn."""
    days, block = np.unique(time_us // DAY_US, return_inverse=True)
    size = len(days)
    whole_days = size >= _MIN_DAYS
    if not whole_days:
        # Too few days to resample: stretches of equally many consecutive rows stand for them.
        size = min(_SHORT_BLOCKS, len(time_us))
        block = np.empty(len(time_us), dtype=np.int64)
        block[np.argsort(time_us, kind="stable")] = np.arange(len(time_us)) * size // max(len(time_us), 1)
    drawn = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=resamples)
    return Resampled(block, np.concatenate((np.ones((1, size)), drawn)), whole_days)


def _values(rows: Scored, blocks: Resampled, threshold: float) -> dict[str, NDArray[np.float64]]:
    """Every metric in every resample, ``(1 + resamples,)``; not finite where it is not defined."""
    if rows.outputs.of_classes:
        return _of_classes(rows, blocks)
    if not rows.outputs.yes_or_no:
        return _errors(rows, blocks)
    yes = (rows.score >= threshold).astype(np.float64)
    count, positive, alerted = blocks.totals(np.ones(len(yes))), blocks.totals(rows.label), blocks.totals(yes)
    hit = blocks.totals(yes * rows.label)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return {
            **_ranking(rows, blocks.block, blocks.weights),
            "log_loss": blocks.totals(log_losses(rows.label, rows.score)) / count,
            # Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78(1).
            "brier": blocks.totals((rows.score - rows.label) ** 2) / count,
            "calibration": positive / blocks.totals(rows.score),
            "base_rate": positive / count,
            "alert_rate": alerted / count,
            "recall": hit / positive,
            "precision": hit / alerted,
        }


def _of_classes(rows: Scored, blocks: Resampled) -> dict[str, NDArray[np.float64]]:
    areas = []
    for code in range(rows.score.shape[1]):
        one = dataclasses.replace(
            rows,
            label=(rows.label == code).astype(np.float64),
            score=np.ascontiguousarray(rows.score[:, code]),
            outputs=PROBABILITY,
        )
        areas.append(_ranking(one, blocks.block, blocks.weights)["roc_auc"])
    met = np.isfinite(areas)
    with np.errstate(divide="ignore", invalid="ignore"):
        area = np.where(met, areas, 0.0).sum(axis=0) / met.sum(axis=0)
    return {"roc_auc": area, **classes.metrics(rows.label, rows.score, blocks.totals)}


def _errors(rows: Scored, blocks: Resampled) -> dict[str, NDArray[np.float64]]:
    """How far numbers are from those that came."""
    error, count = rows.score - rows.label, blocks.totals(np.ones(len(rows.label)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "mae": blocks.totals(np.abs(error)) / count,
            "rmse": np.sqrt(blocks.totals(error**2) / count),
            "bias": blocks.totals(error) / count,
        }


def _told(values: dict[str, NDArray[np.float64]]) -> dict[str, Metric]:
    """The metrics that are defined, with their intervals."""
    return {name: interval(one) for name, one in values.items() if np.isfinite(one[0])}


def _ranking(rows: Scored, block: NDArray[np.int64], weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Area under the ROC curve and average precision, for every row of weights.

    References
    ----------
    Fawcett (2006), An introduction to ROC analysis, Pattern Recognition Letters 27(8): ties move along the diagonal.
    Manning, Raghavan and Schütze (2008), Introduction to Information Retrieval, chapter 8: average precision.
    """
    order = np.argsort(-rows.score, kind="stable")
    score, label, place = rows.score[order], rows.label[order], block[order]
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    step = max(1, _CHUNK // len(score))
    areas, averages = [], []
    for start in range(0, len(weights), step):
        weight = weights[start : start + step][:, place]
        seen = np.cumsum(weight, axis=1)[:, ends]
        hits = np.cumsum(weight * label, axis=1)[:, ends]
        misses = seen - hits
        gained = np.diff(hits, axis=1, prepend=0.0)
        positives, negatives = hits[:, -1], misses[:, -1]
        area = np.sum(np.diff(misses, axis=1, prepend=0.0) * (hits - gained / 2), axis=1)
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            areas.append(area / (positives * negatives))
            averages.append(np.sum(gained * precision, axis=1) / positives)
    return {"roc_auc": np.concatenate(areas), "average_precision": np.concatenate(averages)}


def interval(values: NDArray[np.float64]) -> Metric:
    """The first value, with the middle 95 % of the others; resamples in which the metric is undefined do not count."""
    drawn = values[1:][np.isfinite(values[1:])]
    if not len(drawn):
        drawn = values[:1]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Metric(value=float(values[0]), low=float(low), high=float(high))
