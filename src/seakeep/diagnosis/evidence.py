"""The evidence for a verdict: three periods compared by ratios, on the actual and on resampled histories.

The *recent* period is compared with the *previous* one (did the world change?) and with the *reference*, the validation
rows the model was accepted on (is it still that model?). Every quantity is the logarithm of a ratio, so that 0 is "as
before" and equal factors up and down have equal size.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.monitoring.days import (
    ALERTED,
    NEGATIVE,
    POSITIVE,
    SILENT,
    UNKNOWN,
    DayCounts,
    ScoreBins,
    day_weights,
    interval,
    roc_auc,
)
from seakeep.records.run import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.monitoring.history import History, Labelled

REPLICATES = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Rates:
    """Rates of counts ``(..., bins, 3, 2)``; each array has the leading shape."""

    base: NDArray[np.float64]
    alert: NDArray[np.float64]
    recall: NDArray[np.float64]
    false_positive: NDArray[np.float64]
    precision: NDArray[np.float64]
    roc_auc: NDArray[np.float64]

    @classmethod
    def of(cls, count: NDArray[np.float64]) -> Rates:
        """Rates among the labelled; half a case is added to each side so that a rate of none has a logarithm."""
        by_outcome = count.sum(axis=-3)
        hits = by_outcome[..., POSITIVE, ALERTED]
        missed = by_outcome[..., POSITIVE, SILENT]
        false = by_outcome[..., NEGATIVE, ALERTED]
        right = by_outcome[..., NEGATIVE, SILENT]
        return cls(
            base=_share(hits + missed, false + right),
            alert=_share(hits + false, missed + right),
            recall=_share(hits, missed),
            false_positive=_share(false, right),
            precision=_share(hits, false),
            roc_auc=roc_auc(count[..., POSITIVE, :].sum(axis=-1), count[..., NEGATIVE, :].sum(axis=-1)),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Ratios:
    """Logarithms of ratios; scalars of the actual history, or arrays ``(replicates,)`` of resampled ones.

    Attributes
    ----------
    world
        Base rate, recent to previous.
    alerts
        Alert rate on the same rows, recent to previous.
    world_since_accepted
        Base rate, recent to reference.
    recall, false_positive
        Recent to reference.
    recall_promised
        Recall, recent to what the reference's outcomes and decisions by score promise for the recent scores. About 0
        while the world becomes calmer or wilder and the scores say so; low where alerts stop and the scores do not.
    missed
        Positives without an alert: those that came to those that the reference's outcomes by score promise for the
        recent scores. About 0 while only the mix of the inputs changes and the model is right about them.
    false_alarms
        The same of negatives with an alert.
    separation
        Gini coefficient (``2 AUC - 1``), recent to reference.
    separation_promised
        Gini coefficient, recent to the one that the reference's outcomes by score promise for the recent scores.
    """

    world: NDArray[np.float64]
    alerts: NDArray[np.float64]
    world_since_accepted: NDArray[np.float64]
    recall: NDArray[np.float64]
    false_positive: NDArray[np.float64]
    recall_promised: NDArray[np.float64]
    missed: NDArray[np.float64]
    false_alarms: NDArray[np.float64]
    separation: NDArray[np.float64]
    separation_promised: NDArray[np.float64]

    @classmethod
    def of(cls, reference: NDArray[np.float64], previous: NDArray[np.float64], recent: NDArray[np.float64]) -> Ratios:
        """Compare counts ``(..., bins, 3, 2)`` of the three periods."""
        accepted, before, now = Rates.of(reference), Rates.of(previous), Rates.of(recent)
        labelled = reference[..., :UNKNOWN, :].sum(axis=-1)
        rate = (labelled[..., POSITIVE] + accepted.base[..., None]) / (labelled.sum(axis=-1) + 1)
        rows = recent[..., :UNKNOWN, :].sum(axis=-2)
        promised_missed = (rows[..., SILENT] * rate).sum(axis=-1)
        promised_false = (rows[..., ALERTED] * (1 - rate)).sum(axis=-1)
        promised_positives = rows.sum(axis=-1) * rate
        # By the decisions of the reference, not by those taken now: alerts that stop must not lower the promise.
        decided = reference.sum(axis=-2)
        alerted = (decided[..., ALERTED] + accepted.alert[..., None]) / (decided.sum(axis=-1) + 1)
        promised_hits = (promised_positives * alerted).sum(axis=-1)
        promised_recall = _share(promised_hits, promised_positives.sum(axis=-1) - promised_hits)
        promised_auc = roc_auc(promised_positives, rows.sum(axis=-1) - promised_positives)
        totals = recent.sum(axis=-3)
        return cls(
            world=np.log(now.base / before.base),
            alerts=np.log(now.alert / before.alert),
            world_since_accepted=np.log(now.base / accepted.base),
            recall=np.log(now.recall / accepted.recall),
            false_positive=np.log(now.false_positive / accepted.false_positive),
            recall_promised=np.log(now.recall / promised_recall),
            missed=np.log((totals[..., POSITIVE, SILENT] + 0.5) / (promised_missed + 0.5)),
            false_alarms=np.log((totals[..., NEGATIVE, ALERTED] + 0.5) / (promised_false + 0.5)),
            separation=_gini_ratio(now.roc_auc, accepted.roc_auc),
            separation_promised=_gini_ratio(now.roc_auc, promised_auc),
        )

    def map(self, function: str) -> dict[str, float]:
        """A NumPy reduction such as ``"std"`` of every ratio, by name."""
        names = [field.name for field in dataclasses.fields(self)]
        return {name: float(getattr(np, function)(getattr(self, name))) for name in names}


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a verdict rests on.

    Attributes
    ----------
    reference, previous, recent
        Counts of labelled days.
    actual, resampled
        Ratios of the actual history and of the resampled ones.
    metrics
        Rates of the three periods with intervals, by name, for example ``recall`` and ``recall_reference``.
    coverage, usual_coverage
        Share of the recent predictions old enough to have an outcome that have one, and of the reference's.
    all_alerts_now, all_alerts_before
        Alert rate of all answered predictions, with an outcome or not.
    threshold_moved
        ``(before, after)``: lowest alerted scores, if decisions follow another threshold, else ``None``; ``after`` is
        infinite if nothing is alerted although scores reach the threshold.
    broken_inputs
        One sentence an input that lost its information.
    """

    reference: DayCounts
    previous: DayCounts
    recent: DayCounts
    actual: Ratios
    resampled: Ratios
    metrics: dict[str, Metric]
    coverage: float
    usual_coverage: float
    all_alerts_now: float
    all_alerts_before: float
    threshold_moved: tuple[float, float] | None
    broken_inputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Periods:
    """The rows compared: answered predictions of the three periods."""

    reference: Labelled
    previous: Labelled
    recent: Labelled

    @classmethod
    def of(cls, history: History, *, from_us: int, to_us: int, previous_from_us: int) -> Periods:
        """Recent ``[from_us, to_us)`` and previous ``[previous_from_us, from_us)``; the reference stands in for a
        previous period of which too little is known (less than half the days).
        """
        reference = history.reference.answered()
        recent = history.live.between(from_us, to_us).answered()
        previous = history.live.between(previous_from_us, from_us).answered()
        known_from = int(previous.predictions.time_us[0]) if len(previous) else from_us
        if from_us - known_from < (from_us - previous_from_us) / 2:
            previous = reference
        return cls(reference, previous, recent)


