import dataclasses

import numpy as np
import pytest

from seakeep.clock import DAY_US
from seakeep.errors import TrainingError
from seakeep.training.split import calibration_split, default_validate_from, split


def test_rows_before_the_moment_train_and_rows_from_it_validate(make_frame):
    frame = make_frame()
    train, validate = split(frame, validate_from_us=30 * DAY_US)
    assert train.time_us.max() < 30 * DAY_US <= validate.time_us.min()
    assert len(validate) == np.sum(frame.time_us >= 30 * DAY_US)


def test_rows_whose_label_came_too_late_are_purged(make_frame):
    frame = make_frame(delay_us=2 * DAY_US)
    train, _ = split(frame, validate_from_us=30 * DAY_US)
    assert train.label_known_us.max() < 30 * DAY_US
    assert len(train) == np.sum(frame.time_us < 28 * DAY_US)


def test_a_label_known_exactly_at_the_moment_does_not_train(make_frame):
    frame = make_frame(rows=100)
    moment = int(frame.label_known_us[50])
    train, _ = split(frame, validate_from_us=moment)
    assert moment not in train.label_known_us


def test_unlabelled_rows_are_on_neither_side(make_frame):
    frame = make_frame()
    label = frame.label.copy()
    label[::2] = np.nan
    train, validate = split(dataclasses.replace(frame, label=label), validate_from_us=30 * DAY_US)
    assert not np.isnan(train.label).any()
    assert not np.isnan(validate.label).any()


@pytest.mark.parametrize(("moment", "side"), [(0, "to learn from"), (99 * DAY_US, "to validate on")])
def test_an_empty_side_is_refused_with_the_range_of_the_labels(make_frame, moment, side):
    with pytest.raises(TrainingError, match=side) as caught:
        split(make_frame(), validate_from_us=moment)
    assert "1970-01-01" in caught.value.hint


def test_by_default_the_last_fifth_of_the_range_validates_from_midnight(make_frame):
    frame = make_frame()
    moment = default_validate_from(frame)
    assert moment % DAY_US == 0
    assert 31 * DAY_US <= moment <= 32 * DAY_US


def test_the_default_within_one_day_is_not_midnight(make_frame):
    frame = make_frame(days=1)
    moment = default_validate_from(frame)
    assert frame.time_us.min() < moment < frame.time_us.max()


def test_the_default_needs_a_label(make_frame):
    frame = make_frame(rows=50)
    with pytest.raises(TrainingError, match="none of the 50 rows has a label"):
        default_validate_from(dataclasses.replace(frame, label=np.full(50, np.nan)))


def test_the_earlier_half_of_the_labelled_rows_calibrates_and_the_later_tests_parted_at_midnight(make_frame):
    frame = make_frame()
    label = frame.label.copy()
    label[::3] = np.nan
    calibrate, test = calibration_split(dataclasses.replace(frame, label=label))
    assert len(calibrate) + len(test) == np.isfinite(label).sum()
    assert calibrate.time_us.max() < test.time_us.min()
    assert calibrate.time_us.max() // DAY_US < test.time_us.min() // DAY_US
    assert 0.4 < len(calibrate) / (len(calibrate) + len(test)) < 0.6


def test_the_rows_of_one_day_are_parted_within_it(make_frame):
    calibrate, test = calibration_split(make_frame(days=1))
    assert calibrate.time_us.max() < test.time_us.min()
    assert abs(len(calibrate) - len(test)) <= 1


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_to_part_are_told(make_frame, rows):
    frame = make_frame()
    with pytest.raises(TrainingError, match=f"{rows} labelled validation rows") as caught:
        calibration_split(frame.select(np.arange(rows)))
    assert "validate from" in caught.value.hint
