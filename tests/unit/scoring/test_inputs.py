import pytest
from tests.scoring_rig import ROWS, read, table_of, write, write_lines
from tests.serving_rig import definition

from seakeep.errors import DataError
from seakeep.scoring.cells import TEXT
from seakeep.scoring.inputs import Inputs, TableFile, request_columns

GOOD = table_of(ROWS)


def held(rig, *files):
    return [rig.inputs.held(one, definition()) for one in rig.plan(*files).inputs]


def refuse(rig, *files, match):
    with pytest.raises(DataError, match=match) as raised:
        held(rig, *files)
    assert raised.value.hint
    return raised.value


def test_a_folder_is_all_its_files_in_order_without_marks_and_what_is_hidden(rig, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "_temporary").mkdir()
    for name in ("b/2.csv", "a.parquet", "_part.csv", ".hidden.csv", "_temporary/1.csv"):
        write(tmp_path / name, GOOD)
    (tmp_path / "notes.txt").write_text("not a table")
    write_lines(tmp_path / "c.ndjson", ROWS[:2])
    found = rig.plan(tmp_path).inputs
    assert [(one.name, one.format, one.rows) for one in found] == [
        (str(tmp_path / "a.parquet"), "parquet", 40),
        (str(tmp_path / "b/2.csv"), "csv", 40),
        (str(tmp_path / "c.ndjson"), "json", 2),
    ]
    assert len({one.sha256 for one in found}) == 3


def test_a_pattern_is_all_that_it_matches_unless_there_is_a_file_of_that_name(rig, tmp_path):
    for name in ("in-1.csv", "in-2.csv", "in-[1].csv"):
        write(tmp_path / name, GOOD)
    assert [one.name for one in rig.plan(tmp_path / "in-?.csv").inputs] == [
        str(tmp_path / f"in-{at}.csv") for at in (1, 2)
    ]
    assert [one.name for one in rig.plan(tmp_path / "in-[1].csv").inputs] == [str(tmp_path / "in-[1].csv")]
    rig.score(tmp_path / "out", rig.plan(tmp_path / "in-[1].csv"))
    assert len(read(tmp_path / "out")) == 40


def test_packed_files_are_read(rig, tmp_path):
    write(tmp_path / "in.csv.gz", GOOD)
    assert [(one.format, one.rows) for one in rig.plan(tmp_path).inputs] == [("csv", 40)]


def test_a_table_is_the_files_that_its_log_names_with_their_constants(rig, connection, tmp_path):
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    file = write(tmp_path / "table" / "one.parquet", f"select * exclude carrier from ({GOOD})")
    write(tmp_path / "table" / "removed.parquet", GOOD)
    asked = []

    def read_table(folder, version):
        asked.append((folder, version))
        return 3, [TableFile(file, {"carrier": "A'A", "empty": None})]

    inputs = Inputs(connection, read_table)
    found, versions = inputs.find([str(tmp_path / "table")], {})
    assert versions == {str(tmp_path / "table"): 3}
    assert [(one.name, one.rows) for one in found] == [(str(file), 40)]
    what = inputs.held(found[0], definition())
    assert (what.types["carrier"], what.types["distance"]) == (TEXT, "DOUBLE")
    with inputs.rows(found[0], what, request_columns(definition()), ["empty", "carrier"], start=39) as take:
        (row,) = take(5)
        assert take(5) == []
    assert '"carrier":"A\'A"' in row[0]
    assert row[1:] == (None, "A'A")
    inputs.find([str(tmp_path / "table")], versions)
    assert [version for _, version in asked] == [None, 3]


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("in.txt", "a", "of no known form"),
        ("in.csv", "", "is empty"),
        ("in.parquet", "PAR1 and no more", r"cannot read .*in\.parquet"),
        ("in.jsonl", '{"a": 1}\n{"a": \n', r"cannot read .*in\.jsonl"),
        ("in.csv", "id,x\na,1\n", "has no column 'flight_id', which late needs"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused_before_the_first_row(rig, tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    refuse(rig, tmp_path / name, match=match)


def test_what_is_not_there_is_refused(rig, tmp_path):
    refuse(rig, tmp_path / "in.csv", match=r"no file or folder .*in\.csv")
    refuse(rig, tmp_path, match="nothing to score")
    refuse(rig, tmp_path / "*.csv", match="nothing to score")


def test_a_missing_column_is_told_with_the_nearest_name(rig, tmp_path):
    file = write(tmp_path / "in.parquet", f"select * rename (flight_id as flight_no) from ({GOOD})")
    assert refuse(rig, file, match="no column 'flight_id'").hint == "did you mean 'flight_no'?"


def test_a_column_of_another_case_is_another_column(rig, tmp_path):
    refuse(
        rig,
        write(tmp_path / "in.parquet", f"select * rename (flight_id as FLIGHT_ID) from ({GOOD})"),
        match="flight_id",
    )


def test_a_type_of_which_no_value_could_be_read_is_refused(rig, tmp_path):
    file = write(tmp_path / "in.parquet", f"select * replace (distance::varchar as distance) from ({GOOD})")
    refuse(rig, file, match=r"'distance' of .* is VARCHAR, and late reads it as float")


def test_a_column_that_may_be_missing_may_be_away(rig, tmp_path):
    (what,) = held(rig, write(tmp_path / "in.parquet", f"select flight_id, scheduled, 1 as more from ({GOOD})"))
    assert sorted(what.types) == ["flight_id", "more", "scheduled"]


def test_rows_from_one_on_are_the_same_rows(rig, tmp_path):
    for file in (
        write(tmp_path / "in.csv", GOOD),
        write(tmp_path / "in.parquet", GOOD),
        write_lines(tmp_path / "in.jsonl", ROWS),
    ):
        (one,), (what,) = rig.plan(file).inputs, held(rig, file)
        columns = request_columns(definition())
        with rig.inputs.rows(one, what, columns, ["carrier"], start=0) as take:
            whole = [*take(33), *take(33)]
        with rig.inputs.rows(one, what, columns, ["carrier"], start=11) as take:
            assert [*take(1), *take(100)] == whole[11:]
        assert len(whole) == 40


def test_a_file_that_changes_while_it_is_read_is_told(rig, tmp_path):
    file = write(tmp_path / "in.csv", GOOD)
    (one,), (what,) = rig.plan(file).inputs, held(rig, file)
    with rig.inputs.rows(one, what, request_columns(definition()), [], start=0) as take:
        take(3)
        file.write_text(file.read_text() + "more,,,\n")
        with pytest.raises(DataError, match="changed while it was read"):
            take(3)


def test_a_page_that_is_damaged_ends_the_job_with_the_name_of_the_file(rig, tmp_path):
    file = write(tmp_path / "in.parquet", f"select * from ({GOOD}) cross join range(500)")
    content = bytearray(file.read_bytes())
    content[8:60] = b"\xff" * 52
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*in\.parquet"):
        rig.score(tmp_path / "out", rig.plan(file, part_rows=1000))
