"""Quality before all labels are in: the scores, re-anchored on the labels that have arrived.

A model's probabilities are right for the world it was validated in. Taken at their word later, they report that world:
in the flights' July they say lateness fell. So they are first corrected by the outcomes of the last two weeks that have them, with two
parameters on the log-odds (offset and slope, drawn towards no correction); then each unlabelled prediction counts as
its corrected probability. Days differ, and the correction ages: both are measured on past days and widen the interval.

References
----------
Platt, "Probabilistic outputs for support vector machines", 1999 (the two-parameter correction); Garg et al.,
"Leveraging unlabeled data to predict out-of-distribution performance", ICLR 2022, on the limits of estimates without any label.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.clock import DAY_US
from seakeep.monitoring.days import NEGATIVE, POSITIVE, UNKNOWN, DayCounts, ScoreBins, day_weights, interval
from seakeep.records.finding import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.monitoring.history import History

ANCHOR_US = 14 * DAY_US
REPLICATES = 400
RIDGE = 10.0
"""Strength of the pull towards no correction, in observations of log-odds with unit variance."""
MIN_ANCHOR_LABELS = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Anchor:
    """Where the correction comes from.

    Attributes
    ----------
    counts
        Labelled days it is fitted on.
    from_reference
        Whether no recent labels sufficed, so that it rests on the validation rows.
    last_day
        The last labelled day, days since 1970.
    """

    counts: DayCounts
    from_reference: bool
    last_day: int


def estimate(history: History, *, from_us: int, to_us: int, now_us: int, seed: int = 0) -> Estimate | None:
    """Quality of the live predictions in ``[from_us, to_us)`` from what was known at ``now_us``.

    Predictions with a known outcome count as they are, the others as expected. Without at least 200 recent outcomes
    the correction comes from the validation rows and :attr:`Estimate.anchored` is false. ``None`` without
    predictions, or without any labelled validation row.
    """
    history = history.until(now_us)
    window_rows = history.live.between(from_us, to_us).answered()
    reference = history.reference.answered()
    if not len(window_rows) or np.isnan(reference.labels(now_us)).all():
        return None
    bins = ScoreBins.fit(reference.predictions.score)
    past = DayCounts.of(reference, bins, now_us=now_us)
    live = DayCounts.of(history.live.answered(), bins, now_us=now_us)
    window = DayCounts.of(window_rows, bins, now_us=now_us)
    anchor = _anchor(past, live)
    generator = np.random.default_rng(seed)
    drawn = anchor.counts.resample(day_weights(len(anchor.counts), REPLICATES, generator))
    line = fit_line(bins.logit, np.concatenate([anchor.counts.total[None], drawn]))
    wander = _wander(bins.logit, past.merge(live), window, anchor, generator)
    cells = _expected(bins.logit, line, wander, window)
    known = window.total[:, :UNKNOWN].sum()
    return Estimate(
        from_us=from_us,
        to_us=to_us,
        labelled=int(known),
        unlabelled=int(window.total.sum() - known),
        metrics={name: interval(float(values[0]), values[1:]) for name, values in _rates(cells).items()},
        anchored=not anchor.from_reference,
    )


def fit_line(logit: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Offset and slope, ``(replicates, 2)``, that correct log-odds ``(bins,)`` to counts ``(replicates, bins, 3, 2)``.

    Penalised logistic regression by Newton steps; the penalty draws towards offset 0 and slope 1.
    """
    labelled = count[:, :, :UNKNOWN].sum(axis=3)
    n, positives = labelled.sum(axis=2), labelled[:, :, POSITIVE]
    design = np.column_stack([np.ones_like(logit), logit])
    prior = np.array([0.0, 1.0])
    line = np.tile(prior, (len(count), 1))
    for _ in range(12):
        p = expit(line @ design.T)
        gradient = (positives - n * p) @ design - RIDGE * (line - prior)
        curvature = np.einsum("rb,bi,bj->rij", n * p * (1 - p), design, design) + RIDGE * np.eye(2)
        line = line + np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
    return line


