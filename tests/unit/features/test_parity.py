import numpy as np
import pytest

from seakeep.errors import DataError
from seakeep.features.frame import Frame
from seakeep.features.parity import compare
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import Label, ModelDefinition, Threshold
from seakeep.records.source import Events

COLUMNS = (
    FeatureColumn(name="v.c", kind="category", view="v"),
    FeatureColumn(name="v.a", kind="number", view="v"),
    FeatureColumn(name="b", kind="number"),
)
DEFINITION = ModelDefinition(
    name="m",
    request=Events("r", time="t", key="id"),
    views=(),
    request_features={},
    label=Label(Events("o", time="t", key="id"), col("y") > 0),
    decision=Threshold(),
    columns=COLUMNS,
)
NAN = np.nan
FRAME = Frame(
    columns=COLUMNS,
    values={
        "v.c": np.array(["x", "y", "", "z"], dtype=object),
        "v.a": np.array([1.0, 2e6, NAN, 0.0]),
        "b": np.array([5.0, 6.0, 7.0, 8.0]),
    },
    key=np.array(["k0", "k1", "k2", "k3"], dtype=object),
    time_us=np.array([10, 20, 30, 40]),
    label=np.full(4, NAN),
    label_known_us=np.zeros(4, dtype=np.int64),
)


def logged(rows, **change):
    numbers, categories = FRAME.numbers()[rows], FRAME.categories()[rows]
    found = {
        "numbers": numbers.copy(),
        "categories": categories.copy(),
        "times_us": FRAME.time_us[rows],
        "keys": FRAME.key[rows].tolist(),
    }
    return found | change


def test_equal_rows_in_any_order_pass():
    report = compare(DEFINITION, **logged([3, 0, 2]), frame=FRAME)
    assert (report.rows, report.unmatched, report.passed) == (3, 0, True)
    assert [one.name for one in report.features] == ["v.c", "v.a", "b"]
    assert all(one.match_rate == 1.0 and one.identical == 3 and one.worst_key == "" for one in report.features)


def test_each_kind_of_difference_is_found_where_it_is():
    rows = logged([0, 1, 2, 3])
    rows["categories"][1, 0] = "Y"
    rows["numbers"][0, 0] += 0.25
    rows["numbers"][2, 1] = NAN
    report = compare(DEFINITION, **rows, frame=FRAME)
    assert not report.passed
    category, a, b = report.features
    assert (category.matched, category.max_difference, category.worst_key) == (3, np.inf, "k1")
    assert (a.matched, a.max_difference, a.worst_key) == (3, 0.25, "k0")
    assert (b.matched, b.max_difference, b.worst_key) == (3, np.inf, "k2")
    assert b.match_rate == 0.75


def test_the_tolerance_is_relative_and_stated():
    rows = logged([1])
    rows["numbers"][0, 0] *= 1 + 4e-10
    a = compare(DEFINITION, **rows, frame=FRAME).features[1]
    assert (a.matched, a.identical, a.worst_key) == (1, 0, "k1")
    assert compare(DEFINITION, **rows, frame=FRAME, tolerance=1e-12).features[1].matched == 0


def test_rows_of_another_moment_are_not_compared():
    report = compare(DEFINITION, **logged([0, 1], times_us=np.array([10, 21])), frame=FRAME)
    assert (report.rows, report.unmatched, report.passed) == (1, 1, True)


def test_nothing_logged():
    report = compare(DEFINITION, **logged([]), frame=FRAME)
    assert (report.rows, report.passed) == (0, True)
    assert report.features[0].match_rate == 1.0


def test_a_log_of_another_version_is_refused():
    with pytest.raises(DataError, match="3 numbers and 1 categories were logged"):
        compare(DEFINITION, **logged([0], numbers=np.zeros((1, 3))), frame=FRAME)
