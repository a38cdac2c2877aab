"""``replay``, ``whatif`` and ``shadow``, after three days of traffic."""

import json
import math

import msgspec
import pytest
from tests.flights import MODEL, REPLAY_FROM, REPLAY_TO, opened, twin
from tests.recording import writer

from seakeep.cli.past import replay_text, shadow_text, whatif_text
from seakeep.clock import DAY_US
from seakeep.recorder import query
from seakeep.records.replay import Replay, ReplayedVersion, SequentialTest, ShadowDifference, WhatIf
from seakeep.records.run import Metric

slow = pytest.mark.slow


@pytest.fixture
def folder(flights_at):
    return flights_at("recorded")


@slow
def test_a_replay_of_all_that_was_served_shows_no_difference(seakeep, at):
    found = msgspec.json.decode(seakeep("replay", *at("recorded"), "--json").out, type=Replay)
    said = seakeep("replay", MODEL, *at("recorded"))
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{MODEL}:1 executed {found.rows:,} recorded requests again in ")
    assert lines[4].split() == [":1", "itself", *[f"{found.rows:,}"] * 2, "0", "0", "0"]
    assert lines[-1] == f"no difference: all {found.rows:,} answers of {MODEL}:1 came out again, bit for bit"
    assert "executing recorded requests again" in said.err
    day = json.loads(seakeep("replay", *at("recorded"), "--from", REPLAY_FROM, "--to", "2013-03-02", "--json").out)
    assert day["to_us"] - day["from_us"] == DAY_US
    assert 0 < day["versions"][0]["rows"] < found.rows


@slow
def test_an_answer_that_does_not_come_out_again_is_said_aloud_and_by_the_exit_code(seakeep, folder):
    with opened(folder) as project:
        table = query.load(project.home.predictions, query.Query(model=MODEL))
        one = query.find(project.home.predictions, table.id[0])
        pen = writer(project.home.predictions, "wrong")
        pen.append(msgspec.structs.replace(one, id="wrong", sequence=pen.next_sequence(), score=one.score / 2))
        pen.close()
    said = seakeep("replay", "--project", folder, code=4)
    assert said.out.splitlines()[-2:] == [f"1 ANSWERS OF {MODEL}:1 CAME OUT DIFFERENTLY", "  seakeep why wrong"]
    assert seakeep("why", "wrong", "--project", folder, code=4)


@slow
def test_what_if_fits_on_a_screen_and_into_a_record(seakeep, folder):
    with opened(folder) as project:
        definition = project.bundle(project.resolve(f"{MODEL}:1")).run.definition
        # The inputs change places: the same model makes other scores of them.
        numbers = [one for one in definition.columns if one.kind == "number"]
        turned = iter([*numbers[1:], numbers[0]])
        columns = tuple(next(turned) if one.kind == "number" else one for one in definition.columns)
        version = twin(project, definition=msgspec.structs.replace(definition, columns=columns))
    period = ("--from", REPLAY_FROM, "--to", REPLAY_TO)
    found = msgspec.json.decode(seakeep("whatif", version.ref, *period, "--project", folder, "--json").out, type=WhatIf)
    said = seakeep("whatif", version.ref, "--against", f"{MODEL}:1", *period, "--project", folder)
    lines = said.out.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 100
    assert lines[:2] == [
        f"{MODEL}:2 in the place of :1",
        f"requests   {found.rows:,} from {REPLAY_FROM}T00:00:00Z to {REPLAY_TO}T00:00:00Z",
    ]
    up, down = found.decisions.up, found.decisions.down
    assert up + down > 20
    assert f"decisions  {up:,} no to yes, {down:,} yes to no; net " in said.out
    assert f"outcomes   of {found.outcomes.rows:,} known, {found.outcomes.up:,} right only by :2" in said.out
    told = {line.split("  ")[0]: line for line in lines}
    for name in ("alerts", "hits", "missed", "roc_auc", "log_loss", "brier", "CPU s per million"):
        assert name in told
    difference = found.differences["log_loss"]
    assert f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})" in told["log_loss"]
    assert lines[-1] == ("95 % intervals resample 20 stretches of about 3.6h: there are too few days to resample days.")


