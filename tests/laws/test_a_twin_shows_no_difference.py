"""Law 12: a champion promoted against itself shows no difference: not to the gates, the rollout, or the replay."""

import numpy as np
import pytest
from tests.flights import MODEL, Server, copy, opened, stage, twin, wait_for

from seakeep.conversion.session import ScoringSession
from seakeep.recorder import query
from seakeep.recorder.pairs import Pairing
from seakeep.recorder.reader import scan
from seakeep.records.prediction import Prediction
from seakeep.replay.identity import compare

pytestmark = pytest.mark.slow

ROWS = 250
"""Asked between two looks: more than the pairs that a stage needs."""
CALL = 10
"""Rows of one call: a batch is timed once, so that a stage needs many of them."""


@pytest.fixture(scope="module")
def rolled_out(flights_root, history, tmp_path_factory):
    """The champion's twin, led through its canary under load: the project, its gates, and all answers."""
    folder = copy(stage(flights_root, "promoted"), tmp_path_factory.mktemp("twin") / "flights")
    answers = []
    with opened(folder) as project, Server(folder, workers=2) as server:
        version = twin(project)
        results = project.gates(version.ref)
        project.promote(version.ref, actor="test")
        place = 0

        def ended():
            nonlocal place
            rows = [history.requests.rows[at % len(history.requests.rows)] for at in range(place, place + ROWS)]
            place += ROWS
            for first in range(0, ROWS, CALL):
                answers.extend(server.predict(rows[first : first + CALL]))
            return project.stores.receipts.receipts(MODEL)

        receipt = wait_for(ended, process=server.process)[0]
        answers += server.predict(history.requests.rows[:ROWS])
        assert server.stop() == 0
        yield project, results, receipt, answers


@pytest.fixture(scope="module")
def predictions(rolled_out):
    project = rolled_out[0]
    return [one for one in scan(project.home.predictions) if isinstance(one, Prediction)]


def test_every_gate_passes_and_the_difference_to_the_champion_is_zero(rolled_out):
    _, results, _, _ = rolled_out
    assert all(result.passed for result in results)
    (against,) = [result for result in results if "champion" in result.gate]
    assert "+0.0000 (+0.0000 to +0.0000)" in against.observed.replace("-0.0000", "+0.0000")


def test_the_rollout_completes_with_no_failed_request(rolled_out):
    project, _, receipt, answers = rolled_out
    assert (receipt.outcome, receipt.champion, receipt.candidate, receipt.failed) == ("completed", 1, 2, 0)
    assert 0 < receipt.answered_by_candidate < receipt.requests <= len(answers)
    assert [release.action for release in project.history(MODEL)] == ["promote", "promote", *["advance"] * 3]
    shares = [release.candidate.weight if release.candidate else 1.0 for release in project.history(MODEL)[1:]]
    assert shares == [0.01, 0.1, 0.5, 1.0]
    assert project.resolve(MODEL).number == 2


def test_every_answer_names_the_one_version_that_gave_it(rolled_out, predictions):
    project, _, _, answers = rolled_out
    bundles = {number: project.resolve(f"{MODEL}:{number}").bundle for number in (1, 2)}
    recorded = {one.id: one for one in predictions if one.role != "shadow"}
    assert {answer["version"] for answer in answers} == {1, 2}
    for answer in answers:
        one = recorded.pop(answer["id"])
        assert (one.version, one.score, one.decision) == (answer["version"], answer["score"], answer["decision"])
        assert one.bundle == bundles[one.version]
    assert recorded == {}


def test_both_give_every_request_the_same_bits(predictions):
    pairing = Pairing(MODEL, 1, 2)
    for one in predictions:
        pairing.add(one)
    pairs = pairing.table()
    assert len(pairs) > 3 * ROWS
    np.testing.assert_array_equal(pairs.champion_score.view(np.int64), pairs.candidate_score.view(np.int64))
    assert not pairs.champion_failed.any()
    assert not pairs.candidate_failed.any()


def test_the_evidence_speaks_of_no_harm(rolled_out):
    _, _, receipt, _ = rolled_out
    assert "no harm" in receipt.evidence[0]


@pytest.mark.parametrize("ran", [1, 2])
def test_either_replays_the_records_of_both(rolled_out, ran):
    project, _, _, answers = rolled_out
    again = project.past.replay(f"{MODEL}:{ran}")
    assert (again.failed, again.unmatched, again.recomputed) == (0, 0, ())
    assert [one.version for one in again.versions] == [1, 2]
    assert again.rows == len(answers)
    for one in again.versions:
        assert (one.equal, one.decisions, one.refused, one.largest, one.examples) == (one.rows, 0, 0, 0.0, ())
    assert again.holds


def test_what_the_twin_would_have_done_is_nothing(rolled_out):
    project, _, _, answers = rolled_out
    found = project.past.whatif(f"{MODEL}:1", against=f"{MODEL}:2")
    assert found.rows == found.equal == len(answers)
    assert (found.largest, found.irreproducible) == (0.0, 0)
    assert (found.decisions.up, found.decisions.down, found.decisions.p_value) == (0, 0, 1.0)
    assert found.candidate.alerts == found.against.alerts
    assert {one.decisions.p_value for one in found.slices} == {1.0}
    assert {one.column for one in found.slices} == {"carrier", "origin", "dest"}


def test_the_shadow_of_the_twin_differs_in_nothing(rolled_out, predictions):
    found = rolled_out[0].past.shadow()
    shadows = sum(one.role == "shadow" for one in predictions)
    assert (found.champion, found.candidate, found.to_us is not None) == (1, 2, True)
    assert found.pairs == found.equal == shadows > 3 * ROWS
    assert (found.up, found.down, found.largest) == (0, 0, 0.0)
    for one in found.differences.values():
        assert one.low < 0.0 == one.value < one.high < 0.05
    harm = {test.question: test.p_value for test in found.tests}
    assert harm["it fails more"] == harm["it is worse"] == 1.0


def test_another_model_would_have_shown_a_difference(rolled_out):
    """The replay can fail: of rows that lack one input many get another score."""
    project = rolled_out[0]
    table = query.load(project.home.predictions, query.Query(model=MODEL, versions=(1,)))
    table.numbers[:, 0] = np.nan
    session = ScoringSession(project.bundle(project.resolve(MODEL)).model)
    again = compare(table, session.score(table.numbers, table.categories), 0.5)
    assert again.rows - again.equal > ROWS
    assert again.largest > 0
