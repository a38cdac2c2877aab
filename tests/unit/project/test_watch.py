"""Answers from what was recorded, over three days of real traffic and records added to it."""

import msgspec
import numpy as np
import pytest
from tests.flights import AS_OF_US, HISTORY_TO_US, MODEL, REPLAY_FROM_US, REPLAY_TO_US, opened, twin
from tests.recording import flip, writer

from seakeep.clock import DAY_US, FixedClock
from seakeep.conversion.session import ScoringSession
from seakeep.errors import NotFoundError, RecorderError
from seakeep.project import open_project
from seakeep.project.watch import ANSWERED
from seakeep.recorder import query
from seakeep.recorder.losses import Losses, losses

pytestmark = pytest.mark.slow


@pytest.fixture
def project(flights_at):
    with opened(flights_at("recorded")) as project:
        yield project


def some(project, count=1):
    """Recorded predictions, the newest."""
    table = query.load(project.home.predictions, query.Query(model=MODEL))
    return [query.find(project.home.predictions, one) for one in table.id[-count:]]


def add(project, predictions, **changes):
    """Record predictions once more, each changed, under new ids."""
    pen = writer(project.home.predictions, "added")
    try:
        for at, one in enumerate(predictions):
            sequence = pen.next_sequence()
            assert pen.append(msgspec.structs.replace(one, sequence=sequence, id=f"added-{at}", **changes))
        pen.commit()
    finally:
        pen.close()


def test_status_shares_the_last_day_among_the_versions_that_answered(project):
    twin(project)
    before = {one.version: one for one in project.status()}
    assert set(before) == {1}
    newest = some(project, 40)
    add(project, newest, version=2, role="canary")
    pen = writer(project.home.predictions, "failed")
    for at, one in enumerate(newest[:10]):
        error = "row" if at < 4 else "internal"
        changed = {"sequence": pen.next_sequence(), "id": f"failed-{at}", "error": error, "score": float("nan")}
        pen.append(msgspec.structs.replace(one, **changed))
    pen.commit()
    pen.close()
    after = {one.version: one for one in project.status(MODEL)}
    assert (after[1].requests, after[1].errors, after[1].refused) == (before[1].requests + 10, 6, 4)
    assert (after[2].requests, after[2].errors, after[2].role) == (40, 0, "retired")
    assert sum(one.share for one in after.values()) == pytest.approx(1.0)
    assert after[2].share == pytest.approx(40 / (before[1].requests + 50))


def test_a_shadow_is_no_answer(project):
    before = project.status()
    (one,) = some(project)
    add(project, [one] * 30, role="shadow", version=2, pair=one.id)
    assert project.status() == before
    assert "shadow" not in ANSWERED


def test_parity_names_what_was_served_otherwise_and_what_cannot_be_checked(project):
    """A flight that no table knows, one whose request cannot be read, one of a wrong feature, and one that failed."""
    first, second, failed = some(project, 3)
    numbers = list(first.numbers)
    numbers[1] += 0.5
    pen = writer(project.home.predictions, "odd")
    for changed in (
        msgspec.structs.replace(first, id="odd-0", key="nobody", sequence=0),
        msgspec.structs.replace(first, id="odd-1", key="unread", request={}, sequence=1),
        msgspec.structs.replace(first, id="odd-2", numbers=numbers, sequence=2),
        msgspec.structs.replace(failed, id="odd-3", error="row", sequence=3),
        msgspec.structs.replace(second, id="odd-4", key="", sequence=4),
    ):
        pen.next_sequence()
        pen.append(changed)
    pen.commit()
    pen.close()
    table = query.load(project.home.predictions, query.Query(model=MODEL))
    report = project.parity()
    assert report.unmatched == 1
    assert report.rows == len(table) - 3
    assert not report.passed
    wrong = [feature for feature in report.features if feature.matched < feature.rows]
    assert [(one.name, one.worst_key, one.rows - one.matched) for one in wrong] == [
        ("carrier_recent.late_rate_7d", first.key, 1)
    ]
    assert wrong[0].max_difference == pytest.approx(0.5)


@pytest.mark.parametrize("sample", [7, 100_000])
def test_parity_takes_a_sample_spread_over_all(recorded, sample):
    report = recorded.parity(sample=sample)
    assert report.rows == min(sample, len(query.load(recorded.home.predictions, query.Query(model=MODEL))))
    assert report.passed


