"""Quality before all labels are in: the scores, re-anchored on the labels that have arrived.

A model's probabilities are right for the world it was validated in. Taken at their word later, they report that world:
in the flights' July they say lateness fell. So they are first corrected by the outcomes of the last two weeks that have them, with two
parameters on the log-odds (offset and slope, drawn towards no correction); then each unlabelled prediction counts as
its corrected probability. Days differ, and the correction ages: both are measured on past days and widen the interval,
and so does that outcomes are drawn, not given: none is narrower than of as many independent rows (Wilson's).

An outcome counts only once its prediction is as old as outcomes usually take. Those that come sooner are not like the
rest: with positives known after hours and negatives after days, everything known yet is positive.

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
from seakeep.monitoring.history import NEVER_US
from seakeep.monitoring.proportion import proportion, widen
from seakeep.records.finding import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.monitoring.history import History, Labelled

ANCHOR_US = 14 * DAY_US
DELAY_US = 28 * DAY_US
"""How far back outcomes tell how long outcomes take."""
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

    Predictions old enough that their outcomes should be known, and are, count as they are, the others as expected; a
    rate that the rows do not define is left out. Without at least 200 recent outcomes
    the correction comes from the validation rows and :attr:`Estimate.anchored` is false. ``None`` without
    predictions, or without any labelled validation row; ``None`` for numbers, whose quality only outcomes tell today.
    """
    if not history.outputs.yes_or_no:
        return None
    history = history.until(now_us)
    window_rows = history.live.between(from_us, to_us).answered()
    reference = history.reference.answered()
    if not len(window_rows) or np.isnan(reference.labels(now_us)).all():
        return None
    bins = ScoreBins.fit(reference.predictions.score)
    settled_us = now_us - usual_delay_us(reference, history.live, now_us)
    past, live, window = (
        DayCounts.of(_settled(rows, settled_us), bins, now_us=now_us)
        for rows in (reference, history.live.answered(), window_rows)
    )
    anchor = _anchor(past, live)
    generator = np.random.default_rng(seed)
    drawn = anchor.counts.resample(day_weights(len(anchor.counts), REPLICATES, generator))
    line = fit_line(bins.logit, np.concatenate([anchor.counts.total[None], drawn]))
    wander = _wander(bins.logit, past.merge(live), window, anchor, generator)
    cells = _outcomes(bins.logit, line, wander, window, generator)
    known = window.total[:, :UNKNOWN].sum()
    return Estimate(
        from_us=from_us,
        to_us=to_us,
        labelled=int(known),
        unlabelled=int(window.total.sum() - known),
        metrics={
            name: widen(interval(float(share[0]), share[1:]), proportion(float(part[0]), float(whole[0])))
            for name, (part, whole) in _shares(cells).items()
            if np.isfinite((share := _divide(part, whole))[0])
        },
        anchored=not anchor.from_reference,
    )


def usual_delay_us(reference: Labelled, live: Labelled, now_us: int) -> int:
    """Of the validation rows or of the outcomes of the last weeks, whichever is longer."""
    recently = live.usual_delay_us(now_us=now_us, known_since_us=now_us - DELAY_US)
    return max(reference.usual_delay_us(now_us=now_us), recently)


def _settled(rows: Labelled, settled_us: int) -> Labelled:
    """The rows, with the outcomes of the predictions from ``settled_us`` on as unknown as they will be to most."""
    known_us = np.where(rows.predictions.time_us < settled_us, rows.known_us, NEVER_US)
    return dataclasses.replace(rows, known_us=known_us)


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


def _outcomes(
    logit: NDArray[np.float64],
    line: NDArray[np.float64],
    wander: NDArray[np.float64],
    window: DayCounts,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Positives and negatives by decision, ``(1 + replicates, 2, 2)``: realised plus expected, in replicates drawn."""
    unknown = window.count[:, :, UNKNOWN]
    corrected = line[:, :1] + line[:, 1:] * logit
    realised = window.total[:, :UNKNOWN].sum(axis=0)
    cells = np.empty((len(line), 2, 2))
    for decision in (0, 1):
        rows = unknown[:, :, decision]
        positives = np.zeros(len(line))
        for index in np.flatnonzero(rows.sum(axis=1)):
            chance = expit(corrected + wander[:, index, decision, None])
            positives[:1] += chance[:1] @ rows[index]
            positives[1:] += generator.binomial(rows[index].astype(np.int64), chance[1:]).sum(axis=1)
        cells[:, POSITIVE, decision] = realised[POSITIVE, decision] + positives
        cells[:, NEGATIVE, decision] = realised[NEGATIVE, decision] + rows.sum() - positives
    return cells


def _shares(cells: NDArray[np.float64]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each rate as a part and its whole."""
    positives, alerts, hits = cells[:, POSITIVE].sum(axis=1), cells[:, :, 1].sum(axis=1), cells[:, POSITIVE, 1]
    n = cells.sum(axis=(1, 2))
    return {
        "base_rate": (positives, n),
        "alert_rate": (alerts, n),
        "recall": (hits, positives),
        "precision": (hits, alerts),
    }


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return share
