import json

import pytest

from seakeep.cli import output
from seakeep.errors import DataError, Fault
from seakeep.records.version import FileEntry


def test_data_goes_to_standard_output_and_talk_to_standard_error(capsys):
    output.data({"a": 1}, "one", as_json=False)
    output.talk("two")
    assert capsys.readouterr() == ("one\n", "two\n")


def test_json_is_the_value_for_programs(capsys):
    output.data([FileEntry(path="ä", size=1, sha256="x")], "text", as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"path": "ä", "size": 1, "sha256": "x"}]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({}, "✓ done\n"),
        ({"next_step": "a"}, "✓ done\n  next: a\n"),
        ({"next_step": "a", "undo": "b"}, "✓ done\n  next: a\n  undo: b\n"),
        ({"undo": "b"}, "✓ done\n  undo: b\n"),
    ],
)
def test_a_change_says_what_may_come_next_and_how_to_undo_it(capsys, steps, said):
    output.done("done", **steps)
    assert capsys.readouterr() == ("", said)


def test_a_fault_of_a_project_has_its_place_and_hint(capsys):
    output.fault(Fault(file="p.py", line=3, message="no", hint="yes"))
    output.fault(Fault(file="p.py", line=4, message="no"))
    assert capsys.readouterr().err == "error: no\n  at p.py:3\n  hint: yes\nerror: no\n  at p.py:4\n"


def test_an_error_has_cause_hint_and_code_as_far_as_there_are(capsys):
    fault = DataError("no", hint="yes")
    fault.__cause__ = ValueError("why")
    output.error(fault)
    output.error(DataError("no"))
    assert capsys.readouterr().err == "error: no\n  cause: why\n\nhint: yes\ncode: data\nerror: no\ncode: data\n"


def test_columns_are_aligned_and_numbers_stand_to_the_right():
    table = output.table(["name", "n", "note"], [["a", "1", "x"], ["longer", "1,000", ""], ["b", "—", "z"]])
    assert table.splitlines() == [
        "name        n  note",
        "------  -----  ----",
        "a           1  x",
        "longer  1,000",
        "b           —  z",
    ]


def test_a_table_without_rows_has_its_headings():
    assert output.table(["a", "bc"], []) == "a  bc\n-  --"


def test_long_texts_go_on_in_the_next_line():
    table = output.table(["what", "n"], [["one two three", "1"], ["four", "2"]], wrap=8)
    assert table.splitlines() == ["what     n", "-------  -", "one two  1", "three", "four     2"]


def test_a_step_tells_how_long_it_took(capsys):
    with output.step("working"):
        pass
    assert capsys.readouterr().err.split() == ["working", "0.0", "s"]


def test_progress_is_silent_where_nobody_reads(capsys):
    with output.progress(10, "working") as show:
        show(5, "half")
        show(10, "all")
    assert capsys.readouterr() == ("", "")
