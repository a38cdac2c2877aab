"""``status``, ``morning``, ``months``, ``receipts``, ``why`` and ``parity``, after three days of traffic."""

import dataclasses
import json

import pytest
from tests.flights import MODEL, REPLAY_FROM, REPLAY_TO, REPLAY_TO_US
from tests.recording import flip

from seakeep.cli.know import parity_text, receipt_text, why_text
from seakeep.clock import DAY_US, format_moment
from seakeep.features.parity import FeatureParity, ParityReport
from seakeep.project import open_project
from seakeep.recorder import query
from seakeep.records.release import Receipt

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(recorded):
    return query.load(recorded.home.predictions, query.Query(model=MODEL))


def test_status_shows_the_traffic_of_the_last_recorded_day(seakeep, at, table):
    (row,) = json.loads(seakeep("status", *at("recorded"), "--json").out)
    day = int((table.time_us >= table.time_us.max() - DAY_US).sum())
    assert (row["model"], row["version"], row["role"]) == (MODEL, 1, "champion")
    assert (row["requests"], row["errors"], row["share"]) == (day, 0, 1.0)
    assert 0 < row["p50_ms"] <= row["p99_ms"]
    said = seakeep("status", MODEL, *at("recorded")).out.splitlines()
    assert said[0].split() == [
        "version",
        "role",
        "requests",
        "share",
        "errors",
        "refused",
        "per",
        "s",
        "p50",
        "ms",
        "p99",
        "ms",
    ]
    assert said[2].split()[:5] == [f"{MODEL}:1", "champion", f"{day:,}", "100.0%", "0"]


def test_before_any_traffic_there_is_nothing_to_tell(seakeep, at):
    assert seakeep("status", *at("promoted")).out == "nothing recorded yet\n"
    assert json.loads(seakeep("status", *at("promoted"), "--json").out) == []
    assert seakeep("receipts", *at("promoted")).out == "no rollout has ended yet\n"
    assert "has no recorded predictions yet" in seakeep("morning", *at("promoted"), code=1).err
    assert "no prediction 'x' is recorded" in seakeep("why", "x", *at("promoted"), code=1).err
    assert seakeep("months", *at("promoted"), "--at", REPLAY_TO).out == "no month is complete yet\n"


@pytest.mark.parametrize("command", ["status", "morning", "months", "receipts", "parity", "rollback", "history"])
def test_a_model_that_is_not_declared_is_told(seakeep, at, command):
    said = seakeep(command, "late", *at("recorded"), code=1)
    assert said.out == ""
    assert "no model 'late' in project.py" in said.err
    assert f"hint: models declared there: {MODEL}" in said.err


@pytest.mark.parametrize("command", ["status", "morning", "months"])
def test_damage_is_told_and_ends_with_4(seakeep, flights_at, command):
    folder = flights_at("recorded")
    flip(open_project(folder).home.predictions)
    said = seakeep(command, "--project", folder, "--json", code=4)
    assert json.loads(said.out) is not None
    assert "warning: " in said.err
    assert "cannot be read" in said.err


def test_morning_by_default_is_the_one_after_the_newest_prediction(seakeep, at, table):
    said = seakeep("morning", *at("recorded"), "--json")
    brief = json.loads(said.out)
    assert brief["now_us"] == int(table.time_us.max()) + 1
    assert (brief["model"], brief["version"], brief["errors"]) == (MODEL, 1, 0)
    assert "reading the records" in said.err
    assert seakeep("morning", f"{MODEL}:1", *at("recorded")).out


def test_morning_of_an_earlier_day_knows_less(seakeep, at, table):
    brief = json.loads(seakeep("morning", *at("recorded"), "--at", "2013-03-03", "--json").out)
    assert brief["to_us"] <= REPLAY_TO_US - DAY_US
    known = (table.time_us >= brief["from_us"]) & (table.time_us < brief["to_us"])
    assert brief["predictions"] == int(known.sum()) > 0


