import numpy as np
import pytest

from seakeep.errors import DataError
from seakeep.features.transform import check, evaluate
from seakeep.records.expression import Binary, Column, Constant, Unary, col

NAN = np.nan
TABLE = {
    "x": np.array([1.0, -2.0, NAN, 0.0]),
    "y": np.array([2.0, NAN, NAN, 0.0]),
    "n": np.array([1, 2, 3, 2**53]),
    "ok": np.array([True, False, True, False]),
    "s": np.array(["UA", "", "é", "UA"], dtype=object),
    "t": np.array(["2013-07-15T06:30:59.999999", "NaT", "1969-12-31T23:59", "2012-02-29"], dtype="datetime64[us]"),
    "u": np.array(["2013-07-16", "2013-07-16", "1970-01-01", "2012-02-29"], dtype="datetime64[us]"),
}
X, Y, N, OK, S, T, U = (col(name) for name in TABLE)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (X, [1, -2, NAN, 0]),
        (N, [1, 2, 3, 2.0**53]),
        (OK, [1, 0, 1, 0]),
        (X + Y, [3, NAN, NAN, 0]),
        (X - 1, [0, -3, NAN, -1]),
        (1 - X, [0, 3, NAN, 1]),
        (X * 2, [2, -4, NAN, 0]),
        (X / Y, [0.5, NAN, NAN, NAN]),
        (1 / X, [1, -0.5, NAN, NAN]),
        (X * 1e308 * 1e308, [NAN, NAN, NAN, 0]),
        (-X, [-1, 2, NAN, 0]),
        (X.abs(), [1, 2, NAN, 0]),
        (X.log1p(), [np.log1p(1), NAN, NAN, 0]),
        (X > 0, [1, 0, NAN, 0]),
        (X >= 0, [1, 0, NAN, 1]),
        (X < Y, [1, NAN, NAN, 0]),
        (X <= Y, [1, NAN, NAN, 1]),
        (X == 1, [1, 0, NAN, 0]),
        (X != 1, [0, 1, NAN, 1]),
        (1 < N, [0, 1, 1, 1]),  # noqa: SIM300 -- the reflected operator
        (S == "UA", [1, NAN, 0, 1]),
        (S != "UA", [0, NAN, 1, 0]),
        (T < U, [1, NAN, 1, 0]),
        (T == U, [0, NAN, 0, 1]),
        (OK & (X > 0), [1, 0, NAN, 0]),
        (OK | (X > 0), [1, 0, 1, 0]),
        ((X > 0) & (Y > 0), [1, 0, NAN, 0]),
        ((X > 5) | (Y > 0), [1, NAN, NAN, 0]),
        (~(X > 0), [0, 1, NAN, 1]),
        (~OK, [0, 1, 0, 1]),
        (X.is_missing(), [0, 0, 1, 0]),
        (S.is_missing(), [0, 1, 0, 0]),
        (T.is_missing(), [0, 1, 0, 0]),
        (N.is_missing(), [0, 0, 0, 0]),
        (X.fill(7), [1, -2, 7, 0]),
        (X.fill(Y), np.where(np.isnan(TABLE["x"]), TABLE["y"], TABLE["x"]).tolist()),
        ((X > 0).fill(0), [1, 0, 0, 0]),
        (S.fill("UA") == "UA", [1, 1, 0, 1]),
        (N.fill(0), [1, 2, 3, 2.0**53]),
        (Constant(3.0).fill(X), [3, 3, 3, 3]),
        (T.dt.hour(), [6, NAN, 23, 0]),
        (T.dt.minute(), [30, NAN, 59, 0]),
        (T.dt.weekday(), [0, NAN, 2, 2]),
        (T.dt.month(), [7, NAN, 12, 2]),
        (Constant(3.0), [3, 3, 3, 3]),
        (Constant(1.0) + 2, [3, 3, 3, 3]),
        ((Constant(1.0) > 2) | (X > 0), [1, 0, NAN, 0]),
    ],
)
def test_values(expression, expected):
    got = evaluate(expression, TABLE)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, np.array(expected, dtype=np.float64))


def test_text_and_times_come_through():
    assert evaluate(S, TABLE) is TABLE["s"]
    assert evaluate(T, TABLE).dtype == "datetime64[us]"
    assert evaluate(Constant("a"), TABLE).tolist() == ["a"] * 4


@pytest.mark.parametrize("left", [0.0, 1.0, NAN])
@pytest.mark.parametrize("right", [0.0, 1.0, NAN])
def test_connectives_are_kleenes(left, right):
    """Against the definition: and is the least, or the greatest, in the order false < missing < true."""
    order = {0.0: 0, 1.0: 2}
    table = {"a": np.array([left]), "b": np.array([right])}
    ranks = [order.get(left, 1), order.get(right, 1)]
    truth = {0: 0.0, 1: NAN, 2: 1.0}
    np.testing.assert_array_equal(evaluate(col("a") & col("b"), table), [truth[min(ranks)]])
    np.testing.assert_array_equal(evaluate(col("a") | col("b"), table), [truth[max(ranks)]])
    np.testing.assert_array_equal(evaluate(~col("a"), table), [truth[2 - ranks[0]]])


def test_one_row_gives_the_bits_that_many_rows_give():
    expression = ((X * 0.1 + Y / 3).log1p() > 0.2) & (T.dt.hour() > 3)
    everything = evaluate(expression, TABLE)
    for row in range(4):
        one = evaluate(expression, {name: values[row : row + 1] for name, values in TABLE.items()})
        np.testing.assert_array_equal(one, everything[row : row + 1])


def test_no_rows():
    empty = {name: values[:0] for name, values in TABLE.items()}
    for expression in (X + 1, S == "a", T.dt.month(), (X > 1) | OK):
        assert evaluate(expression, empty).shape == (0,)


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        (col("z") + 1, "no column 'z'", "known: n, ok"),
        (col("ss") == "a", "no column 'ss'", "did you mean 's'"),
        (S + 1, "add needs numbers, not a string", "compare it"),
        (T + 1, "add needs numbers, not a time", ".dt.hour"),
        (T - U, "sub needs numbers, not a time", ".dt.hour"),
        (X.dt.hour(), ".dt.hour.. needs a time, not a number", "time column"),
        (S.log1p(), "log1p needs a number, not a string", "compare it"),
        (~S, "not needs a number", "compare it"),
        (S > "a", "strings have no order", "== or !="),
        (S == 1, "cannot compare a string with a number", "one kind"),
        (S == "", 'a comparison with "" is always missing', "is_missing"),
        (S.fill(1), "cannot fill a string with a number", "own kind"),
        (S & OK, "and needs numbers, not a string", "compare it"),
    ],
)
def test_what_does_not_fit(expression, message, hint):
    with pytest.raises(DataError, match=message) as caught:
        evaluate(expression, TABLE)
    assert hint in caught.value.hint


def test_all_faults_are_told_at_once():
    _, faults = check(Binary("add", Column("p"), Unary("log1p", Column("q"))), {"x": "number"})
    assert [message for message, _ in faults] == ["there is no column 'p'", "there is no column 'q'"]


def test_inputs_are_not_changed():
    before = {name: values.copy() for name, values in TABLE.items()}
    evaluate((X > 0) & (S == "UA") & (T.dt.hour() > 1) & ~OK, TABLE)
    for name, values in TABLE.items():
        np.testing.assert_array_equal(values, before[name])