def test_the_validation_rows_are_scored_by_the_version_itself(recorded):
    version = recorded.resolve(MODEL)
    bundle = recorded.bundle(version)
    predictions, outcomes = recorded.validation(version)
    frame = recorded._builder.validation(bundle.run)
    assert len(predictions) == bundle.run.rows_validated
    np.testing.assert_array_equal(
        predictions.score, ScoringSession(bundle.model).score(frame.numbers(), frame.categories())
    )
    np.testing.assert_array_equal(predictions.decision, predictions.score >= bundle.threshold)
    assert set(predictions.role) == {"validation"}
    told = outcomes.labels_for(predictions.key, as_of_us=AS_OF_US)
    np.testing.assert_array_equal(told, frame.label)
    assert np.all(np.diff(outcomes.known_us) >= 0)
    assert recorded.validation(version)[0] is predictions  # scored once


def test_a_morning_knows_what_was_known_by_then_and_no_more(recorded):
    table = query.load(recorded.home.predictions, query.Query(model=MODEL))
    for day in (1, 2, 3):
        now_us = REPLAY_FROM_US + day * DAY_US
        brief = recorded.morning(now_us=now_us)
        assert brief.to_us <= now_us
        within = (table.time_us >= brief.from_us) & (table.time_us < brief.to_us)
        assert brief.predictions == int(within.sum()) > 500
        if brief.estimate:
            asked = (table.time_us >= brief.estimate.from_us) & (table.time_us < brief.estimate.to_us)
            assert brief.estimate.to_us <= now_us
            assert brief.estimate.labelled + brief.estimate.unlabelled == int(asked.sum())
    assert recorded.morning(f"{MODEL}:1").now_us == int(table.time_us.max()) + 1


def test_months_need_a_whole_month(recorded):
    assert recorded.months(now_us=REPLAY_TO_US) == ()
    (march,) = recorded.months(now_us=REPLAY_TO_US + 40 * DAY_US)
    assert march.predictions == len(query.load(recorded.home.predictions, query.Query(model=MODEL)))


def test_why_of_what_failed_or_never_was_is_an_error(project):
    (one,) = some(project)
    add(project, [one], error="row", score=float("nan"))
    with pytest.raises(RecorderError, match="failed with 'row'"):
        project.why("added-0")
    with pytest.raises(NotFoundError, match="no prediction 'added-1' is recorded"):
        project.why("added-1")


def test_followed_records_come_in_as_they_are_written(project):
    followed = project.follow(MODEL)
    before = len(followed.by_version[1])
    add(project, some(project, 5), recorded_us=project._clock.now_us())
    followed.refresh()
    assert len(followed.by_version[1]) == before + 5
    assert len(followed.outcomes) > 1_000
    assert followed.outcomes.known_us.max() < HISTORY_TO_US


def test_the_history_of_a_version_is_made_of_its_own_records(recorded):
    found = recorded._watcher.history(recorded.resolve(MODEL))
    assert len(found.live.predictions) == len(query.load(recorded.home.predictions, query.Query(model=MODEL)))
    bundle = recorded.bundle(recorded.resolve(MODEL))
    assert len(found.reference.predictions) == bundle.run.rows_validated


def test_where_predictions_speak_for_now_the_morning_is_now_and_silence_comes_first(project, monkeypatch):
    monkeypatch.setenv("SEAKEEP_SERVING__CLOCK", "wall")
    for now_us in (REPLAY_TO_US + 2 * DAY_US, REPLAY_TO_US + 5_000 * DAY_US):
        wall = open_project(project.folder, clock=FixedClock(now_us))
        brief = wall.morning()
        assert (brief.now_us, brief.predictions) == (now_us, 0)
        assert brief.lines[0].sentence.startswith("no requests in the last day; the last came 2013-03-0")
        assert "requests reach it" in brief.action
        assert brief.page is (now_us < REPLAY_TO_US + 28 * DAY_US)


def test_losses_of_predictions_and_events_are_told(project):
    assert losses(project.home.predictions, project.home.events) == Losses()
    flip(project.home.predictions)
    flip(project.home.events)
    found = losses(project.home.predictions, project.home.events)
    assert len(found.damage) == len(found.sentences) == 2
    assert all(sentence.endswith("cannot be read") for sentence in found.sentences)


def test_events_that_cannot_be_read_are_told_when_features_are_filled(project, caplog):
    flip(project.home.events)
    project._online.fill([])
    assert "cannot be read: the features go without those events" in caplog.text
