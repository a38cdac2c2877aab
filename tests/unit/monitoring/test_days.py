import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.diagnosis.streams import END_US, Change, simulate

from seakeep.clock import DAY_US
from seakeep.monitoring.days import DayCounts, ScoreBins, day_weights, interval, logit, roc_auc

LATER_US = END_US + 30 * DAY_US


def test_counts_hold_every_row_once_with_its_outcome_and_decision():
    rows = simulate(Change(per_day=50), 0).live
    bins = ScoreBins.fit(rows.predictions.score)
    counts = DayCounts.of(rows, bins, now_us=LATER_US)
    by_outcome = counts.total.sum(axis=0)
    assert by_outcome.sum() == len(rows)
    assert by_outcome[1, 1] == ((rows.value > 0) & rows.predictions.decision).sum()
    assert by_outcome[2].sum() == np.isnan(rows.value).sum()


def test_summaries_of_parts_merge_to_the_summary_of_the_whole():
    rows = simulate(Change(per_day=50), 1).live
    bins = ScoreBins.fit(rows.predictions.score)
    whole = DayCounts.of(rows, bins, now_us=END_US)
    cut = len(rows) // 3  # in the middle of a day
    parts = [DayCounts.of(rows.select(part), bins, now_us=END_US) for part in (slice(0, cut), slice(cut, None))]
    merged = parts[1].merge(parts[0])
    np.testing.assert_array_equal(merged.day, whole.day)
    np.testing.assert_array_equal(merged.count, whole.count)


@given(days=st.integers(1, 60), seed=st.integers(0, 9))
def test_every_resampled_history_has_as_many_days(days, seed):
    weights = day_weights(days, 20, np.random.default_rng(seed))
    assert weights.shape == (20, days)
    assert (weights.sum(axis=1) == days).all()


def test_runs_of_days_are_drawn_together():
    weights = day_weights(27, 400, np.random.default_rng(0))
    neighbours = np.corrcoef(weights[:, 5], weights[:, 6])[0, 1]
    strangers = np.corrcoef(weights[:, 5], weights[:, 18])[0, 1]
    assert neighbours > 0.4 > strangers


def test_resampled_spread_is_the_spread_of_the_mean():
    rows = simulate(Change(per_day=200), 2).live
    counts = DayCounts.of(rows, ScoreBins.fit(rows.predictions.score), now_us=LATER_US)
    once = counts.resample(np.ones((1, len(counts))))[0]
    np.testing.assert_array_equal(once, counts.total)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60))
def test_roc_auc_of_counts_is_the_share_of_ordered_pairs(cases):
    score = np.array([score for score, _ in cases])
    positive = np.array([label for _, label in cases])
    counted = [np.bincount(score[which], minlength=10).astype(float) for which in (positive, ~positive)]
    area = float(roc_auc(counted[0], counted[1]))
    if positive.all() or not positive.any():
        assert np.isnan(area)
        return
    difference = score[positive][:, None] - score[~positive][None]
    assert area == pytest.approx((difference > 0).mean() + (difference == 0).mean() / 2)


def test_bins_of_one_score_are_one_bin_and_logits_are_finite():
    bins = ScoreBins.fit(np.full(1000, 0.3))
    assert len(bins) <= 2
    assert np.isfinite(logit(np.array([0.0, 0.5, 1.0]))).all()
    assert np.isfinite(bins.logit).all()


def test_interval_holds_its_value_and_ignores_what_is_not_defined():
    metric = interval(5.0, np.array([np.nan, 1.0, 2.0]))
    assert (metric.low < 2.1, metric.high) == (True, 5.0)
    assert interval(1.0, np.array([np.nan])).high == 1.0
