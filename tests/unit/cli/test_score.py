import io

import pytest
from tests.flights import MODEL

from seakeep.cli.score import score_text
from seakeep.records.scoring import Scored, ScoredPart, ScoringPlan

PLAN = ScoringPlan(model="late", version=7, bundle="ab" * 32, moment_us=None, keep=(), part_rows=10, inputs=())
PART = ScoredPart(name="part-000000.parquet", input=0, from_row=0, rows=9, refused=2, unknown=3, sha256="")


def scored(history=False, **counts):
    plan = ScoringPlan(**{**{name: getattr(PLAN, name) for name in PLAN.__struct_fields__}, "history": history})
    return Scored(**{"plan": plan, "parts": (PART,), "rows": 1900, "refused": 0, "unknown": 0} | counts)


def test_a_clean_job_says_no_more_than_it_must():
    assert score_text(scored(), "out").splitlines() == [
        "late:7  bundle abababababab",
        "inputs     0 files, 1,900 rows",
        "answered   1,900, in 1 files in out",
    ]


def test_refused_and_unknown_rows_are_told():
    said = score_text(scored(refused=2, unknown=3), "out")
    assert "answered   1,898" in said
    assert "refused    2 rows; column error tells why" in said
    assert "unknown    3 rows: a view knew nothing of the entity at that moment, or no longer;" in said
    assert "or no longer" not in score_text(scored(history=True, unknown=3), "out")


@pytest.mark.parametrize("wrong", [("--part-rows", "0"), ("--at", "soon"), ("--to",), ()])
def test_wrong_use_is_told(seakeep, wrong):
    seakeep("score", MODEL, "in.csv", *wrong, code=2)


def test_progress_shows_on_a_terminal_alone(monkeypatch, capsys):
    from seakeep.cli import score

    with score._progress() as show:
        show(0, 10)
        show(10, 10)
    assert not capsys.readouterr().err
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with score._progress() as show:
        show(0, 10)
        show(10, 10)
    assert "scoring" in terminal.getvalue()
    assert "10 of 10 rows" in terminal.getvalue()