def test_why_shows_the_bits_and_the_features_as_they_were(seakeep, at, table):
    one = table.id[10]
    found = json.loads(seakeep("why", one, *at("recorded"), "--json").out)
    assert found["equal"] is True
    assert found["recorded_bits"] == found["recomputed_bits"]
    said = seakeep("why", one, *at("recorded")).out
    assert said.startswith(one)
    assert f"{MODEL}:1 as champion, for {REPLAY_FROM}T" in said
    lines = said.splitlines()
    told = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert told["recorded"] == [repr(float(table.score[10])), found["recorded_bits"]]
    assert told["again"] == [*told["recorded"], "equal,", "bit", "for", "bit"]
    assert told["decision"] == ["yes" if table.decision[10] else "no"]
    names = [feature["name"] for feature in found["features"]]
    assert [line.split()[0] for line in lines[-len(names) :]] == names
    host, *libraries = found["environment"]
    assert f"proved    on {host['proved']}; python " in said
    assert {one["name"] for one in libraries} == {"python", "numpy", "onnx", "onnxruntime", "scikit-learn"}
    assert all(one["proved"] == one["now"] for one in found["environment"])
    for line, feature in zip(lines[-len(names) :], found["features"], strict=True):
        if feature["event_us"] is not None:
            assert format_moment(feature["event_us"]) in line
            assert feature["event_us"] == int(table.time_us[10]) - feature["age_us"]
    assert any(feature["event_us"] for feature in found["features"])


def test_bits_that_differ_are_said_aloud(recorded, table):
    found = recorded.why(table.id[10])
    other = dataclasses.replace(found, equal=False, recomputed=0.5, recomputed_bits="3fe0000000000000")
    assert "again     0.5  3fe0000000000000  DIFFERENT" in why_text(other).splitlines()


def test_another_host_and_other_libraries_are_said_aloud(recorded, table):
    found = recorded.why(table.id[10])
    host, *libraries = found.environment
    moved = dataclasses.replace(host, proved="Xeon avx512f")
    older = [dataclasses.replace(one, proved="1.0") if one.name == "numpy" else one for one in libraries]
    lines = why_text(dataclasses.replace(found, environment=(moved, *older))).splitlines()
    (place,) = [at for at, line in enumerate(lines) if line.startswith("proved    on Xeon avx512f; python ")]
    (numpy,) = [one.now for one in libraries if one.name == "numpy"]
    assert lines[place + 1 : place + 3] == [
        f"here      {host.now}; numpy {numpy}",
        "          another class of host than the one that proved it: the last bits may differ",
    ]
    unknown = why_text(dataclasses.replace(found, environment=(dataclasses.replace(host, proved=""), *libraries)))
    assert "proved    on a host of unknown class; python " in unknown
    assert "here " not in unknown
    assert "proved" not in why_text(dataclasses.replace(found, environment=()))


def test_parity_of_all_that_was_served(seakeep, at, table):
    said = seakeep("parity", *at("recorded"), "--sample", "500")
    lines = said.out.splitlines()
    assert lines[0] == "500 recorded predictions recomputed, 0 not checked: every feature of every row agrees"
    assert len(lines) == 4 + 18
    assert all(line.split()[1:4] == ["500", "100.00%", "500"] for line in lines[4:])
    assert "recomputing features from history" in said.err


def test_parity_that_does_not_hold_is_said_aloud():
    one = FeatureParity(name="a", rows=4, matched=3, identical=2, max_difference=0.25, worst_key="k")
    text = parity_text(ParityReport(rows=4, unmatched=0, features=(one,)))
    assert "NOT EVERY ROW AGREES" in text
    assert text.splitlines()[-1].split() == ["a", "4", "75.00%", "2", "2.5e-01", "k"]


def test_a_receipt_tells_what_happened_to_whom():
    receipt = Receipt(
        model=MODEL,
        champion=1,
        candidate=2,
        outcome="rolled-back",
        reason="worse",
        started_us=0,
        ended_us=3_000_000,
        requests=1_200,
        failed=0,
        answered_by_candidate=12,
        detect_s=2.5,
        switch_s=0.04,
        evidence=("it is slower", "it is worse"),
    )
    assert receipt_text(receipt).splitlines() == [
        f"{MODEL}:2 over :1  rolled-back  1970-01-01T00:00:03Z",
        "recorded   1,200 predictions during the rollout, 0 failed",
        "exposed    12 answered by the candidate",
        "decided    after 2.50 s; the candidate's last answer was 0.04 s later",
        "evidence   it is slower",
        "           it is worse",
    ]
