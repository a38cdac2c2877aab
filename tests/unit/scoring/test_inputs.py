import csv
import gzip
import json

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


def rows_of(rig, file, *kept, delimiter=","):
    """What the service would be sent for each row, and what the output repeats."""
    inputs = Inputs(rig.connection, rig.inputs._read_table, delimiter)
    (one,), _ = inputs.find([str(file)], {})
    what = inputs.held(one, definition())
    with inputs.rows(one, what, request_columns(definition()), kept, start=0) as take:
        found = take(1_000_000)
    assert len(found) == one.rows
    return [(json.loads(row), *again) for row, *again in found]


def test_a_column_that_lines_name_late_is_read(rig, tmp_path):
    rows = [{"flight_id": f"f{at}", "scheduled": at + 1} for at in range(30_000)]
    rows += [{**row, "distance": 3.0, "late": "x"} for row in rows[:5]]
    file = write_lines(tmp_path / "in.jsonl", rows)
    found = rows_of(rig, file, "late")
    assert [row for row, _ in found] == [{name: value for name, value in row.items() if name != "late"} for row in rows]
    assert [late for _, late in found] == [None] * 30_000 + ["x"] * 5
    scored = rig.score(tmp_path / "out", rig.plan(file, part_rows=100_000))
    assert scored.refused == 0
    answers = [one["score"] for one in read(tmp_path / "out")]
    assert answers[:5] != answers[-5:]


def test_a_line_is_refused_in_the_words_of_its_own_request(rig, tmp_path):
    lines = [
        '{"flight_id":"a","scheduled":1}',
        '{"scheduled":1}',
        '{"flight_id":"a","flight_id":"b","scheduled":1}',
        '{"flight_id":"a","scheduled":1,"distance":NaN}',
        '{"flight_id":"a","scheduled":1,"distance":[1]}',
        "[1]",
        "null",
        '{"flight_id":"a","scheduled":1,"more":{"distance":2}}',
    ]
    file = tmp_path / "in.jsonl"
    file.write_text("\n\n".join(lines), "utf-8")
    rig.score(tmp_path / "out", rig.plan(file))
    errors = [one["error"] for one in read(tmp_path / "out")]
    assert errors[0] is errors[7] is None
    for at, told in ((1, "missing"), (2, "twice"), (3, "NaN"), (4, r"\[1\]"), (5, "an array"), (6, "null")):
        assert told.replace("\\", "") in errors[at]


CELLS = ["#100", "'a0'", 'k"q', "k,a", "kq", " x ", "-- y", "\\n", "a\nb", "é", "a\tb;c|d"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("at", [0, 25_000])
def test_no_row_of_csv_is_taken_for_something_else(rig, tmp_path, at, end):
    """Wherever it stands: what a sample of the first rows looks like does not count."""
    rows = [[f"f{number}", "1", "2.5", "AA"] for number in range(25_000)]
    rows[at:at] = [[cell, "1", "2.5", "AA"] for cell in CELLS]
    file = tmp_path / "in.csv"
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened, lineterminator=end).writerows([["flight_id", "scheduled", "distance", "carrier"], *rows])
    with file.open(encoding="utf-8", newline="") as opened:
        expected = [row["flight_id"] for row in csv.DictReader(opened)]
    found = rows_of(rig, file, "flight_id")
    assert [row["flight_id"] for row, _ in found] == [key for _, key in found] == expected
    assert {row["distance"] for row, _ in found} == {2.5}


