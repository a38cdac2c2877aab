import msgspec
import numpy as np
import pytest
from tests.scoring_rig import PLAN_OF_FIVE, answers, content, read

from seakeep.errors import DataError, IntegrityError, PlatformError
from seakeep.scoring.output import JOURNAL, PLAN, SUCCESS, Output


@pytest.fixture
def output(connection, tmp_path):
    """``output(name)`` is a new look at a folder."""
    return lambda name="out": Output(tmp_path / name, connection)


def begun(output, plan=PLAN_OF_FIVE, *, parts=1, name="out"):
    with output(name) as opened:
        opened.begin(plan)
        for at in range(parts):
            opened.add((0, 3 * at), plan, answers(2 if at else 3, 3 * at))
    return opened


def test_a_job_goes_on_after_its_last_whole_part_and_gives_the_same_bytes(output, tmp_path):
    for name, cut in (("whole", False), ("cut", True)):
        with output(name) as opened:
            opened.begin(PLAN_OF_FIVE)
            opened.add((0, 0), PLAN_OF_FIVE, answers())
            if not cut:
                opened.add((0, 3), PLAN_OF_FIVE, answers(2, 3))
                whole = opened.finish(PLAN_OF_FIVE)
    (tmp_path / "cut" / "part-000001.parquet").write_bytes(b"renamed, but not in the journal yet")
    (tmp_path / "cut" / ".draft-part-000001.parquet").write_bytes(b"half of it")
    with (tmp_path / "cut" / JOURNAL).open("ab") as journal:
        journal.write(b'{"name": "part-0')
    with output("cut") as opened:
        opened.begin(PLAN_OF_FIVE)
        assert [part.rows for part in opened.parts] == [3]
        opened.add((0, 3), PLAN_OF_FIVE, answers(2, 3))
        assert opened.finish(PLAN_OF_FIVE) == whole
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert [one["key"] for one in read(tmp_path / "cut")] == ["k0", "k1", "k2", "k3", "k4"]
    assert [one["input_row"] for one in read(tmp_path / "cut")] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": 2, "bundle": "c" * 64}, r"version 1, not 2; bundle b{40}…, not c{40}…"),
        ({"part_rows": 4}, "part_rows 3, not 4"),
        ({"moment_us": 7}, "moment_us null, not 7"),
        ({"inputs": (msgspec.structs.replace(PLAN_OF_FIVE.inputs[0], sha256="d" * 64),)}, r"another in\.csv"),
        ({"inputs": (*PLAN_OF_FIVE.inputs, PLAN_OF_FIVE.inputs[0])}, "1 input files, not 2"),
    ],
)
def test_another_job_does_not_go_on_here(output, changes, told):
    begun(output)
    with output() as opened, pytest.raises(DataError, match=rf"was begun with {told}$") as raised:
        opened.begin(msgspec.structs.replace(PLAN_OF_FIVE, **changes))
    assert raised.value.hint == "score into another folder, or remove this one"


def test_a_part_that_was_changed_or_removed_is_found(output, tmp_path):
    begun(output, parts=2)
    part = tmp_path / "out" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    with output() as opened, pytest.raises(IntegrityError, match=r"part-000000\.parquet was changed"):
        opened.begin(PLAN_OF_FIVE)
    part.unlink()
    with output() as opened, pytest.raises(IntegrityError, match=r"part-000000\.parquet .* is gone"):
        opened.begin(PLAN_OF_FIVE)


@pytest.mark.parametrize("name", [PLAN, JOURNAL, SUCCESS])
def test_a_damaged_record_is_found(output, tmp_path, name):
    begun(output)
    (tmp_path / "out" / name).write_bytes(b"{}\n")
    with output() as opened, pytest.raises(IntegrityError, match=rf"{name} cannot be read"):
        _ = opened.begin(PLAN_OF_FIVE), opened.done


def test_rows_that_are_away_are_no_success(output):
    begun(output)
    with output() as opened:
        opened.begin(PLAN_OF_FIVE)
        with pytest.raises(IntegrityError, match="3 of 5 rows"):
            opened.finish(PLAN_OF_FIVE)
        assert opened.done is None


def test_a_folder_of_other_files_is_left_alone(output, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.parquet").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"holds other files, for example mine\.parquet"):
        output().__enter__()
    assert content(tmp_path / "out") == {"mine.parquet": b"mine"}


def test_two_processes_do_not_write_one_folder(output):
    with output(), pytest.raises(PlatformError, match="another process writes"):
        output().__enter__()
    begun(output)


def test_a_folder_that_cannot_be_made_is_told(output, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name in ("no/folder", "file"):
        with pytest.raises(PlatformError, match="cannot write"):
            output(name).__enter__()


def test_errors_stand_where_there_is_no_answer(output, tmp_path):
    with output() as opened:
        opened.begin(PLAN_OF_FIVE)
        given = answers()._replace(
            given={"score": np.array([0.5, np.nan, 0.25]), "decision": np.array([False, True, True])},
            errors=["", "row 0: no", ""],
            hints=["", "send it", ""],
            unknown=["[]", "[]", '["carrier","o\'x"]'],
            kept={"fare": ("DECIMAL(9,2)", ["1.50", None, "2.00"])},
        )
        part = opened.add((0, 0), PLAN_OF_FIVE, given)
    assert (part.refused, part.unknown) == (1, 1)
    found = read(tmp_path / "out")
    assert [one["score"] for one in found] == [0.5, None, 0.25]
    assert [one["decision"] for one in found] == [False, None, True]
    assert [(one["error"], one["hint"]) for one in found] == [(None, None), ("row 0: no", "send it"), (None, None)]
    assert found[2]["unknown"] == ["carrier", "o'x"]
    assert [str(one["fare"]) for one in found] == ["1.50", "None", "2.00"]


def test_an_answer_of_several_numbers_is_one_column_with_a_field_each(output, tmp_path):
    of_each = {"it's": np.array([0.25, np.nan, 0.5]), 'x "y"': np.array([0.75, np.nan, 0.5])}
    words = np.array(["it's", None, 'x "y"'], dtype=object)
    with output() as opened:
        opened.begin(PLAN_OF_FIVE)
        given = {"class": words, "probability": of_each["it's"], "probabilities": of_each}
        opened.add((0, 0), PLAN_OF_FIVE, answers()._replace(given=given, errors=["", "row 0: no", ""]))
    found = read(tmp_path / "out")
    assert [(one["class"], one["probability"]) for one in found] == [("it's", 0.25), (None, None), ('x "y"', 0.5)]
    assert [one["probabilities"] for one in found] == [
        {"it's": 0.25, 'x "y"': 0.75}, None, {"it's": 0.5, 'x "y"': 0.5},
    ]  # fmt: skip
