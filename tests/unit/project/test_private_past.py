"""Three days of real traffic, recorded once more: with personal columns, encrypted, sorted and partly erased."""

import shutil

import msgspec
import pytest
from tests.flights import MODEL, copy, opened, stage, twin

from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder import query
from seakeep.recorder.compaction import compact
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.policy import Policies
from seakeep.recorder.reader import scan
from seakeep.recorder.writer import Writer
from seakeep.records.expression import col
from seakeep.records.feature import mean
from seakeep.records.prediction import EventBatch, Prediction

pytestmark = pytest.mark.slow

ASKED = {"flight_id": "tokenise", "carrier": "tokenise", "dest": "tokenise", "origin": "keep"}
TOLD = {"flight_id": "tokenise", "carrier": "tokenise", "dest": "drop"}


def declared(definition, asked, told):
    """The definition, with personal columns."""
    of = {"flights": asked, "arrivals": told}

    def source(one):
        return msgspec.structs.replace(one, personal=of.get(one.name, {}))

    return msgspec.structs.replace(
        definition,
        request=source(definition.request),
        label=msgspec.structs.replace(definition.label, source=source(definition.label.source)),
        views=tuple(msgspec.structs.replace(view, source=source(view.source)) for view in definition.views),
    )


def recorded_anew(project, asked, told):
    """Let a version that declares personal columns have answered everything, and keep no record but its own."""
    run = project.bundle(project.resolve(f"{MODEL}:1")).run
    version = twin(project, definition=declared(run.definition, asked, told))
    policies = Policies(project.stores.protector)
    policies.learn(version.bundle, project.bundle(version).definition)
    for folder in (project.home.predictions, project.home.events):
        records = list(scan(folder))
        shutil.rmtree(folder)
        folder.mkdir()
        keyring = Keyring(folder, project.home.keys / "recorder.key")
        settings = RecorderSettings(queue_mb=256, segment_mb=1)
        pen = Writer(folder, "w", clock=SystemClock(), settings=settings, policy=policies, keyring=keyring)
        for one in records:
            mine = {"version": version.number, "bundle": version.bundle} if isinstance(one, Prediction) else {}
            assert pen.append(msgspec.structs.replace(one, sequence=pen.next_sequence(), **mine))
        pen.close()
        if folder == project.home.predictions:
            assert compact(folder, keyring)
    return version


@pytest.fixture(scope="module")
def private(flights_root, tmp_path_factory):
    folder = copy(stage(flights_root, "recorded"), tmp_path_factory.mktemp("private") / "flights")
    with opened(folder) as project:
        before = query.load(project.home.predictions, query.Query(model=MODEL))
        yield project, recorded_anew(project, ASKED, TOLD), before


def test_nothing_personal_is_in_the_records(private):
    project, _, before = private
    (one, *_) = scan(project.home.predictions)
    assert one.key.startswith("token:")
    assert one.key == one.request["flight_id"]
    batch = next(one for one in scan(project.home.events) if isinstance(one, EventBatch) and one.source == "arrivals")
    assert "dest" not in batch.columns
    assert all(cell.startswith("token:") for cell in batch.columns["carrier"])
    texts = [before.key[0].encode(), before.id[0].encode()]
    for path in (*project.home.predictions.iterdir(), *project.home.events.iterdir()):
        assert not any(text in path.read_bytes() for text in texts), "they are encrypted"


def test_traffic_is_executed_again_bit_for_bit(private):
    project, version, before = private
    for reference in (version.ref, f"{MODEL}:1"):
        replay = project.past.replay(reference)
        assert (replay.rows, replay.equal, replay.recomputed) == (len(before), len(before), ())
    again = project.why(before.id[7])
    assert again.equal
    assert again.prediction.key == before.key[7]


def said_otherwise(project, definition):
    """A version that computes the rates of a carrier in other words: they count as not recorded, and come out the same."""
    rate = mean(~(col("arr_delay") <= 15), over=["24h", "7d"])
    views = tuple(
        msgspec.structs.replace(view, features={**view.features, "late_rate": rate})
        if view.name == "carrier_recent"
        else view
        for view in definition.views
    )
    return twin(project, definition=msgspec.structs.replace(definition, views=views))


def test_a_what_if_recomputes_inputs_from_requests_and_events_that_are_revealed(private):
    project, version, before = private
    candidate = said_otherwise(project, project.bundle(project.resolve(f"{MODEL}:1")).definition)
    found = project.past.whatif(candidate.ref, against=version.ref)
    assert found.recomputed == ("carrier_recent.late_rate_24h", "carrier_recent.late_rate_7d")
    assert (found.rows, found.equal, found.unmatched, found.irreproducible) == (len(before), len(before), 0, 0)
    assert found.outcomes, "events whose keys are tokens tell of requests whose keys are"


def test_slices_are_shown_as_they_are_recorded(private):
    project, version, _ = private
    found = project.past.whatif(version.ref, against=version.ref)
    by_column = {}
    for one in found.slices:
        by_column.setdefault(one.column, set()).add(one.value)
    assert all(value.startswith("token:") for value in by_column["dest"])
    assert by_column["origin"] <= {"EWR", "JFK", "LGA"}


def test_parity_and_the_morning_hold(private):
    project, version, _ = private
    report = project.parity(version.ref, sample=300)
    assert (report.rows, report.unmatched, report.passed) == (300, 0, True)
    assert project.morning(version.ref) is not None
    live = query.load(project.home.predictions, query.Query(model=MODEL))
    judged_on, _ = project.validation(version)
    shared = set(live.categories.ravel().tolist()) & set(judged_on.categories.ravel().tolist())
    assert sum(text.startswith("token:") for text in shared) > 20, "they are compared as they are recorded"


def test_who_is_erased_is_in_no_answer_any_more(private):
    project, version, before = private
    key = before.key[11]
    count = int((before.key == key).sum())
    proof = project.recorder.erase(key)
    assert (proof.predictions, proof.complete) == (count, True)
    assert project.recorder.of_key(key) == []
    replay = project.past.replay(version.ref)
    assert replay.rows == replay.equal == len(before) - count
    wrong = [one.name for one in project.parity(version.ref, sample=300).features if one.matched < one.rows]
    assert all(name.startswith("carrier_recent.") for name in wrong), (
        "sums that a plane told of are not to be had again"
    )


def test_hashed_keys_hinder_nothing(flights_at):
    """Nobody can read them, and nothing needs to: outcomes find their requests, and features do not ask for them."""
    with opened(flights_at("recorded")) as project:
        before = project.past.whatif(f"{MODEL}:1")
        version = recorded_anew(project, {"flight_id": "hash"}, {"flight_id": "hash"})
        assert project.parity(version.ref, sample=7).rows == 7
        found = project.past.whatif(said_otherwise(project, project.bundle(version).definition).ref)
        assert (found.rows, found.equal, found.unmatched) == (before.rows, before.rows, 0)
        assert found.outcomes == before.outcomes
