"""Simulated streams whose cause of change is known by construction; every number here is made, none is real."""

from __future__ import annotations

import dataclasses

import numpy as np

from seakeep.clock import DAY_US
from seakeep.monitoring.history import History
from seakeep.recorder.table import OutcomeTable, PredictionTable
from seakeep.records.feature import FeatureColumn

COLUMNS = (
    FeatureColumn(name="load", kind="number"),
    FeatureColumn(name="speed", kind="number"),
    FeatureColumn(name="site", kind="category"),
)
REFERENCE_DAYS, BEFORE_DAYS, RECENT_DAYS = 31, 28, 28
START_US = 20_000 * DAY_US
LIVE_US = START_US + REFERENCE_DAYS * DAY_US
CHANGE_US = LIVE_US + BEFORE_DAYS * DAY_US
END_US = CHANGE_US + RECENT_DAYS * DAY_US
LABEL_DELAY_US = DAY_US // 4


@dataclasses.dataclass(frozen=True)
class Change:
    """What is different in the recent period."""

    shift: float = 0.0  # of the mean of "load": the world, seen by the model
    prior: float = 1.0  # odds of positives at equal P(x | y): the world, by prior shift
    offset: float = 0.0  # of the log-odds at equal x: the world, unseen by the model
    weights: tuple[float, float] = (1.3, 0.9)  # how the outcome follows load and speed
    load_stuck_at: float | None = None  # what the model is fed in place of "load"
    threshold: float = 1.0  # factor on the decision threshold
    squeeze: float = 1.0  # factor on what is served as the score
    labels_until_us: int = END_US + DAY_US
    per_day: int = 300


def simulate(change: Change, seed: int) -> History:
    """A model that is exactly right until ``CHANGE_US``; days vary on their own, seen and unseen, in runs."""
    generator = np.random.default_rng(seed)
    days = REFERENCE_DAYS + BEFORE_DAYS + RECENT_DAYS
    seen, unseen = _runs(days, 0.25, generator), _runs(days, 0.15, generator)
    day = np.repeat(np.arange(days), change.per_day)
    n = len(day)
    time_us = START_US + day * DAY_US + np.sort(generator.integers(0, DAY_US, (days, change.per_day)), axis=1).ravel()
    recent = time_us >= CHANGE_US
    load = generator.normal(size=n) + seen[day] + change.shift * recent
    speed = generator.normal(size=n)
    weights = np.where(recent[:, None], change.weights, (1.3, 0.9))
    centre = np.where(recent & (change.weights[0] < 1), 0.55, 0.0)  # keeps the rate of positives when the slope falls
    log_odds = (
        -2.4 + centre + (weights * np.column_stack([load, speed])).sum(axis=1) + unseen[day] + change.offset * recent
    )
    label = (generator.random(n) < _expit(log_odds)).astype(float)
    keep = ~recent | (generator.random(n) < np.where(label > 0, min(1, change.prior), min(1, 1 / change.prior)))
    fed = load if change.load_stuck_at is None else np.where(recent, change.load_stuck_at, load)
    score = _expit(-2.4 + 1.3 * fed + 0.9 * speed) * np.where(recent, change.squeeze, 1.0)
    threshold = float(np.quantile(score[day < REFERENCE_DAYS], 0.9))
    decision = score >= np.where(recent, change.threshold * threshold, threshold)
    site = generator.choice(np.array(["a", "b", "c"], dtype=object), size=n)
    key = np.arange(n).astype(str).astype(object)
    known_us = time_us + LABEL_DELAY_US
    told = keep & (known_us < change.labels_until_us)

    def table(rows: np.ndarray, role: str) -> PredictionTable:
        count = int(rows.sum())
        text = np.full(count, "", dtype=object)
        took = generator.lognormal(6, 0.3, count)
        return PredictionTable(
            id=key[rows], key=key[rows], role=np.full(count, role, dtype=object), pair=text, error=text,
            version=np.ones(count, dtype=np.int64), time_us=time_us[rows], recorded_us=time_us[rows],
            numbers=np.column_stack([fed, speed])[rows], categories=site[rows][:, None],
            score=score[rows], decision=decision[rows], model_us=took / 2, total_us=took,
        )  # fmt: skip

    def outcomes(rows: np.ndarray) -> OutcomeTable:
        return OutcomeTable(key=key[rows], known_us=known_us[rows], value=label[rows])

    first = time_us < LIVE_US
    return History.of(
        table(keep & first, "validation"),
        outcomes(told & first),
        table(keep & ~first, "champion"),
        outcomes(told & ~first),
        COLUMNS,
    )


def _runs(days: int, deviation: float, generator: np.random.Generator) -> np.ndarray:
    """A daily effect that carries over from day to day (first-order autoregression, 0.4)."""
    noise = generator.normal(scale=deviation, size=days)
    for day in range(1, days):
        noise[day] = 0.4 * noise[day - 1] + np.sqrt(1 - 0.16) * noise[day]
    return noise


def _expit(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))
