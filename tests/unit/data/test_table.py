import datetime as dt

import duckdb
import numpy as np
import pandas as pd
import pytest

from seakeep.data.table import as_table
from seakeep.errors import DataError

US = "datetime64[us]"


class ArrowOnly:
    def __init__(self, relation):
        self._relation = relation

    def __arrow_c_stream__(self, requested_schema=None):
        return self._relation.__arrow_c_stream__(requested_schema)


SQL = """
select * from (values
  (1, 1.5, 'a', timestamptz '2013-07-01 05:00:00-04', true, null::int, 0.25::decimal(9,2)),
  (2, null, null, timestamptz '2013-07-01 09:30:00+00', null, 4, null)
) t(i, f, s, t, b, n, d)
"""


def assert_normal(table):
    assert table["i"].dtype == np.int64
    assert table["i"].tolist() == [1, 2]
    np.testing.assert_array_equal(table["f"], [1.5, np.nan])
    assert table["s"].dtype == object
    assert table["s"].tolist() == ["a", ""]
    assert table["t"].dtype == US
    assert table["t"].tolist() == [dt.datetime(2013, 7, 1, 9), dt.datetime(2013, 7, 1, 9, 30)]  # noqa: DTZ001 -- UTC by the normal form
    np.testing.assert_array_equal(table["b"], [1.0, np.nan])
    np.testing.assert_array_equal(table["n"], [np.nan, 4.0])
    np.testing.assert_array_equal(table["d"], [0.25, np.nan])


def test_a_duckdb_relation():
    with duckdb.connect() as connection:
        assert_normal(as_table(connection.sql(SQL)))


def test_an_arrow_stream():
    with duckdb.connect() as connection:
        assert_normal(as_table(ArrowOnly(connection.sql(SQL))))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file(tmp_path, form):
    path = tmp_path / f"events.{form}"
    with duckdb.connect() as connection:
        getattr(connection.sql(SQL), f"write_{form}")(str(path))
    assert_normal(as_table(path))
    assert_normal(as_table(str(path)))


def test_a_pandas_frame():
    frame = pd.DataFrame(
        {
            "i": [1, 2],
            "f": [1.5, None],
            "s": ["a", None],
            "t": pd.to_datetime(["2013-07-01 05:00:00-04:00", "2013-07-01 09:30:00+00:00"], utc=True).tz_convert(
                "America/New_York"
            ),
            "b": pd.array([True, None], dtype="boolean"),
            "n": pd.array([None, 4], dtype="Int64"),
            "d": [0.25, None],
        }
    )
    assert_normal(as_table(frame))


def test_pandas_categories_and_empty_text():
    frame = pd.DataFrame({"c": pd.Categorical(["x", None]), "e": pd.array([None, None], dtype="string")})
    table = as_table(frame)
    assert table["c"].tolist() == ["x", ""]
    assert table["e"].tolist() == ["", ""]


def test_plain_lists_and_arrays():
    table = as_table(
        {
            "i": [1, 2],
            "f": np.array([1, np.inf], dtype=np.float32),
            "s": ["a", None],
            "t": [dt.datetime(2013, 7, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=-4))), None],
            "d": [dt.date(2013, 7, 1), None],
            "b": [True, False],
            "bn": [True, None],
            "mixed": [1, 2.5],
            "u": np.array(["x", "yy"]),
            "none": [None, None],
        }
    )
    assert table["i"].dtype == np.int64
    np.testing.assert_array_equal(table["f"], [1.0, np.nan])
    assert table["s"].tolist() == ["a", ""]
    np.testing.assert_array_equal(table["t"], np.array(["2013-07-01T09:00", "NaT"], dtype=US))
    np.testing.assert_array_equal(table["d"], np.array(["2013-07-01", "NaT"], dtype=US))
    assert table["b"].dtype == np.bool_
    np.testing.assert_array_equal(table["bn"], [1.0, np.nan])
    np.testing.assert_array_equal(table["mixed"], [1.0, 2.5])
    assert table["u"].tolist() == ["x", "yy"]
    assert all(type(one) is str for one in table["u"])
    assert np.isnan(table["none"]).all()


def test_an_empty_text_column_stays_text(tmp_path):
    with duckdb.connect() as connection:
        table = as_table(connection.sql("select null::varchar as s, 1 as i"))
    assert table["s"].tolist() == [""]
    assert table["s"].dtype == object


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "differ in length"),
        ({"a": [1, "x"]}, "'a' mixes or holds int, str"),
        ({"a": np.zeros((2, 2))}, "2 dimensions"),
        ({"a": [[1], [2]]}, "holds list"),
        ({"a": 5}, "'a' is a int"),
        ({"a": np.array([2**63], dtype=np.uint64)}, "beyond 64 bits"),
        ({"a": np.array([1 + 2j])}, "complex"),
        (5, "a int is not a table"),
        ("there-is-no.parquet", "no file"),
        ("table.xlsx", "neither .csv nor .parquet"),
    ],
)
def test_what_is_not_a_table(source, message):
    with pytest.raises(DataError, match=message):
        as_table(source)


def test_a_torn_file_is_an_error(tmp_path):
    path = tmp_path / "torn.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="cannot read"):
        as_table(path)


def test_the_source_is_not_aliased():
    values = np.array([1.0, 2.0])
    flags = np.array([True, False])
    table = as_table({"v": values, "b": flags})
    values[0] = 9.0
    flags[0] = False
    assert table["v"][0] == 1.0
    assert table["b"][0]
