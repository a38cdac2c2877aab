import json
import re

import pytest
from tests.flights import MODEL, change, opened, told, twin

from seakeep.cli.release import gate_table, release_line, routes
from seakeep.records.gate import GateResult
from seakeep.records.release import Release, Route


@pytest.fixture
def folder(flights_at):
    return flights_at("promoted")


def second(folder):
    """Register a second version, to be released."""
    with opened(folder) as project:
        return twin(project).ref


def test_promote_says_what_it_did_what_comes_next_and_how_to_undo_it_if_it_can_be(flights_root, seakeep, folder):
    said = told(flights_root, "promoted")
    line = f"{MODEL}: promote; answering: :1 champion"
    assert said.out == f"{line}\n"
    assert said.err.endswith(f"✓ {line}\n  next: seakeep status {MODEL}\n")  # there is no champion to go back to
    said = seakeep("promote", second(folder), "--project", folder)
    assert said.err.endswith(f"  undo: seakeep rollback {MODEL}\n")


def test_gates_that_pass_are_shown_and_lead_to_promote(seakeep, flights_at):
    folder = flights_at("converted")
    said = seakeep("gates", f"{MODEL}@candidate", "--project", folder)
    lines = said.out.splitlines()
    assert lines[0].split() == ["gate", "observed", "required"]
    judged = [line for line in lines[2:] if line.startswith(("pass", "FAIL"))]
    assert len(judged) == 6
    assert all(line.startswith("pass") for line in judged)
    assert said.err.endswith(f"✓ all gates passed\n  next: seakeep promote {MODEL}@candidate\n")


def test_without_a_reference_the_candidate_is_judged(seakeep, flights_at):
    said = seakeep("gates", "--project", flights_at("converted"))
    assert said.err.endswith(f"✓ all gates passed\n  next: seakeep promote {MODEL}:1\n")


def test_a_gate_that_fails_ends_gates_and_promote_with_3_until_it_is_overridden(seakeep, flights_at):
    folder = flights_at("converted")
    change(folder, ("at_least=0.65", "at_least=0.95"))
    here = ("--project", folder)
    said = seakeep("gates", f"{MODEL}:1", *here, "--json", code=3)
    failed = [result for result in json.loads(said.out) if not result["passed"]]
    assert [result["gate"] for result in failed] == ["roc_auc"]
    assert "✓" not in said.err
    assert f"seakeep promote {MODEL}:1 --override REASON" in said.err
    said = seakeep("promote", f"{MODEL}:1", *here, code=3)
    assert said.out == ""
    assert f"error: {MODEL}:1 did not pass: roc_auc: {failed[0]['observed']}, required at least 0.95" in said.err
    assert "code: gate-failed" in said.err
    assert "--override REASON" in said.err
    assert json.loads(seakeep("history", *here, "--json").out) == []
    release = json.loads(seakeep("promote", f"{MODEL}:1", *here, "--override", "we know why", "--json").out)
    assert release["reason"] == "override: we know why"
    entries = json.loads(seakeep("audit", "list", *here, "--json").out)
    assert entries[-1]["details"]["override"] == "we know why"


def test_a_second_version_is_released_by_canary_and_taken_back(seakeep, folder):
    reference, here = second(folder), ("--project", folder)
    line = f"{MODEL}: promote; answering: :1 champion, :2 candidate 1 %"
    assert seakeep("promote", reference, *here).out == f"{line}\n"
    said = seakeep("promote", reference, *here, code=1)
    assert f"{MODEL}:2 is being rolled out" in said.err
    assert "code: conflict" in said.err
    said = seakeep("rollback", *here, "--reason", "too slow")
    assert said.out == f"{MODEL}: rollback; answering: :1 champion\n"
    assert said.err == f"✓ {MODEL}: rollback; answering: :1 champion\n  next: seakeep history {MODEL}\n"
    said = seakeep("rollback", *here, code=1)
    assert "has no champion before this one" in said.err


def test_a_second_version_can_take_over_at_once(seakeep, folder):
    reference, here = second(folder), ("--project", folder)
    release = json.loads(seakeep("promote", reference, "--now", *here, "--json").out)
    assert [(route["version"], route["role"], route["weight"]) for route in release["routes"]] == [(2, "champion", 1.0)]
    said = seakeep("promote", MODEL, *here, code=1)
    assert f"{MODEL}:2 is the champion already" in said.err


