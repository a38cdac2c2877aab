"""Realised quality on labelled predictions, each number with an interval from resampled days.

An interval of a share of rows is never narrower than that of as many independent rows (Wilson's).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from seakeep.clock import DAY_US
from seakeep.monitoring.days import NEGATIVE, POSITIVE, UNKNOWN, DayCounts, ScoreBins, day_weights, interval, roc_auc
from seakeep.monitoring.proportion import proportion, widen
from seakeep.records.run import Metric
from seakeep.training.classes import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.monitoring.history import Labelled

REPLICATES = 1000
METRICS = (
    "base_rate",
    "alert_rate",
    "recall",
    "precision",
    "false_positive_rate",
    "roc_auc",
    "log_loss",
    "calibration",
)


def realised(rows: Labelled, *, now_us: int, seed: int = 0) -> dict[str, Metric]:
    """Metrics of the answered predictions whose outcome was known before ``now_us``.

    Returns
    -------
    dict
        ``base_rate``, ``alert_rate``, ``recall``, ``precision``, ``false_positive_rate``, ``roc_auc``, ``log_loss`` and
        ``calibration`` (observed positives to expected), each with a 95 % interval; a metric that the rows do not define
        (recall without a positive) is left out. Of numbers: ``mae``, ``rmse`` and ``bias``. Of classes: ``log_loss``,
        ``brier``, ``accuracy`` and ``macro_f1``.
    """
    rows = rows.answered()
    label = rows.labels(now_us)
    rows = rows.select(~np.isnan(label))
    if not len(rows):
        return {}
    if rows.outputs.of_classes:
        return _of_classes(rows, seed)
    if not rows.outputs.yes_or_no:
        return _errors(rows, seed)
    score, positive = rows.predictions.score, rows.value > 0
    counts = DayCounts.of(rows, ScoreBins.fit(score), now_us=now_us)
    sums = _day_sums(rows)
    weights = day_weights(len(counts), REPLICATES, np.random.default_rng(seed))
    values = _metrics(counts.total, sums.sum(axis=0))
    samples = _metrics(counts.resample(weights), weights @ sums)
    # Within a bin the order is lost to the summary, not to the rows: the value is exact, the interval moved onto it.
    exact = _exact_roc_auc(score, positive)
    samples["roc_auc"] += exact - values["roc_auc"]
    values["roc_auc"] = np.asarray(exact)
    found = {name: interval(float(values[name]), samples[name]) for name in METRICS if np.isfinite(values[name])}
    return {**found, **{name: widen(found[name], share) for name, share in _shares(counts).items() if name in found}}


def by_window(
    rows: Labelled, *, starts_us: tuple[int, ...], length_us: int, now_us: int, seed: int = 0
) -> tuple[dict[str, Metric], ...]:
    """:func:`realised` of each window ``[start, start + length)``."""
    return tuple(realised(rows.between(start, start + length_us), now_us=now_us, seed=seed) for start in starts_us)


def _errors(rows: Labelled, seed: int) -> dict[str, Metric]:
    """How far numbers are from those that came, in their unit: with intervals from resampled days."""
    error, totals = rows.predictions.score - rows.value, _day_totals(rows, seed)
    count = totals(np.ones(len(error)))
    values = {
        "mae": totals(np.abs(error)) / count,
        "rmse": np.sqrt(totals(error**2) / count),
        "bias": totals(error) / count,
    }
    return {name: interval(float(one[0]), one[1:]) for name, one in values.items()}


def _of_classes(rows: Labelled, seed: int) -> dict[str, Metric]:
    """How good the probabilities of classes are, with intervals from resampled days."""
    values = metrics(rows.value, rows.predictions.scores, _day_totals(rows, seed))
    found = {name: interval(float(one[0]), one[1:]) for name, one in values.items()}
    right = float(values["accuracy"][0]) * len(rows)
    return {**found, "accuracy": widen(found["accuracy"], proportion(right, len(rows)))}


def _day_totals(rows: Labelled, seed: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Sums rows' values ``(n,)``: over all rows first, then over each resample of days; ``(1 + replicates,)``."""
    days, place = np.unique(rows.predictions.time_us // DAY_US, return_inverse=True)
    weights = day_weights(len(days), REPLICATES, np.random.default_rng(seed))

    def totals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(place, values, len(days))
        return np.concatenate((sums.sum(keepdims=True), weights @ sums))

    return totals


def _shares(counts: DayCounts) -> dict[str, Metric | None]:
    """The metrics that are shares of rows, with the intervals that hold if rows are independent."""
    (silent, false_alarm), (missed, hit) = counts.total.sum(axis=0)[:UNKNOWN].astype(int).tolist()
    positives, alerts = hit + missed, hit + false_alarm
    return {
        "base_rate": proportion(positives, positives + silent + false_alarm),
        "alert_rate": proportion(alerts, alerts + silent + missed),
        "recall": proportion(hit, positives),
        "precision": proportion(hit, alerts),
        "false_positive_rate": proportion(false_alarm, false_alarm + silent),
    }


def _day_sums(rows: Labelled) -> NDArray[np.float64]:
    """Sums of the scores and of the log loss by day, ``(days, 2)``."""
    _, place = np.unique(rows.predictions.time_us // DAY_US, return_inverse=True)
    score = rows.predictions.score
    likelihood = np.clip(np.where(rows.value > 0, score, 1 - score), 1e-15, 1)
    return np.column_stack([np.bincount(place, weights=score), np.bincount(place, weights=-np.log(likelihood))])


def _metrics(count: NDArray[np.float64], sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    cells = count[..., :UNKNOWN, :].sum(axis=-3)
    (true_silent, false_alarm), (missed, hit) = (
        (cells[..., outcome, 0], cells[..., outcome, 1]) for outcome in (NEGATIVE, POSITIVE)
    )
    n = cells.sum(axis=(-1, -2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "base_rate": (hit + missed) / n,
            "alert_rate": (hit + false_alarm) / n,
            "recall": hit / (hit + missed),
            "precision": hit / (hit + false_alarm),
            "false_positive_rate": false_alarm / (false_alarm + true_silent),
            "roc_auc": roc_auc(count[..., POSITIVE, :].sum(axis=-1), count[..., NEGATIVE, :].sum(axis=-1)),
            "log_loss": sums[..., 1] / n,
            "calibration": (hit + missed) / sums[..., 0],
        }


def _exact_roc_auc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    values, place = np.unique(score, return_inverse=True)
    of_positives = np.bincount(place[positive], minlength=len(values)).astype(np.float64)
    of_negatives = np.bincount(place[~positive], minlength=len(values)).astype(np.float64)
    return float(roc_auc(of_positives, of_negatives))
