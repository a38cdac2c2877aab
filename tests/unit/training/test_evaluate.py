import dataclasses

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from tests.steps import steps

from seakeep.clock import DAY_US
from seakeep.records.outputs import NEVER, number
from seakeep.training.evaluate import (
    METRICS_OF,
    Scored,
    evaluate,
    evaluate_beside,
    evaluate_slices,
    log_losses,
    paired_loss,
    resample,
    roc_auc,
)


def scored(rows=3_000, days=30, seed=0, digits=2):
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(rows), digits)
    label = (rng.random(rows) < score).astype(np.float64)
    return Scored(label=label, score=score, time_us=np.sort(rng.integers(0, days * DAY_US, rows)))


def test_values_agree_with_scikit_learn_ties_included():
    rows = scored()
    found = {name: metric.value for name, metric in evaluate(rows, threshold=0.9).items()}
    assert found["roc_auc"] == pytest.approx(roc_auc_score(rows.label, rows.score), abs=1e-12)
    assert found["average_precision"] == pytest.approx(average_precision_score(rows.label, rows.score), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(rows.label, rows.score), abs=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(rows.label, rows.score), abs=1e-12)


def test_rates_at_the_threshold_are_counts():
    rows = Scored(
        label=np.array([1.0, 0, 1, 1, 0]), score=np.array([0.9, 0.8, 0.5, 0.4, 0.1]), time_us=np.arange(5) * DAY_US
    )
    found = evaluate(rows, threshold=0.5)
    assert found["alert_rate"].value == pytest.approx(3 / 5)
    assert found["recall"].value == pytest.approx(2 / 3)
    assert found["precision"].value == pytest.approx(2 / 3)
    assert found["base_rate"].value == pytest.approx(3 / 5)
    assert found["calibration"].value == pytest.approx(3 / 2.7)


def test_every_value_lies_in_its_interval_and_the_intervals_have_width():
    found = evaluate(scored(), threshold=0.8)
    assert tuple(found) == METRICS_OF["probability"]
    for name, metric in found.items():
        assert metric.low < metric.value < metric.high, name


def test_rows_of_one_day_that_are_alike_widen_the_interval():
    rng = np.random.default_rng(1)
    day = np.repeat(np.arange(30), 100)
    bad_day = (rng.random(30) < 0.3)[day]
    alike = Scored(label=bad_day.astype(np.float64), score=np.full(3_000, 0.3), time_us=day * DAY_US)
    shuffled = Scored(label=rng.permutation(alike.label), score=alike.score, time_us=alike.time_us)
    width = [
        metric.high - metric.low for metric in (evaluate(one, threshold=0.5)["base_rate"] for one in (alike, shuffled))
    ]
    assert width[0] > 4 * width[1]


def test_the_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = 0.5
    covered = 0
    for seed in range(120):
        metric = evaluate(scored(rows=600, seed=seed), threshold=0.5, seed=seed, resamples=200)["base_rate"]
        covered += metric.low <= truth <= metric.high
    assert covered >= 105


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    rows = scored()
    assert evaluate(rows, threshold=0.8, seed=3) == evaluate(rows, threshold=0.8, seed=3)
    assert evaluate(rows, threshold=0.8, seed=3) != evaluate(rows, threshold=0.8, seed=4)


@pytest.mark.parametrize(("label", "absent"), [(1.0, {"roc_auc"}), (0.0, {"roc_auc", "average_precision", "recall"})])
def test_metrics_that_are_not_defined_are_left_out(label, absent):
    rows = Scored(label=np.full(50, label), score=np.linspace(0.1, 0.9, 50), time_us=np.arange(50) * DAY_US)
    assert set(METRICS_OF["probability"]) - set(evaluate(rows, threshold=0.5)) == absent


def test_precision_without_a_yes_is_left_out():
    rows = scored()
    found = evaluate(rows, threshold=2.0)
    assert "precision" not in found
    assert found["recall"].value == 0.0


def test_fewer_days_than_can_be_resampled_still_give_intervals():
    metric = evaluate(scored(days=1), threshold=0.8)["roc_auc"]
    assert 0 < metric.high - metric.low < 0.2


def test_one_row_has_metrics_without_width():
    rows = Scored(label=np.ones(1), score=np.array([0.7]), time_us=np.zeros(1, dtype=np.int64))
    assert evaluate(rows, threshold=0.5)["recall"].value == 1.0


def test_a_certain_and_wrong_score_has_a_finite_loss():
    losses = log_losses(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]))
    assert np.isfinite(losses).all()
    assert losses[0] > 30
    assert losses[2] == pytest.approx(0.0, abs=1e-12)


def test_the_paired_difference_is_narrower_than_the_metrics_and_has_their_difference():
    rows = scored()
    worse = 0.8 * rows.score + 0.1
    difference = paired_loss(rows, worse)
    one, other = evaluate(rows, threshold=0.5)["log_loss"], log_losses(rows.label, worse).mean()
    assert difference.value == pytest.approx(one.value - other, abs=1e-12)
    assert difference.high < 0
    assert difference.high - difference.low < one.high - one.low