HEAD = "flight_id,scheduled,distance,carrier\n"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (HEAD + "a,1,2.5,AA\nb,1,2.5\n", "line 3 has 3 cells, and the first line names 4 columns"),
        (HEAD + '"a\nb",1,2.5,AA\n\nc,1,2.5,AA,9\n', "line 5 has 5 cells"),
        (HEAD + 'a,1,2.5,AA\nb,1,2.5,"AA\nc,1,2.5,AA\n', "the quotes of line 3 are not in pairs"),
        (HEAD + 'a,1,2.5,"A"A\n', "the quotes of line 2 are not in pairs"),
        (HEAD + "a,1,2.5,AA\r\nb,1,2.5,AA\n", "its lines do not all end alike"),
        (HEAD + f"a,1,2.5,{'A' * 2_100_000}\n", "a line is longer than 2 MB"),
        (f"flight_id,carrier,x,carrier\n{HEAD}", "has two columns 'carrier'"),
        (f"Flights of July\n{HEAD}a,1,2.5,AA\n", "line 2 has 4 cells, and the first line names 1 columns"),
        (f"\n{HEAD}a,1,2.5,AA\n", r"the first line of .*in\.csv names no columns"),
        (HEAD.replace(",", ";") + "a;1;2.5;AA\n", "has no column 'flight_id'"),
    ],
)
def test_csv_that_is_none_is_told_with_its_line_and_no_advice_of_the_reader(rig, tmp_path, text, match):
    (tmp_path / "in.csv").write_text(text, "utf-8")
    told = refuse(rig, tmp_path / "in.csv", match=match)
    for word in ("strict_mode", "auto_detect", "null_padding", "ignore_errors", "Possible", "columns=", "sniff"):
        assert word not in told.message + told.hint
    assert "in.csv" in told.message
    assert ("--delimiter" in told.hint) == (";" in text)


def test_csv_in_another_encoding_is_refused_before_the_first_row(rig, tmp_path):
    (tmp_path / "in.csv").write_bytes((HEAD + "a,1,2.5,").encode() + b"\xc4\n")
    refuse(rig, tmp_path / "in.csv", match=r"cannot read .*in\.csv: .*")


def test_a_line_of_json_that_is_none_is_told_with_its_line(rig, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"flight_id":"a"}\n\n{"flight_id":"b"},\n')
    assert "Try" not in refuse(rig, tmp_path / "in.jsonl", match="line 3 is no JSON").message


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_delimiter_that_is_declared_is_the_delimiter(rig, tmp_path, delimiter):
    with gzip.open(tmp_path / "in.csv.gz", "wt", encoding="utf-8") as file:
        file.write(
            "\ufeff"
            + HEAD.replace(",", delimiter)
            + f'"a{delimiter}b",1,2.5,"A,A"\n'.replace(",1,", f"{delimiter}1{delimiter}").replace(
                '5,"', f'5{delimiter}"'
            )
        )
    found = rows_of(rig, tmp_path / "in.csv.gz", delimiter=delimiter)
    assert found == [({"flight_id": f"a{delimiter}b", "scheduled": "1", "distance": 2.5, "carrier": "A,A"},)]


@pytest.mark.parametrize("delimiter", ["", '"', "\n", ", ", "é"])
def test_what_cannot_separate_cells_is_refused(rig, delimiter):
    with pytest.raises(DataError, match="cannot separate cells"):
        Inputs(rig.connection, rig.inputs._read_table, delimiter)


def test_names_that_differ_in_case_and_names_that_are_away_are_told_apart(rig, tmp_path):
    (tmp_path / "in.csv").write_text(",flight_id,Flight_Id,scheduled,\n0,a,b,1,\n")
    assert rows_of(rig, tmp_path / "in.csv", "Flight_Id") == [({"flight_id": "a", "scheduled": "1"}, "b")]
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(
        {
            "FLIGHT_ID": ["b"],
            "nested": [{"a": [1], "flight_id": 2}],
            "flight_id": ["a"],
            "scheduled": [1],
            "none": pyarrow.nulls(1),
            "carrier": pyarrow.array(["AA"]).dictionary_encode(),
            "distance": pyarrow.nulls(1),
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    expected = {"flight_id": "a", "scheduled": 1, "distance": None, "carrier": "AA"}
    assert rows_of(rig, tmp_path / "in.parquet", "FLIGHT_ID", "none") == [(expected, "b", None)]
    parquet.write_table(pyarrow.table([["a"], ["b"]], ["flight_id", "flight_id"]), tmp_path / "in.parquet")
    refuse(rig, tmp_path / "in.parquet", match="has two columns 'flight_id'")