def test_history_tells_what_answered_when_and_at_a_moment(seakeep, folder):
    reference, here = second(folder), ("--project", folder)
    seakeep("promote", reference, "--now", *here)
    seakeep("rollback", MODEL, *here, "--reason", "second thoughts")
    rows = seakeep("history", MODEL, *here).out.splitlines()[2:]
    assert [re.split(r"\s{2,}", row)[1:3] for row in rows] == [
        ["promote", ":1 champion"],
        ["promote", ":2 champion"],
        ["rollback", ":1 champion"],
    ]
    assert "second thoughts" in rows[-1]
    releases = json.loads(seakeep("history", *here, "--json").out)
    assert [release["revision"] for release in releases] == [1, 2, 3]
    assert json.loads(seakeep("history", *here, "--at", "2013-01-01", "--json").out) == []
    assert json.loads(seakeep("history", *here, "--at", "2100-01-01", "--json").out) == releases[-1:]


@pytest.mark.parametrize("command", ["gates", "promote"])
@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("late", "no model 'late' in project.py"),
        (f"{MODEL}:9", f"there is no version {MODEL}:9"),
        (f"{MODEL}@candidate", f"{MODEL} has no candidate"),
        (f"{MODEL}@best", "is not a reference to a version"),
        ("../etc", "is not a reference to a version"),
    ],
)
def test_a_reference_to_nothing_is_told(seakeep, at, command, reference, message):
    said = seakeep(command, reference, *at("promoted"), code=1)
    assert message in said.err
    assert "code: not-found" in said.err


def test_nothing_of_another_model_can_be_rolled_back(seakeep, at):
    assert "no model 'late' in project.py" in seakeep("rollback", "late", *at("promoted"), code=1).err
    assert "was ever released" in seakeep("rollback", *at("converted"), code=1).err


def test_the_words_for_a_release():
    champion = Route(model="late", version=1, bundle="b", role="champion", weight=1.0)
    candidate = Route(model="late", version=2, bundle="c", role="candidate", weight=0.125)
    assert routes(release := _release(champion, candidate)) == ":1 champion, :2 candidate 12.5 %"
    assert release_line(release) == "late: promote; answering: :1 champion, :2 candidate 12.5 %"
    assert routes(_release()) == "nothing"
    results = (GateResult(gate="parity", passed=False, observed="none", required="one", evidence="x"),)
    assert gate_table(results).splitlines()[-1].split() == ["FAIL", "parity", "none", "one"]


def _release(*found):
    return Release(model="late", revision=1, from_us=0, action="promote", actor="", reason="", routes=found)


def test_a_version_that_stands_by_and_an_a_b_test_begin_and_end_on_record(seakeep, folder):
    """One version more each, by the commands that a person types."""
    reference, here = second(folder), ("--project", folder)
    said = seakeep("promote", reference, "--standby", *here)
    assert said.out == f"{MODEL}: promote; answering: :1 champion, :2 standby\n"
    assert said.err.endswith(f"  undo: seakeep rollback {MODEL} --standby\n")
    assert seakeep("rollback", "--standby", *here).out == f"{MODEL}: rollback; answering: :1 champion\n"
    assert "has no column 'planet'" in seakeep("promote", reference, "--ab", 0.5, "--by", "planet", *here, code=1).err
    said = seakeep("promote", reference, "--ab", 0.5, "--by", "carrier", *here)
    assert said.out == f"{MODEL}: promote; answering: :1 champion, :2 candidate 50 % by carrier until ended\n"
    assert said.err.endswith(f"  undo: seakeep rollback {MODEL}\n")
    assert seakeep("promote", reference, "--now", *here).out == f"{MODEL}: promote; answering: :2 champion\n"
    entries = json.loads(seakeep("audit", "list", *here, "--json").out)
    entries = [entry for entry in entries if entry["action"] != "judge"]
    assert [entry["action"] for entry in entries][-4:] == ["promote", "rollback", "promote", "promote"]
    assert "until that is ended" in entries[-2]["details"]["reason"]


@pytest.mark.parametrize("options", [["--now", "--standby"], ["--standby", "--ab", "0.5"], ["--by", "carrier"]])
def test_ways_that_exclude_one_another_are_told(seakeep, at, options):
    assert "exclude one another" in seakeep("promote", MODEL, *options, *at("promoted"), code=2).err