def gather(periods: Periods, *, now_us: int, seed: int, broken_inputs: tuple[str, ...] = ()) -> Evidence | None:
    """Compare the periods as they were known at ``now_us``; ``None`` if one of them has no labelled day.

    Only days whose outcomes should be known are compared: younger ones have the outcomes that come early, and these
    are not like the rest.
    """
    parts = (periods.reference, periods.previous, periods.recent)
    usable_us = now_us - max(rows.usual_delay_us(now_us=now_us) for rows in parts)
    bins = ScoreBins.fit(periods.reference.predictions.score)
    counts = [DayCounts.of(rows.between(0, max(usable_us, 0)), bins, now_us=now_us) for rows in parts]
    coverage = [_coverage(count) for count in counts]
    reference, previous, recent = (_labelled_days(count, coverage[0]) for count in counts)
    if not (len(reference) and len(previous) and len(recent)):
        return None
    generator = np.random.default_rng(seed)
    drawn = [part.resample(day_weights(len(part), REPLICATES, generator)) for part in (reference, previous, recent)]
    return Evidence(
        reference=reference,
        previous=previous,
        recent=recent,
        actual=Ratios.of(reference.total, previous.total, recent.total),
        resampled=Ratios.of(drawn[0], drawn[1], drawn[2]),
        metrics=_metrics((reference, previous, recent), drawn),
        coverage=coverage[2],
        usual_coverage=coverage[0],
        all_alerts_now=_mean(periods.recent.predictions.decision),
        all_alerts_before=_mean(periods.previous.predictions.decision),
        threshold_moved=_threshold_moved(periods.reference, periods.recent),
        broken_inputs=broken_inputs,
    )


def _labelled_days(count: DayCounts, usual_coverage: float) -> DayCounts:
    """Days on which at least half the usual share of predictions has an outcome: the rest would be a biased sample."""
    by_outcome = count.count.sum(axis=(1, 3))
    known = by_outcome[:, :UNKNOWN].sum(axis=1)
    kept = (known > 0) & (known >= 0.5 * usual_coverage * by_outcome.sum(axis=1))
    return DayCounts(count.day[kept], count.count[kept])


def _coverage(count: DayCounts) -> float:
    rows = count.count.sum()
    return float(count.count[:, :, :UNKNOWN].sum() / rows) if rows else 0.0


def _threshold_moved(reference: Labelled, recent: Labelled) -> tuple[float, float] | None:
    before, after = _threshold(reference), _threshold(recent)
    if before is None or after is None or (after[0] < before[1] and before[0] < after[1]):
        return None
    return before[1], after[1]


def _threshold(rows: Labelled) -> tuple[float, float] | None:
    """Highest silent and lowest alerted score: the threshold lies between, if decisions follow one."""
    score, decision = rows.predictions.score, rows.predictions.decision
    silent = float(score[~decision].max(initial=-np.inf))
    alerted = float(score[decision].min(initial=np.inf))
    return (silent, alerted) if silent < alerted else None


def _metrics(counts: tuple[DayCounts, ...], drawn: list[NDArray[np.float64]]) -> dict[str, Metric]:
    metrics = {}
    names = ("base", "alert", "recall", "false_positive", "precision", "roc_auc")
    for suffix, count, sample in zip(("_reference", "_before", ""), counts, drawn, strict=True):
        actual, resampled = Rates.of(count.total), Rates.of(sample)
        for name in names:
            label = name if name in {"recall", "precision", "roc_auc"} else f"{name}_rate"
            metrics[label + suffix] = interval(float(getattr(actual, name)), getattr(resampled, name))
    return metrics


def _share(part: NDArray[np.float64], rest: NDArray[np.float64]) -> NDArray[np.float64]:
    return (part + 0.5) / (part + rest + 1.0)


def _gini_ratio(now: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    floor = 0.01  # a model that separates nothing has no meaningful ratio, only a very small one
    ratio: NDArray[np.float64] = np.log(np.maximum(2 * now - 1, floor) / np.maximum(2 * before - 1, floor))
    return np.nan_to_num(ratio)


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else 0.0
