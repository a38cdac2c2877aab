import numpy as np
import pytest

from seakeep.data.schema import check_table, infer_schema
from seakeep.data.table import as_table
from seakeep.errors import DataError
from seakeep.records.source import ColumnSchema, Events

EVENTS = Events("arrivals", time="landed", key="flight")


def table(**change):
    columns = {
        "landed": np.array(["2013-07-01", "2013-07-02"], dtype="datetime64[us]"),
        "flight": ["a", "b"],
        "delay": [1.0, np.nan],
    }
    columns.update(change)
    return as_table({name: values for name, values in columns.items() if values is not None})


def test_infer_schema():
    assert infer_schema(table(n=[1, 2], ok=[True, False], note=["", "x"])) == (
        ColumnSchema(name="delay", kind="float", nullable=True),
        ColumnSchema(name="flight", kind="string", nullable=False),
        ColumnSchema(name="landed", kind="time", nullable=False),
        ColumnSchema(name="n", kind="int", nullable=False),
        ColumnSchema(name="note", kind="string", nullable=True),
        ColumnSchema(name="ok", kind="bool", nullable=False),
    )


def test_a_right_table_passes():
    check_table(table(), EVENTS)
    check_table(table(flight=[1, 2]), EVENTS)
    check_table(table(flight=None), Events("arrivals", time="landed"))


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"landed": None, "lande": [1, 2]}, "time column 'landed' is not in the table", "did you mean 'lande'"),
        ({"landed": ["x", "y"]}, "'landed' is string, not a time", "to_datetime"),
        (
            {"landed": np.array(["2013-07-01", "NaT"], dtype="M8[us]")},
            "missing in 1 of 2 rows, first in row 1",
            "leave out",
        ),
        ({"flight": None}, "key column 'flight' is not in the table", "known: delay, landed"),
        ({"flight": [1.0, 2.0]}, "key column 'flight' is float", "int column with missing"),
        ({"flight": ["a", None]}, "key column 'flight' is missing in 1 of 2", "leave out"),
    ],
)
def test_a_wrong_table_says_what_and_where(change, message, hint):
    with pytest.raises(DataError, match=message) as caught:
        check_table(table(**change), EVENTS)
    assert hint in caught.value.hint
