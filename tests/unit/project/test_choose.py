import datetime as dt

import numpy as np
import pytest

from seakeep.data.table import as_table
from seakeep.errors import ConfigError
from seakeep.project.choose import Columns, choose_columns

ROWS = 400
RNG = np.random.default_rng(0)
WHEN = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=7 * row) for row in range(ROWS)]  # noqa: DTZ001
BOUGHT = (RNG.random(ROWS) < 0.3).astype(int).tolist()
SIZE = RNG.normal(size=ROWS).round(3).tolist()


def table(**columns):
    return as_table({"when": WHEN, "bought": BOUGHT, "size": SIZE, **columns})


def choose(label="bought", time="when", key="", **columns):
    return choose_columns(table(**columns), Columns(label=label, time=time, key=key))


def cycle(*values):
    return [values[row % len(values)] for row in range(ROWS)]


def test_numbers_and_categories_are_told_apart_and_the_times_parts_are_added():
    choice = choose(colour=cycle("red", "blue"), stock=cycle(1, 2, 3, 4, 5))
    assert (choice.numbers, choice.categories) == (("size", "stock"), ("colour",))
    assert choice.inputs == {"size": "size", "colour": "colour", "stock": "stock"}
    assert choice.time_parts == {"hour": "hour", "weekday": "weekday"}
    assert choice.left_out == {}


def test_a_table_of_days_has_no_hour():
    days = [dt.datetime(2024, 1, 1) + dt.timedelta(days=row) for row in range(ROWS)]  # noqa: DTZ001
    assert choose(when=days).time_parts == {"weekday": "weekday"}


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (cycle(0, 1, 0), 0.5),
        (cycle(-1, 1, 1), 0.0),
        (cycle(1_234_567, 1_234_568), 1_234_567.5),
        (cycle(True, False), 0.5),
        (cycle("no", "no", "yes"), "yes"),
        (cycle("no", "yes", "yes"), "no"),
        (cycle("yes", None, "no", "no"), "yes"),
        (cycle(1.0, None, 0.0), 0.5),
    ],
)
def test_of_two_numbers_the_larger_is_positive_and_of_two_texts_the_rarer(values, positive):
    assert choose(bought=values).positive == positive


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (cycle(None), "it is empty"),
        (cycle("x"), "it is the same in every row"),
        (cycle(3), "it is the same in every row"),
        (WHEN, "it is a time"),
        (cycle("a sentence that a customer wrote to us about nothing"), "it is the same in every row"),
        ([f"the customer said a long sentence, number {row}" for row in range(ROWS)], "it is free text"),
        ([f"u{row}" for row in range(ROWS)], "it has 400 different values, like a name"),
        (cycle(*(f"u{row}" for row in range(220))), "it has 220 different values"),
        (list(range(ROWS)), "it has another value in every row"),
        ([7.5 * one for one in BOUGHT], "it alone tells the outcome"),
        ([-7.5 * one for one in BOUGHT], "it alone tells the outcome"),
        ([("kept", "sent")[one] for one in BOUGHT], "it alone tells the outcome"),
    ],
)
def test_a_column_that_cannot_be_a_feature_is_left_out_with_the_reason(values, reason):
    choice = choose(odd=values)
    assert "odd" not in choice.inputs.values()
    assert choice.left_out["odd"].startswith(reason)


@pytest.mark.parametrize(
    "values",
    [
        cycle("x", None),  # whether it is there may tell something
        cycle(*(f"c{row}" for row in range(20))),
        cycle(*range(40)),
        [row + 0.5 for row in range(ROWS)],
        [one if RNG.random() < 0.9 else 1 - one for one in BOUGHT],
    ],
    ids=["sometimes", "many-texts", "many-numbers", "all-different", "nearly-tells"],
)
def test_a_column_that_may_tell_something_is_kept(values):
    assert "odd" in choose(odd=values).inputs.values()


def test_features_get_names_that_python_takes_and_that_do_not_meet():
    odd = {"Size": SIZE, "size ": SIZE, "hour": SIZE, "class": SIZE, "2nd": SIZE, "größe": SIZE, "--": SIZE}
    names = {column: name for name, column in choose(**odd).inputs.items()}
    assert names == {
        "size": "size",
        "Size": "size_2",
        "size ": "size_3",
        "hour": "hour_2",
        "class": "c_class",
        "2nd": "c_2nd",
        "größe": "gr_e",
        "--": "column",
    }
    assert all(name.isidentifier() for name in names.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "bougth"}, "the table has no label column 'bougth'"),
        ({"time": "wen"}, "the table has no time column 'wen'"),
        ({"key": "id"}, "the table has no key column 'id'"),
        ({"time": "size"}, "time column 'size' does not hold times"),
        ({"when": cycle(WHEN[0], None, WHEN[1])}, "time column 'when' is missing in 133 rows"),
        ({"when": cycle(WHEN[0])}, "time column 'when' is the same in every row"),
        ({"key": "size"}, "key column 'size' does not identify a row"),
        ({"key": "k", "k": [*range(ROWS - 1), 0]}, "1 of 400 rows repeat a value, 0 have none"),
        (
            {"key": "k", "k": [f"k{row}" for row in range(ROWS - 1)] + [None]},
            "0 of 400 rows repeat a value, 1 have none",
        ),
        ({"bought": cycle(1, 2, 3)}, "label column 'bought' has 3 values; a label has two"),
        ({"bought": cycle(1)}, "label column 'bought' has 1 values"),
        ({"bought": cycle(None)}, "label column 'bought' has 0 values"),
        ({"bought": cycle(*WHEN[:2])}, "label column 'bought' holds times"),
        ({"size": cycle(5)}, r"no column is left to learn from \(size: it is the same in every row\)"),
    ],
)
def test_what_cannot_be_used_is_said(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        choose(**changes)
    assert caught.value.hint


def test_a_table_with_nothing_else_says_so():
    with pytest.raises(ConfigError, match="there are no others"):
        choose_columns(as_table({"when": WHEN, "y": BOUGHT}), Columns(label="y", time="when", key=""))


def test_for_a_number_a_column_that_tells_it_alone_is_left_out_and_texts_are_kept():
    told = (RNG.normal(50, 10, ROWS)).round(3).tolist()
    columns = table(minutes=told, hours=[one / 60 for one in told], colour=cycle("red", "blue"))
    choice = choose_columns(columns, Columns(label="minutes", time="when", key=""), number=True)
    assert choice.positive is None
    assert choice.left_out == {"hours": "it alone tells the outcome; was it known before?"}
    assert set(choice.inputs) == {"bought", "size", "colour"}
    same = table(minutes=[5.0] * ROWS)
    with pytest.raises(ConfigError, match="is the same in every row"):
        choose_columns(same, Columns(label="minutes", time="when", key=""), number=True)
