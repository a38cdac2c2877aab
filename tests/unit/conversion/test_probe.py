import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.conversion import probe
from seakeep.conversion.emit.column import Column, Origin
from seakeep.conversion.emit.forest import Forest, Tree
from seakeep.conversion.rows import Rows, joined, spread
from seakeep.conversion.witness import Walk

# Node 0: number 0 <= 1.5 (missing left) -> 1 | 2; node 1: code in {0, 2} (missing right) -> 3 | 4.
TREE = Tree(
    column=np.array([0, 1, 0, 0, 0]),
    threshold=np.array([1.5, 0.0, 0.0, 0.0, 0.0]),
    left=np.array([1, 3, -1, -1, -1]),
    right=np.array([2, 4, -1, -1, -1]),
    missing_left=np.array([True, False, False, False, False]),
    members={1: (0.0, 2.0)},
    value=np.arange(5.0),
)


def forest(*, single=False, missing=True, scale=1.0, shift=0.0):
    number = Origin(kind="number", position=0, scale=scale, shift=shift)
    category = Origin(kind="category", position=0, choices=("a", "b", "c"))
    columns = tuple(
        Column(name=str(i), tensor="t", position=i, kind="number", origin=origin)
        for i, origin in enumerate((number, category))
    )
    return Forest(trees=(TREE,), columns=columns, matrix="m", single=single, missing=missing)


def matrix(rows):
    codes = {"a": 0.0, "b": 1.0, "c": 2.0}
    return np.column_stack([rows.numbers[:, 0], [codes.get(text, np.nan) for text in rows.categories[:, 0]]])


ROWS = Rows(np.array([[9.0], [1.0], [np.nan], [1.5]]), np.array([["a"], ["b"], ["c"], ["zz"]], dtype=object))


def test_the_witness_of_a_node_is_the_first_row_that_comes_by():
    assert Walk(TREE, matrix(ROWS)).witnesses().tolist() == [0, 1, 0, 2, 1]


def test_a_node_that_no_row_meets_has_no_witness():
    assert Walk(TREE, matrix(ROWS.take(np.array([0])))).witnesses().tolist() == [0, -1, 0, -1, -1]


def test_a_missing_code_goes_where_the_node_says():
    assert Walk(TREE, np.array([[0.0, np.nan]])).witnesses().tolist() == [0, 0, -1, -1, 0]


def test_each_split_gets_its_neighbours_and_each_category():
    found = probe.splits(forest(), matrix, ROWS)
    assert found.boundaries.numbers[:, 0].tolist() == [np.nextafter(1.5, 0), 1.5, np.nextafter(1.5, 2)]
    assert len(set(found.boundaries.categories[:, 0])) == 1
    assert found.categories.categories[:, 0].tolist() == ["a", "b", "c"]
    assert len(set(found.categories.numbers[:, 0])) == 1
    assert found.left_out == 0
    # number 0 is missing once; the category is empty and unseen once; each in a real row
    assert np.isnan(found.missing.numbers[-1, 0])
    assert found.missing.categories[0, 0] == ""
    assert found.missing.categories[1, 0] not in {"", "a", "b", "c", "zz"}


def test_the_telling_row_is_the_one_whose_sides_differ_most():
    # At node 0 row 1 goes to leaf 4 or leaf 2, a difference of 2; row 2 to leaf 3 or 2, a difference of 1.
    walk = Walk(TREE, matrix(ROWS))
    assert walk.witnesses().tolist() == [0, 1, 0, 2, 1]
    assert walk.telling(walk.witnesses())[0] == 1
    assert walk.telling(walk.witnesses(), missing=True)[0] == 1


def test_a_node_that_no_row_meets_has_no_telling_row():
    walk = Walk(TREE, matrix(ROWS.take(np.array([0]))))
    assert walk.telling(walk.witnesses()).tolist() == [0, -1, 0, -1, -1]


def test_rows_stay_as_they_were():
    before = ROWS.take(np.arange(len(ROWS)))
    probe.splits(forest(), matrix, ROWS)
    probe.extremes(ROWS, np.array([0]))
    probe.missing(ROWS, np.array([0, 1]))
    assert np.array_equal(before.numbers, ROWS.numbers, equal_nan=True)
    assert (before.categories == ROWS.categories).all()


def test_a_scaled_threshold_is_brought_back_to_the_input_and_stepped_over():
    found = probe.splits(forest(scale=10.0, shift=-3.0), matrix, ROWS).boundaries.numbers[:, 0]
    assert found.min() < 12.0 < found.max()
    assert np.abs(found - 12.0).max() < 1e-13


def test_missing_is_not_tried_at_every_split_of_a_classifier_that_refuses_it():
    found = probe.splits(forest(missing=False), matrix, ROWS)
    assert not np.isnan(found.missing.numbers[:, 0]).any()


@given(st.floats(-1e30, 1e30))
def test_double_neighbours_stand_on_both_sides(threshold):
    (values,) = probe.around(np.array([threshold]), single=False)
    assert (values <= threshold).tolist() == [True, True, False]
    assert np.nextafter(values[0], np.inf) == values[1] == np.nextafter(values[2], -np.inf)


@given(st.floats(-1e30, 1e30))
def test_single_neighbours_stand_where_rounding_turns(threshold):
    (values,) = probe.around(np.array([threshold]), single=True)
    rounded = values.astype(np.float32).astype(float)
    goes_left = rounded <= threshold
    assert goes_left.tolist() in ([True, True, True, False, False], [True, True, False, False, False])
    assert np.nextafter(np.float32(values[0]), np.float32(np.inf)) == np.float32(values[-1])
    assert (np.diff(values) >= 0).all()


@pytest.mark.parametrize("side", [-1, 1])
def test_around_the_greatest_single_number_nothing_overflows(side):
    """A border there parts missing values from all others."""
    greatest = side * float(np.finfo(np.float32).max)
    (values,) = probe.around(np.array([greatest]), single=True)
    assert greatest in values.tolist()
    assert values.tolist() == sorted(values.tolist())


def test_extremes_and_missing_touch_one_input_at_a_time():
    base = np.array([0, 1])
    found = probe.extremes(ROWS, base)
    assert {0.0, np.inf, -np.inf, 2.0**24 + 1, float(np.finfo(np.float32).max), 5e-324} <= set(found.numbers[:, 0])
    assert np.signbit(found.numbers[found.numbers[:, 0] == 0, 0]).any()
    absent = probe.missing(ROWS, base)
    assert np.isnan(absent.numbers[:, 0]).sum() == 2 + 2 + 2
    assert (absent.categories[:, 0] == "").sum() == 2 + 2


def test_unseen_categories_include_the_other_case():
    assert {"A", "a ", " ", "nan"} <= set(probe.unseen(ROWS, np.array([0])).categories[:, 0])


@pytest.mark.parametrize(("count", "limit"), [(0, 5), (1, 5), (5, 5), (100, 7)])
def test_spread_is_even_and_bounded(count, limit):
    chosen = spread(count, limit)
    assert len(chosen) == min(count, limit)
    if count > limit:
        assert chosen[0] == 0
        assert chosen[-1] == count - 1


def test_joined_keeps_order():
    both = joined([ROWS, ROWS.take(np.array([0]))])
    assert len(both) == 5
    assert both.categories[:, 0].tolist() == ["a", "b", "c", "zz", "a"]
