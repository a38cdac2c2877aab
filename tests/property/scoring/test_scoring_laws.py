"""Scored together in parts and blocks of any size, each row has what it has as a request of its own; killed anywhere, too."""

import csv
import json
import math
import tempfile
from pathlib import Path
from unittest import mock

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring_rig import BAD, ROWS, ScoringRig, content, no_tables, read, write_lines

from seakeep.records.source import ColumnSchema
from seakeep.scoring import score as module
from seakeep.scoring.cells import TEXT, literal, row_object
from seakeep.scoring.engine import engine
from seakeep.scoring.forms import held
from seakeep.scoring.inputs import Inputs


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with engine() as connection:
        yield ScoringRig(tmp_path_factory.mktemp("rig"), connection)


@pytest.fixture(scope="module")
def alone(rig):
    """What is said to a row alone, by its text."""

    def ask(row):
        ((answer, error),) = rig.answerer().answer([msgspec.Raw(json.dumps(row).encode())])
        return (
            answer.key,
            None if error else answer.score,
            None if error else answer.decision,
            list(answer.unknown),
            error.error if error else None,
        )

    return {json.dumps(row): ask(row) for row in (*ROWS, *BAD)}


@settings(max_examples=12)
@given(
    rows=st.lists(st.sampled_from([*ROWS, *BAD, *BAD]), min_size=1, max_size=30),
    part_rows=st.integers(1, 40),
    block=st.integers(1, 40),
    cut=st.integers(0, 30),
)
def test_the_answer_to_a_row_does_not_depend_on_parts_blocks_or_kills(rig, alone, rows, part_rows, block, cut):
    class Killed(BaseException):
        pass

    left = iter(range(cut))

    def killed():
        if next(left, None) is None:
            raise Killed

    with tempfile.TemporaryDirectory() as name, mock.patch.object(module, "BLOCK", block):
        folder = Path(name)
        plan = rig.plan(write_lines(folder / "in.jsonl", rows), part_rows=part_rows)
        try:
            scored = rig.score(folder / "out", plan, each_part=killed)
        except Killed:
            scored = rig.score(folder / "out", plan)
        found = read(folder / "out")
        assert max(part.rows for part in scored.parts) <= part_rows
        assert rig.score(folder / "whole", plan) == scored
        assert content(folder / "whole") == content(folder / "out")
    told = [(one["key"], one["score"], one["decision"], one["unknown"], one["error"]) for one in found]
    assert told == [alone[json.dumps(row)] for row in rows]
    assert [one["input_row"] for one in found] == list(range(len(rows)))


def written(kind, held, sql):
    query = (
        f"select {row_object([ColumnSchema(name='x', kind=kind)], {'x': held}, {'x': 'x'})} from (select {sql} as x)"
    )
    return msgspec.json.decode(duckdb.execute(query).fetchone()[0])["x"]


@settings(max_examples=40)
@given(st.floats())
def test_a_float_keeps_its_bits_from_a_typed_column_and_from_text(value):
    typed, text = written("float", "DOUBLE", f"'{value!r}'::double"), written("float", TEXT, literal(repr(value)))
    if math.isnan(value):
        assert typed is text is None
    elif math.isinf(value):
        assert isinstance(typed, str)
        assert isinstance(text, str)
    else:
        assert float(typed).hex() == float(text).hex() == value.hex()


@settings(max_examples=40)
@given(st.integers(-(2**63), 2**63 - 1))
def test_a_whole_number_keeps_its_digits(value):
    assert written("int", "BIGINT", f"({value})::bigint") == written("int", TEXT, f"'{value}'") == value


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_stays_what_it_is(value):
    table = duckdb.execute("select ? as x", [value])
    assert table.fetchone() == (value,)
    query = f"select {row_object([ColumnSchema(name='x', kind='string')], {'x': 'VARCHAR'}, {'x': 'x'})} from (select ?::varchar as x)"
    assert msgspec.json.decode(duckdb.execute(query, [value]).fetchone()[0]) == {"x": value}


MARKS = st.text(st.sampled_from("#\"'`,;|\t \\\r\n-aé0"), max_size=6)


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(MARKS, MARKS), min_size=1, max_size=20),
    end=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_cells_of_csv_are_what_pythons_own_reader_reads(rig, rows, end, delimiter, quoting):
    if quoting == csv.QUOTE_MINIMAL:  # then Python leaves some line ends bare
        rows = [tuple(cell.replace("\r", "") for cell in row) for row in rows]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "in.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator=end, delimiter=delimiter, quoting=quoting)
            writer.writerows([("id", "x y", "last"), *((*row, "end") for row in rows)])
        with path.open(encoding="utf-8", newline="") as file:
            expected = list(csv.reader(file, delimiter=delimiter))[1:]
        inputs = Inputs(rig.connection, no_tables, delimiter)
        (file,), _ = inputs.find([str(path)], {})
        columns = [ColumnSchema(name="id", kind="string"), ColumnSchema(name="x y", kind="string")]
        with inputs._reading(file) as cursor:
            what = held(cursor, file, delimiter)
        with inputs.rows(file, what, columns, ["last"], start=0) as take:
            found = [*take(7), *take(100)]
    assert file.rows == len(expected) == len(rows)
    read = [(*msgspec.json.decode(row).values(), last) for row, last in found]
    assert read == [tuple(cell or None for cell in row) for row in expected]