def expit(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of log-odds."""
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return result


def _anchor(past: DayCounts, live: DayCounts) -> Anchor:
    recent = _labelled(live)
    first = recent.day[-1] - ANCHOR_US // DAY_US if len(recent) else 0
    kept = DayCounts(recent.day[recent.day > first], recent.count[recent.day > first])
    if kept.count[:, :, :UNKNOWN].sum() >= MIN_ANCHOR_LABELS:
        return Anchor(kept, from_reference=False, last_day=int(kept.day[-1]))
    labelled = _labelled(past)
    return Anchor(labelled, from_reference=True, last_day=int(labelled.day[-1]))


def _labelled(counts: DayCounts) -> DayCounts:
    kept = counts.count[:, :, :UNKNOWN].sum(axis=(1, 2, 3)) > 0
    return DayCounts(counts.day[kept], counts.count[kept])


def _wander(
    logit: NDArray[np.float64], past: DayCounts, window: DayCounts, anchor: Anchor, generator: np.random.Generator
) -> NDArray[np.float64]:
    """How days wander off their correction, ``(1 + replicates, days, 2)``: offsets of silent and alerted predictions.

    Each replicate stands on a random past day, corrects by the two weeks before it, and takes the deviations of the
    days after it, as far ahead as the window's days are now: runs of bad days and the ageing of a correction come as
    they came. A random sign keeps the estimate in the middle. The first row, the estimate itself, is 0.
    """
    days = _labelled(past)
    offset, information = _day_offsets(logit, days)
    ahead = np.maximum(window.day - anchor.last_day, 1)
    summed = np.cumsum(np.concatenate([np.zeros((1, 2)), offset * information]), axis=0)
    weight = np.cumsum(np.concatenate([np.zeros((1, 2)), information]), axis=0)
    origin = np.arange(min(3, len(days)), len(days) + 1)
    origin = origin[origin + ahead.max() <= len(days)] if np.any(origin + ahead.max() <= len(days)) else origin[:1]
    drawn = generator.choice(origin, size=REPLICATES)
    start = np.maximum(drawn - ANCHOR_US // DAY_US, 0)
    centre = (summed[drawn] - summed[start]) / (weight[drawn] - weight[start] + 1e-9)
    later = np.minimum(drawn[:, None] + ahead - 1, len(days) - 1)
    sign = generator.choice((-1.0, 1.0), size=(REPLICATES, 1, 1))
    deviation = sign * (offset[later] - centre[:, None, :])
    return np.concatenate([np.zeros((1, len(window), 2)), deviation])


def _day_offsets(logit: NDArray[np.float64], days: DayCounts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offset of each day from a common line, for silent and for alerted predictions, ``(days, 2)``, and its information."""
    line = fit_line(logit, days.total[None])[0]
    p = expit(line[0] + line[1] * logit)[:, None]
    labelled = days.count[:, :, :UNKNOWN]
    n, positives = labelled.sum(axis=2), labelled[:, :, POSITIVE]
    information = (n * p * (1 - p)).sum(axis=1)
    # One Newton step; it is cut where the quadratic approximation ends.
    return np.clip((positives - n * p).sum(axis=1) / (information + 1), -3, 3), information


def _expected(
    logit: NDArray[np.float64], line: NDArray[np.float64], wander: NDArray[np.float64], window: DayCounts
) -> NDArray[np.float64]:
    """Positives and negatives by decision, realised plus expected, ``(1 + replicates, 2, 2)``."""
    unknown = window.count[:, :, UNKNOWN]
    corrected = line[:, :1] + line[:, 1:] * logit
    realised = window.total[:, :UNKNOWN].sum(axis=0)
    cells = np.empty((len(line), 2, 2))
    for decision in (0, 1):
        rows = unknown[:, :, decision]
        positives = np.zeros(len(line))
        for index in np.flatnonzero(rows.sum(axis=1)):
            positives += expit(corrected + wander[:, index, decision, None]) @ rows[index]
        cells[:, POSITIVE, decision] = realised[POSITIVE, decision] + positives
        cells[:, NEGATIVE, decision] = realised[NEGATIVE, decision] + rows.sum() - positives
    return cells


def _rates(cells: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    n = cells.sum(axis=(1, 2))
    positives, alerts = cells[:, POSITIVE].sum(axis=1), cells[:, :, 1].sum(axis=1)
    hits = cells[:, POSITIVE, 1]
    zero = np.zeros(len(cells))
    return {
        "base_rate": positives / n,
        "alert_rate": alerts / n,
        "recall": np.divide(hits, positives, out=zero.copy(), where=positives > 0),
        "precision": np.divide(hits, alerts, out=zero.copy(), where=alerts > 0),
    }
