"""With the package ``deltalake`` itself: tables are written by it, and read by their log."""

import datetime as dt

import pytest
from tests.scoring_rig import ROWS, read, table_of, write

from seakeep.errors import DataError
from seakeep.scoring.engine import engine
from seakeep.scoring.inputs import Inputs

deltalake = pytest.importorskip("deltalake")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

from seakeep.backends.delta.tables import table_files  # noqa: E402 -- after the skip


def table(**columns):
    return pyarrow.table(columns)


def test_files_that_were_removed_are_not_read_and_an_older_version_still_is(tmp_path):
    deltalake.write_deltalake(tmp_path, table(a=[1, 2]))
    deltalake.write_deltalake(tmp_path, table(a=[3]), mode="append")
    deltalake.write_deltalake(tmp_path, table(a=[9]), mode="overwrite")
    version, files = table_files(tmp_path)
    assert (version, len(files)) == (2, 1)
    assert [row["a"] for row in read(files[0].path)] == [9]
    version, files = table_files(tmp_path, 1)
    assert (version, sorted(row["a"] for file in files for row in read(file.path))) == (1, [1, 2, 3])
    assert files == sorted(files)


def test_partitions_are_columns_of_text(tmp_path):
    days = [dt.date(2013, 7, 1), None, dt.date(2013, 7, 2)]
    deltalake.write_deltalake(
        tmp_path,
        table(a=[1, 2, 3], day=days, x=["a b", "c/d", None], ok=[True, False, None]),
        partition_by=["day", "x", "ok"],
    )
    _, files = table_files(tmp_path)
    found = {row["a"]: file.constants for file in files for row in read(file.path)}
    assert found == {
        1: {"day": "2013-07-01", "x": "a b", "ok": "true"},
        2: {"day": None, "x": "c/d", "ok": "false"},
        3: {"day": "2013-07-02", "x": None, "ok": None},
    }


def test_all_rows_of_a_table_are_found_with_their_partitions(tmp_path):
    given = parquet.read_table(write(tmp_path / "in.parquet", table_of(ROWS)))
    deltalake.write_deltalake(tmp_path / "table", given, partition_by=["carrier"])
    with engine() as connection:
        inputs = Inputs(connection, table_files)
        found, versions = inputs.find([str(tmp_path / "table")], {})
    assert versions == {str(tmp_path / "table"): 0}
    assert sum(file.rows for file in found) == len(ROWS)
    assert {file.constants["carrier"] for file in found} == {"AA", "UA", "ZZ", None}


def test_a_version_that_is_not_there_is_told(tmp_path):
    deltalake.write_deltalake(tmp_path, table(a=[1]))
    with pytest.raises(DataError, match="cannot read the Delta table") as raised:
        table_files(tmp_path, 7)
    assert "this version of it is kept" in raised.value.hint


def test_a_table_whose_files_alone_do_not_tell_its_rows_is_refused(tmp_path):
    deltalake.write_deltalake(tmp_path, table(a=[1]))
    log = tmp_path / "_delta_log" / "00000000000000000001.json"
    log.write_text(
        '{"protocol":{"minReaderVersion":3,"minWriterVersion":7,'
        '"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}\n'
    )
    with pytest.raises(DataError, match=r"deletionVectors|Deletion"):
        table_files(tmp_path)
