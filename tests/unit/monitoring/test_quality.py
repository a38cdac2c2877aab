import numpy as np
import pytest
from tests.unit.diagnosis.streams import CHANGE_US, END_US, LIVE_US, Change, simulate

from seakeep.clock import DAY_US
from seakeep.monitoring.proportion import proportion
from seakeep.monitoring.quality import METRICS, by_window, realised

LATER_US = END_US + DAY_US


def test_values_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rows = simulate(Change(per_day=40), 0).live
    score, decision, y = rows.predictions.score, rows.predictions.decision, rows.value
    found = realised(rows, now_us=LATER_US)
    assert tuple(found) == METRICS
    expected = {
        "base_rate": y.mean(),
        "alert_rate": decision.mean(),
        "recall": metrics.recall_score(y, decision),
        "precision": metrics.precision_score(y, decision),
        "false_positive_rate": decision[y == 0].mean(),
        "roc_auc": metrics.roc_auc_score(y, score),
        "log_loss": metrics.log_loss(y, score),
        "calibration": y.sum() / score.sum(),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value), name
        assert found[name].low < value < found[name].high, name


@pytest.mark.slow
def test_intervals_hold_the_true_rate_as_often_as_they_say():
    found = [realised(simulate(Change(per_day=100), seed).live, now_us=LATER_US, seed=seed) for seed in range(60)]
    for name in ("base_rate", "roc_auc", "log_loss", "calibration"):
        truth = np.mean([metrics[name].value for metrics in found])
        assert np.mean([metrics[name].low <= truth <= metrics[name].high for metrics in found]) >= 0.85, name


def test_undefined_metrics_are_left_out():
    rows = simulate(Change(per_day=40), 1).live
    found = realised(rows.select(rows.value == 0), now_us=LATER_US)
    assert "recall" not in found
    assert "roc_auc" not in found
    assert found["base_rate"].value == 0
    assert realised(rows, now_us=0) == {}


def test_windows_see_only_their_own_rows_and_labels_known_by_then():
    rows = simulate(Change(per_day=40), 2).live
    windows = by_window(rows, starts_us=(LIVE_US, CHANGE_US), length_us=7 * DAY_US, now_us=CHANGE_US)
    assert windows[1] == {}
    assert windows[0] == realised(rows.between(LIVE_US, LIVE_US + 7 * DAY_US), now_us=CHANGE_US)


def test_a_share_of_a_single_day_has_the_interval_of_independent_rows():
    rows = simulate(Change(per_day=40), 3).live
    day = rows.between(LIVE_US, LIVE_US + DAY_US)
    found = realised(day, now_us=LATER_US)
    hits, trials = int(day.value.sum()), len(day)
    assert 0 < hits < trials
    assert found["base_rate"] == proportion(hits, trials)
    none = realised(day.select(day.value == 0), now_us=LATER_US)["base_rate"]
    assert (none.value, none.low) == (0, 0)
    assert none.high > 0.05


def test_days_that_differ_widen_an_interval_beyond_that_of_independent_rows():
    rows = simulate(Change(per_day=100), 4).live
    restless = rows.predictions.time_us // DAY_US % 2 == 0
    few = rows.select(restless | (rows.value > 0))
    found = realised(few, now_us=LATER_US)["base_rate"]
    alone = proportion(int(few.value.sum()), len(few))
    assert found.low < alone.low
    assert found.high > alone.high