@slow
def test_a_twin_has_no_slice_that_shifted(seakeep, at):
    said = seakeep("whatif", f"{MODEL}:1", "--against", f"{MODEL}:1", *at("recorded"))
    assert "scores     0 differ; mean difference +0.0000, largest 0.0000" in said.out
    assert "slices none shifted beyond chance." in said.out


@slow
def test_without_a_rollout_there_is_no_shadow(seakeep, at):
    said = seakeep("shadow", *at("recorded"), code=1)
    assert "has had no rollout yet" in said.err
    assert "code: not-found" in said.err


@pytest.mark.parametrize("command", ["replay", "whatif"])
def test_a_period_that_ends_before_it_begins_is_no_period(seakeep, command):
    said = seakeep(command, "late", "--to", "2013-03-01", "--from", "2013-03-02", code=2)
    assert "it must be later than --from" in said.err


def test_what_was_left_out_and_recomputed_is_told():
    found = Replay(
        model="late", version=3, from_us=None, to_us=None, failed=2, unmatched=1_234, recomputed=("a", "b"),
        versions=(ReplayedVersion(version=1, rows=9, equal=0, decisions=4, refused=1, largest=0.25),), seconds=0.0,
    )  # fmt: skip
    lines = replay_text(found).splitlines()
    assert lines[1:4] == [
        "left out   2 requests that had failed",
        "left out   1,234 requests that cannot be read again, to recompute from",
        "recomputed a, b: not recorded, so taken from history as of each request",
    ]
    assert lines[-3].split() == [":1", "9", "0", "0.25", "4", "1"]
    assert lines[-1] == "late:3 itself had answered none of them"


def test_a_shadow_screen_says_what_was_counted():
    one = ShadowDifference(
        model="late", champion=1, candidate=2, from_us=0, to_us=None, pairs=1_500, labelled=0, equal=3, up=5, down=7,
        largest=0.5, differences={"score": Metric(value=0.01, low=-0.02, high=0.04)},
        tests=(
            SequentialTest(question="it fails more", p_value=1.0, sentence=""),
            SequentialTest(question="it is slower", p_value=0.0001, sentence="model time 9 us against 3 us"),
        ),
    )  # fmt: skip
    text = shadow_text(one)
    assert text.splitlines()[:4] == [
        "late:2 beside :1 since 1970-01-01T00:00:00Z, still going on",
        "pairs      1,500 requests that both scored, 0 with an outcome",
        "scores     3 with the same bits; largest difference 0.5000",
        "decisions  5 no to yes, 7 yes to no",
    ]
    assert "score        +0.0100  -0.0200 to +0.0400" in text
    assert "it fails more  1.000   nothing to count yet" in text
    assert "it is slower   <0.001  model time 9 us against 3 us" in text
    ended = shadow_text(msgspec.structs.replace(one, to_us=DAY_US, differences={}))
    assert ended.splitlines()[0].endswith("until 1970-01-02T00:00:00Z")
    assert "at any time" not in ended


def test_answers_that_did_not_come_out_again_are_said_aloud_by_what_if_too():
    from tests.replaying import table
    from tests.unit.replay.test_gather import gathered

    found = gathered([table(200)], labels={})
    text = whatif_text(msgspec.structs.replace(found, irreproducible=7))
    assert "record     7 ANSWERS OF :1 DID NOT COME OUT AGAIN" in text
    assert "outcomes   none is known yet" in text
    refused = msgspec.structs.replace(found, candidate=msgspec.structs.replace(found.candidate, refused=4))
    assert [line.split()[:3] for line in whatif_text(refused).splitlines() if line.startswith("refused")] == [
        ["refused", "4", "0"]
    ]
    assert not math.isnan(found.candidate.p50_us)