def test_scores_paired_with_themselves_show_no_difference():
    rows = scored()
    difference = paired_loss(rows, rows.score)
    assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_slices_are_the_frequent_values_with_their_own_metrics():
    rows = scored()
    column = np.array(["a"] * 2_000 + ["b"] * 950 + ["c"] * 50, dtype=object)
    found = evaluate_slices(column, rows, threshold=0.8)
    assert list(found) == ["a", "b"]
    assert found["b"]["rows"].value == 950
    assert found["b"]["roc_auc"].value == pytest.approx(roc_auc_score(rows.label[2_000:2_950], rows.score[2_000:2_950]))


def test_at_most_twenty_slices():
    rows = scored(rows=6_000)
    column = np.array([f"v{one % 40:02}" for one in range(6_000)], dtype=object)
    assert len(evaluate_slices(column, rows, threshold=0.8, resamples=2)) == 20


def test_roc_auc_alone_is_that_of_evaluate():
    rows = scored()
    assert roc_auc(rows.label, rows.score) == evaluate(rows, threshold=0.5)["roc_auc"].value
    assert np.isnan(roc_auc(np.ones(3), np.arange(3.0)))


def test_no_loop_goes_over_sixty_thousand_rows():
    rows = scored(rows=60_000, digits=6)
    assert steps(lambda: evaluate(rows, threshold=0.8)) < 6_000


def test_two_versions_beside_one_another_have_the_metrics_they_have_alone():
    rows, other = scored(), scored(digits=1)
    other = Scored(label=rows.label, score=other.score, time_us=rows.time_us)
    blocks = resample(rows.time_us)
    found = evaluate_beside(rows, other, threshold=0.8, other_threshold=0.7, blocks=blocks)
    assert found.one == evaluate(rows, threshold=0.8)
    assert found.other == evaluate(other, threshold=0.7)
    assert tuple(found.difference) == METRICS_OF["probability"]
    for name, metric in found.difference.items():
        assert metric.value == pytest.approx(found.one[name].value - found.other[name].value, abs=1e-12)
    paired = paired_loss(rows, other.score)
    log_loss_ = found.difference["log_loss"]
    assert (log_loss_.value, log_loss_.low, log_loss_.high) == pytest.approx((paired.value, paired.low, paired.high))


def test_what_only_one_version_defines_has_no_difference():
    rows = Scored(label=np.array([1.0, 0.0]), score=np.array([0.9, 0.2]), time_us=np.arange(2))
    found = evaluate_beside(rows, rows, threshold=0.5, other_threshold=0.95, blocks=resample(rows.time_us))
    assert "precision" in found.one
    assert "precision" not in found.other
    assert "precision" not in found.difference


def test_resampled_blocks_are_days_or_else_stretches_and_keep_their_number():
    days = resample(np.repeat(np.arange(12), 5) * DAY_US, resamples=50)
    assert (len(days), days.whole_days, days.weights.shape) == (12, True, (51, 12))
    assert days.weights.sum(axis=1).tolist() == [12.0] * 51
    assert days.sums(np.ones(60)).tolist() == [5.0] * 12
    assert days.totals(np.ones(60)).tolist() == [60.0] * 51
    few = resample(np.random.default_rng(0).permutation(100) * DAY_US // 20)
    assert (len(few), few.whole_days) == (20, False)
    assert few.sums(np.ones(100)).tolist() == [5.0] * 20
    assert len(resample(np.arange(3))) == 3


def test_errors_of_numbers_and_the_paired_share_have_no_favourite_unit():
    rng = np.random.default_rng(3)
    label = rng.normal(0, 5, 2_000)
    rows = Scored(
        label=label,
        score=label + rng.normal(1, 1, 2_000),
        time_us=np.sort(rng.integers(0, 30 * DAY_US, 2_000)),
        outputs=number(),
    )
    found = evaluate(rows, threshold=NEVER)
    assert tuple(found) == METRICS_OF["value"]
    assert found["mae"].value == pytest.approx(np.abs(rows.score - label).mean())
    assert found["rmse"].value == pytest.approx(np.sqrt(np.mean((rows.score - label) ** 2)))
    assert found["bias"].low < 1 < found["bias"].high
    worse = label + 2 * (rows.score - label)
    share = paired_loss(rows, worse)
    assert (share.value, share.low, share.high) == pytest.approx((-0.75, -0.75, -0.75))
    larger = Scored(label=1e6 * label, score=1e6 * rows.score, time_us=rows.time_us, outputs=number())
    assert paired_loss(larger, 1e6 * worse).value == pytest.approx(share.value)
    same = paired_loss(rows, rows.score)
    assert (same.low, same.high) == (0.0, 0.0)


def test_beside_a_faultless_other_a_share_stays_finite():
    rows = Scored(label=np.arange(50.0), score=np.arange(50.0) + 1, time_us=np.arange(50) * DAY_US, outputs=number())
    assert paired_loss(rows, rows.label).value == 1.0
    assert paired_loss(dataclasses.replace(rows, score=rows.label), rows.label).high == 0.0
