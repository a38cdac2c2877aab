import numpy as np
import pytest

import seakeep as sk
from seakeep.features.transform import evaluate
from seakeep.project.adoption import symbols
from seakeep.records.expression import Column, Constant, Unary

TABLE = {
    "x": np.array([1.0, -2.5, np.nan, 0.0]),
    "y": np.array([np.nan, 3.0, np.nan, 7.25]),
    "t": np.array(["a", "b", "", "c"], dtype=object),
}
X, Y, T = Column("x"), Column("y"), Column("t")


def values(node):
    return evaluate(node, TABLE).tolist()


def test_a_comparison_with_a_gap_is_false_as_in_pandas_and_unequal_is_true():
    assert values(symbols.compare("gt", X, Constant(0.5))) == [1, 0, 0, 0]
    assert values(symbols.compare("ne", X, Constant(1.0))) == [0, 1, 1, 1]
    assert values(symbols.compare("ne", T, Constant("a"))) == [0, 1, 1, 1]


def test_a_choice_gives_either_branch_to_the_bit():
    chosen = symbols.choose(symbols.compare("lt", X, Constant(0.0)), Constant(0.1), Y)
    np.testing.assert_array_equal(values(chosen), [np.nan, 0.1, np.nan, 7.25])


def test_a_lookup_is_missing_where_the_table_says_nothing():
    np.testing.assert_array_equal(values(symbols.lookup(T, {"a": 0.3, "b": -4.0})), [0.3, -4.0, np.nan, np.nan])
    np.testing.assert_array_equal(values(symbols.lookup(T, {})), [np.nan] * 4)


def test_membership_is_never_missing():
    assert values(symbols.within(T, ["a", "c"])) == [1, 0, 0, 1]
    assert symbols.never_missing(symbols.within(T, ["a", "c"]))
    assert not symbols.never_missing(X)


@pytest.mark.parametrize(
    "node",
    [
        symbols.compare("gt", X, Constant(0.5)),
        symbols.choose(symbols.compare("lt", X, Constant(0.0)), Constant(-0.1), Y),
        symbols.lookup(T, {"a": 0.3, 'b"': -4.0}),
        Unary("not", symbols.within(T, ["a", "ü"])),
        Unary("neg", Unary("log1p", Unary("abs", X))),
        Unary("is_missing", Y),
    ],
)
def test_the_source_of_an_expression_is_the_expression(node):
    written = eval(symbols.source(node), {"sk": sk})
    assert symbols.source(written) == symbols.source(node)
    np.testing.assert_array_equal(values(written), values(node))


def test_an_indicator_is_recognised():
    column, text = symbols.indicated(symbols.compare("eq", T, Constant("a")))
    assert (column.name, text) == ("t", "a")
    assert symbols.indicated(symbols.compare("eq", X, Constant(1.0))) is None
    assert symbols.indicated(T) is None
