import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.errors import DataError
from seakeep.features.join import outcomes, training_frame
from seakeep.features.resolve import resolve
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, RequestFeatures, count, latest, mean
from seakeep.records.model import Label, Model
from seakeep.records.source import ColumnSchema, Events

HOUR = 3_600_000_000
ASKING = Events("asking", time="t", key="id")
RESULTS = Events("results", time="at", key="id", delay="1h")
SCHEMAS = {
    "asking": (
        ColumnSchema(name="t", kind="time", nullable=False),
        ColumnSchema(name="id", kind="int", nullable=False),
        ColumnSchema(name="who", kind="string"),
    ),
    "results": (
        ColumnSchema(name="at", kind="time", nullable=False),
        ColumnSchema(name="id", kind="int", nullable=False),
        ColumnSchema(name="who", kind="string"),
        ColumnSchema(name="y", kind="float"),
    ),
}
MODEL = Model(
    "m",
    on=ASKING,
    features=[
        FeatureView("v", RESULTS, "who", {
            "n": count(over=["3h", "10h"]), "rate": mean(col("y") > 0, over=["10h"]), "y": latest("y", within="10h")
        }),
        RequestFeatures(who=col("who")),
    ],
    label=Label(RESULTS, col("y") > 0),
    train=lambda frame: frame,
)  # fmt: skip
DEFINITION = resolve(MODEL.definition, SCHEMAS)


def hours(values):
    return (np.array(values, dtype=np.int64) * HOUR).view("datetime64[us]")


def asking(rows):
    t, key, who = zip(*rows, strict=True) if rows else ((), (), ())
    return {"t": hours(t), "id": np.array(key, dtype=np.int64), "who": np.array(who, dtype=object)}


def results(rows):
    at, key, who, y = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {
        "at": hours(at),
        "id": np.array(key, dtype=np.int64),
        "who": np.array(who, dtype=object),
        "y": np.array(y, dtype=np.float64),
    }


def frame(asked, told, as_of=100):
    return training_frame(DEFINITION, {"asking": asking(asked), "results": results(told)}, as_of_us=as_of * HOUR)


def test_an_event_counts_from_the_moment_after_it_is_known():
    # known at 6: not yet at 6 itself, in the 3 h window until 9 inclusive
    found = frame([(t, t, "a") for t in (5, 6, 7, 9, 10, 16, 17)], [(5, 99, "a", 1.0)])
    assert found.values["v.n_3h"].tolist() == [0, 0, 1, 1, 0, 0, 0]
    assert found.values["v.n_10h"].tolist() == [0, 0, 1, 1, 1, 1, 0]
    np.testing.assert_array_equal(found.values["v.rate_10h"], [np.nan, np.nan, 1, 1, 1, 1, np.nan])


def test_labels():
    found = frame(
        [(0, 1, "a"), (1, 2, "a"), (2, 3, "a"), (3, 4, "a"), (4, 5, "a")],
        [
            (5, 1, "a", 1.0),
            (9, 2, "a", 1.0),  # known at 10, not before
            (6, 3, "a", np.nan),  # no outcome in it
            (8, 3, "a", -1.0),
            (4, 4, "a", -1.0),
            (3, 4, "a", 1.0),  # known first
            (3, 77, "a", 1.0),
        ],
        as_of=10,
    )
    np.testing.assert_array_equal(found.label, [1.0, np.nan, 0.0, 1.0, np.nan])
    assert (found.label_known_us // HOUR).tolist() == [6, 0, 9, 4, 0]
    assert found.key.tolist() == ["1", "2", "3", "4", "5"]


def test_rows_are_in_the_order_of_time_and_before_the_moment():
    found = frame([(5, 1, "a"), (3, 2, "b"), (10, 3, "a"), (3, 4, ""), (9, 5, "c")], [], as_of=10)
    assert found.key.tolist() == ["2", "4", "1", "5"]
    assert len(found) == 4
    assert found.values["who"].tolist() == ["b", "", "a", "c"]


def test_a_doubled_key_is_an_error():
    with pytest.raises(DataError, match="1 keys in more than one row, for example '7'"):
        frame([(1, 7, "a"), (2, 7, "a"), (3, 8, "a")], [])


def test_a_missing_table_is_an_error():
    with pytest.raises(DataError, match="no table for source 'results'"):
        training_frame(DEFINITION, {"asking": asking([(1, 1, "a")])}, as_of_us=HOUR * 9)


def test_outcomes_of_a_table():
    keys, values, known = outcomes(
        MODEL.definition.label, results([(9, 2, "a", 1.0), (1, 3, "a", -1.0), (4, 2, "a", -1.0)])
    )
    assert keys.tolist() == ["3", "2"]
    assert values.tolist() == [0.0, 0.0]
    assert (known // HOUR).tolist() == [2, 5]


who = st.sampled_from(["a", "b", ""])
told = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 12), who, st.sampled_from([-1.0, 1.0, np.nan])), max_size=25
)
asked = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), who), max_size=12, unique_by=lambda row: row[1])


@given(asked, told)
def test_no_row_is_lost_or_doubled(asked, told):
    found = frame(asked, told, as_of=20)
    assert sorted(found.key.tolist()) == sorted(str(key) for t, key, _ in asked if t < 20)


@given(asked, told, st.integers(0, 31), told)
def test_what_becomes_known_later_changes_nothing_earlier(asked, told, cut, future):
    """Law 9: a world that differs only from ``cut`` on gives the same rows, features and labels up to there."""
    past = [row for row in told if row[0] + 1 < cut]
    future = [row for row in future if row[0] + 1 >= cut]
    one, other = frame(asked, past + future, as_of=cut), frame(asked, past, as_of=cut)
    assert one.key.tolist() == other.key.tolist()
    np.testing.assert_array_equal(one.numbers(), other.numbers())
    np.testing.assert_array_equal(one.label, other.label)
    np.testing.assert_array_equal(one.label_known_us, other.label_known_us)


@given(asked, told, st.integers(1, 10))
def test_what_is_known_later_is_used_later(asked, told, shift):
    """Moving every event into the future by ``shift`` is the same as asking that much earlier."""
    moved = [(at + shift, key, name, y) for at, key, name, y in told]
    late = frame([(t + shift, key, name) for t, key, name in asked], moved)
    plain = frame(asked, told)
    assert late.key.tolist() == plain.key.tolist()
    np.testing.assert_array_equal(late.numbers(), plain.numbers())
    np.testing.assert_array_equal(late.label, plain.label)


@given(asked, told, st.randoms(use_true_random=False))
def test_the_order_of_rows_in_the_tables_does_not_matter(asked, told, random):
    plain = frame(sorted(asked), told)
    mixed = told[:]
    random.shuffle(mixed)
    np.testing.assert_array_equal(frame(sorted(asked), mixed).numbers(), plain.numbers())
    np.testing.assert_array_equal(frame(sorted(asked), mixed).label, plain.label)
