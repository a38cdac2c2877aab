import dataclasses

import numpy as np

from seakeep.clock import DAY_US
from seakeep.records.model import Threshold, TopShare
from seakeep.records.run import Metric
from seakeep.training.split import split
from seakeep.training.suspicion import suspicions


def metrics(**values):
    return {name: Metric(value=value, low=value, high=value) for name, value in values.items()}


def sides(frame):
    return split(frame, validate_from_us=30 * DAY_US)


def test_a_sound_fit_raises_no_suspicion(make_frame):
    train, validate = sides(make_frame())
    better = {"linear": Metric(value=-0.1, low=-0.2, high=-0.05)}
    assert suspicions(train, validate, metrics(roc_auc=0.8, alert_rate=0.1), better, TopShare(0.1)) == ()


def test_a_score_too_good_to_be_true_names_the_feature_that_tells_the_label(make_frame):
    frame = make_frame()
    frame.values["x"][:] = -frame.label * 5
    train, validate = sides(frame)
    told = suspicions(train, validate, metrics(roc_auc=0.999), {}, Threshold())
    assert len(told) == 1
    assert "0.9990 is too good to be true" in told[0]
    assert "x alone" in told[0]
    assert "noise" not in told[0]


def test_few_rows_of_the_rarer_label_are_told(make_frame):
    frame = make_frame()
    train, validate = sides(dataclasses.replace(frame, label=(np.arange(len(frame)) % 100 == 0).astype(np.float64)))
    told = " ".join(suspicions(train, validate, {}, {}, Threshold()))
    assert "training rows have the rarer label" in told
    assert "validation rows have the rarer label" in told


def test_one_class_in_validation_is_told(make_frame):
    frame = make_frame()
    frame.label[frame.time_us >= 30 * DAY_US] = 0.0
    assert any("validation rows have the same label" in one for one in suspicions(*sides(frame), {}, {}, Threshold()))


def test_dead_features_are_told(make_frame):
    frame = make_frame()
    frame.values["x"][:] = np.nan
    frame.values["noise"][:] = 3.0
    frame.values["kind"][frame.time_us >= 30 * DAY_US] = ""
    told = suspicions(*sides(frame), {}, {}, Threshold())
    assert told == (
        "feature x is missing in every training row",
        "feature noise is constant in training: 3.0",
        "feature kind is missing in every validation row",
    )


def test_no_sure_gain_over_a_baseline_is_told(make_frame):
    paired = {"linear": Metric(value=-0.01, low=-0.03, high=0.01), "constant": Metric(value=-0.2, low=-0.3, high=-0.1)}
    told = suspicions(*sides(make_frame()), {}, paired, Threshold())
    assert len(told) == 1
    assert "the linear baseline's: difference -0.0100 [-0.0300, +0.0100]" in told[0]


def test_ties_that_change_the_share_are_told(make_frame):
    told = suspicions(*sides(make_frame()), metrics(alert_rate=0.3), {}, TopShare(0.1))
    assert "30.0%" in told[0]
    assert "10.0%" in told[0]
