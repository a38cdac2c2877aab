"""Law 3: a recorded prediction, executed again from its record, has the same bits; so have its features."""

import msgspec
import numpy as np
import pytest
from tests.flights import MODEL, REPLAY_FROM_US, REPLAY_TO_US, told

from seakeep.clock import DAY_US
from seakeep.conversion.session import ScoringSession
from seakeep.recorder import query
from seakeep.replay.identity import compare
from seakeep.replay.why import bits, reexecute

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(recorded):
    return query.load(recorded.home.predictions, query.Query(model=MODEL))


@pytest.fixture(scope="module")
def totals(flights_root):
    return msgspec.json.decode(told(flights_root, "recorded").out)


def test_every_flight_was_asked_for_answered_and_recorded_once(recorded, table, totals):
    flights = recorded._loaded.read("flights")
    asked = flights["scheduled"].view(np.int64)
    expected = flights["flight_id"][(asked >= REPLAY_FROM_US) & (asked < REPLAY_TO_US)]
    assert totals["failed"] == totals["events_failed"] == 0
    assert sorted(table.key.tolist()) == sorted(expected.tolist())
    assert len(set(table.id.tolist())) == len(table) == totals["answered"]
    assert query.gaps(recorded.home.predictions) == []


def test_three_days_replayed_through_the_version_differ_in_no_bit(recorded, table):
    again = recorded.past.replay()
    (one,) = again.versions
    assert again.holds
    assert (one.version, one.rows, one.equal, one.largest, one.examples) == (1, len(table), len(table), 0.0, ())
    assert (one.decisions, one.refused, again.failed, again.unmatched, again.recomputed) == (0, 0, 0, 0, ())


def test_a_day_of_them_is_that_day(recorded, table):
    again = recorded.past.replay(f"{MODEL}:1", from_us=REPLAY_FROM_US, to_us=REPLAY_FROM_US + DAY_US)
    assert again.rows == again.equal == (table.time_us < REPLAY_FROM_US + DAY_US).sum()
    assert 0 < again.rows < len(table)


@pytest.mark.parametrize("at", [0, 700, -1])
def test_why_executes_one_prediction_again_to_the_same_bits(recorded, table, at):
    found = recorded.why(table.id[at])
    assert found.equal
    assert found.recorded_bits == found.recomputed_bits == bits(float(table.score[at]))
    assert found.prediction.key == table.key[at]
    assert [feature.name for feature in found.features][:2] == [
        "carrier_recent.late_rate_24h",
        "carrier_recent.late_rate_7d",
    ]
    ages = {feature.view: feature.age_us for feature in found.features if feature.view}
    assert set(ages) == {"carrier_recent", "origin_recent", "weather"}
    assert all(age is None or age > 0 for age in ages.values())


def test_what_the_client_was_told_is_what_is_executed_again(served, history):
    from tests.flights import opened, wait_for

    from seakeep.errors import NotFoundError

    row = next(
        one for one, at in zip(history.requests.rows, history.requests.times_us, strict=True) if at > REPLAY_TO_US
    )
    (answer,) = served.predict([row])

    with opened(served.folder) as project:

        def found():
            try:
                return project.why(answer["id"])
            except NotFoundError:
                return None

        again = wait_for(found)
    assert again.equal
    assert again.recomputed_bits == bits(answer["score"])
    assert (again.prediction.decision, again.prediction.version) == (answer["decision"], answer["version"])
    assert again.prediction.request == {**row, "scheduled": again.prediction.request["scheduled"]}


def test_a_record_of_which_one_bit_is_wrong_is_not_called_equal(recorded, table):
    bundle = recorded.bundle(recorded.resolve(MODEL))
    prediction = query.find(recorded.home.predictions, table.id[5])
    session = ScoringSession(bundle.model)
    wrong = msgspec.structs.replace(prediction, score=float(np.nextafter(prediction.score, 1)))
    assert not reexecute(wrong, bundle.definition, bundle.digest, session).equal
    table.score[5] = np.nextafter(table.score[5], 1)
    try:
        found = compare(table, session.score(table.numbers, table.categories), bundle.threshold)
        assert (found.examples, found.rows - found.equal, found.decisions) == ((table.id[5],), 1, 0)
    finally:
        table.score[5] = prediction.score


def test_the_features_that_were_served_are_those_of_history_to_the_bit(recorded, totals):
    report = recorded.parity()
    assert (report.rows, report.unmatched, report.passed) == (totals["answered"], 0, True)
    assert len(report.features) == 18
    for feature in report.features:
        assert (feature.identical, feature.max_difference, feature.worst_key) == (feature.rows, 0.0, ""), feature
