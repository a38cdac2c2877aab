import dataclasses

import numpy as np
import pytest
from tests.unit.diagnosis.streams import CHANGE_US, END_US, LIVE_US, Change, simulate

from seakeep.clock import DAY_US
from seakeep.monitoring.days import DayCounts, ScoreBins
from seakeep.monitoring.estimate import estimate, fit_line
from seakeep.monitoring.history import NEVER_US, History, Labelled

NAMES = ("base_rate", "alert_rate", "recall", "precision")


def late(history: History, days: float) -> History:
    """The same history with every outcome known later."""

    def shift(rows: Labelled) -> Labelled:
        known_us = np.where(rows.known_us == NEVER_US, NEVER_US, rows.known_us + int(days * DAY_US))
        return dataclasses.replace(rows, known_us=known_us)

    return dataclasses.replace(history, live=shift(history.live))


def realised(history: History, from_us: int, to_us: int) -> dict[str, float]:
    rows = history.live.between(from_us, to_us)
    y, alert = rows.value > 0, rows.predictions.decision
    values = (y.mean(), alert.mean(), alert[y].mean(), y[alert].mean())
    return dict(zip(NAMES, values, strict=True))


def test_with_all_outcomes_the_estimate_is_the_realised():
    history = simulate(Change(), 0)
    found = estimate(history, from_us=LIVE_US, to_us=CHANGE_US, now_us=CHANGE_US + 2 * DAY_US)
    assert found.unlabelled == 0
    for name, value in realised(history, LIVE_US, CHANGE_US).items():
        assert found.metrics[name].value == pytest.approx(value)
        assert found.metrics[name].low < value < found.metrics[name].high


@pytest.mark.slow
@pytest.mark.parametrize("delay", [2, 7])
def test_intervals_cover_what_the_outcomes_show_later(delay):
    held = []
    for seed in range(15):
        history = late(simulate(Change(), seed), delay)
        for now_us in (CHANGE_US, CHANGE_US + 14 * DAY_US, END_US):
            found = estimate(history, from_us=now_us - 7 * DAY_US, to_us=now_us, now_us=now_us, seed=seed)
            true = realised(history, now_us - 7 * DAY_US, now_us)
            held += [found.metrics[name].low <= true[name] <= found.metrics[name].high for name in NAMES]
    assert np.mean(held) >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize(("positive_days", "negative_days"), [(0.25, 10), (10, 0.25)])
@pytest.mark.parametrize("reference_knows", [True, False])
def test_outcomes_that_come_at_their_own_speed_do_not_bend_the_estimate(positive_days, negative_days, reference_knows):
    held, errors = [], []
    for seed in range(10):
        history = simulate(Change(), seed)

        def delayed(rows: Labelled) -> Labelled:
            days = np.where(rows.value > 0, positive_days, negative_days)
            known_us = rows.predictions.time_us + (days * DAY_US).astype(np.int64)
            return dataclasses.replace(rows, known_us=np.where(np.isnan(rows.value), NEVER_US, known_us))

        slow = dataclasses.replace(
            history,
            live=delayed(history.live),
            reference=delayed(history.reference) if reference_knows else history.reference,
        )
        found = estimate(slow, from_us=END_US - 7 * DAY_US, to_us=END_US, now_us=END_US, seed=seed)
        true = realised(history, END_US - 7 * DAY_US, END_US)["base_rate"]
        metric = found.metrics["base_rate"]
        held.append(metric.low <= true <= metric.high)
        errors.append(metric.value - true)
    assert sum(held) >= 8
    assert abs(np.mean(errors)) < 0.02


def test_one_prediction_is_no_certainty_and_no_hit_is_no_certain_zero():
    history = simulate(Change(), 1)
    rows = history.live.between(END_US - DAY_US, END_US)
    for decision in (True, False):
        first = int(np.flatnonzero(rows.predictions.decision == decision)[0])
        one = dataclasses.replace(history, live=rows.select(slice(first, first + 1)))
        now_us = int(rows.predictions.time_us[first]) + 1
        recall = estimate(one, from_us=0, to_us=now_us, now_us=now_us).metrics["recall"]
        assert recall.value == float(decision)
        assert recall.high - recall.low > 0.5


def test_a_rate_that_the_rows_do_not_define_is_left_out():
    history = simulate(Change(), 1)
    live = history.live.select((history.live.value == 0) & ~history.live.predictions.decision)
    metrics = estimate(dataclasses.replace(history, live=live), from_us=0, to_us=END_US, now_us=END_US + DAY_US).metrics
    assert set(metrics) == {"base_rate", "alert_rate"}


def test_anchoring_follows_a_world_that_the_scores_do_not_see():
    history = late(simulate(Change(offset=1.2), 3), 2)
    window = (END_US - 2 * DAY_US, END_US)
    true = realised(history, *window)["base_rate"]
    anchored = estimate(history, from_us=window[0], to_us=window[1], now_us=END_US)
    rows = history.live.between(*window)
    assert anchored.labelled == 0
    assert anchored.anchored
    assert abs(anchored.metrics["base_rate"].value - true) < 0.5 * abs(rows.predictions.score.mean() - true)


def test_intervals_widen_as_labels_age():
    def width(seed: int, delay: int) -> float:
        history = late(simulate(Change(), seed), delay)
        found = estimate(history, from_us=END_US - 7 * DAY_US, to_us=END_US, now_us=END_US, seed=seed)
        return found.metrics["base_rate"].high - found.metrics["base_rate"].low

    by_age = [np.mean([width(seed, delay) for seed in range(6)]) for delay in (1, 4, 10)]
    assert by_age == sorted(by_age)
    assert by_age[0] > 0


def test_without_recent_outcomes_it_says_that_it_rests_on_the_validation_rows():
    history = simulate(Change(labels_until_us=LIVE_US), 5)
    found = estimate(history, from_us=END_US - 7 * DAY_US, to_us=END_US, now_us=END_US)
    assert not found.anchored
    assert found.labelled == 0
    true = realised(simulate(Change(), 5), END_US - 7 * DAY_US, END_US)
    metric = found.metrics["base_rate"]
    assert metric.low <= true["base_rate"] <= metric.high
    assert metric.high - metric.low > 0.02


def test_without_predictions_or_validation_labels_there_is_no_estimate():
    history = simulate(Change(per_day=10), 6)
    assert estimate(history, from_us=END_US + DAY_US, to_us=END_US + 2 * DAY_US, now_us=END_US + 3 * DAY_US) is None
    blank = dataclasses.replace(history.reference, known_us=np.full(len(history.reference), NEVER_US))
    unlabelled = dataclasses.replace(history, reference=blank)
    assert estimate(unlabelled, from_us=LIVE_US, to_us=END_US, now_us=END_US) is None


def test_line_recovers_a_known_correction_and_stays_put_without_data():
    generator = np.random.default_rng(0)
    rows = simulate(Change(per_day=1000), 7).reference
    bins = ScoreBins.fit(rows.predictions.score)
    p = np.log(rows.predictions.score / (1 - rows.predictions.score))
    value = (generator.random(len(p)) < 1 / (1 + np.exp(-(0.5 + 0.7 * p)))).astype(float)
    counts = DayCounts.of(dataclasses.replace(rows, value=value), bins, now_us=END_US)
    np.testing.assert_allclose(fit_line(bins.logit, counts.total[None])[0], (0.5, 0.7), atol=0.1)
    np.testing.assert_allclose(fit_line(bins.logit, np.zeros_like(counts.total)[None])[0], (0, 1))
