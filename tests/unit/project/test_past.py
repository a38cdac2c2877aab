"""Three days of real traffic through versions that need what was recorded, and more."""

import math
import shutil

import msgspec
import numpy as np
import pytest
from tests.flights import MODEL, REPLAY_FROM_US, REPLAY_TO_US, change, opened, twin
from tests.recording import writer

from seakeep.clock import DAY_US
from seakeep.errors import DataError, NotFoundError
from seakeep.project.past import Past
from seakeep.recorder import query
from seakeep.recorder.compaction import compact
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn, latest, mean
from seakeep.records.version import Version

pytestmark = pytest.mark.slow


@pytest.fixture
def project(flights_at):
    with opened(flights_at("recorded")) as project:
        yield project


def table_of(project):
    return query.load(project.home.predictions, query.Query(model=MODEL))


def add(project, count, writer_name="added", **changes):
    """Record the newest predictions once more, each changed, under new ids."""
    streamed = [one for one in table_of(project).id if "-" not in one]
    newest = [query.find(project.home.predictions, one) for one in streamed[-count:]]
    pen = writer(project.home.predictions, writer_name)
    for at, one in enumerate(newest):
        own = {name: value(one) if callable(value) else value for name, value in changes.items()}
        sequence = pen.next_sequence()
        assert pen.append(msgspec.structs.replace(one, sequence=sequence, **{"id": f"{writer_name}-{at}", **own}))
    pen.close()
    return newest


def redefined(project, view_name, features, renames):
    """A version of the same model whose view computes features in another way, under names of equal number."""
    run = project.bundle(project.resolve(f"{MODEL}:1")).run
    definition = run.definition
    views = tuple(
        msgspec.structs.replace(view, features={**view.features, **features}) if view.name == view_name else view
        for view in definition.views
    )
    columns = tuple(msgspec.structs.replace(one, name=renames.get(one.name, one.name)) for one in definition.columns)
    return twin(project, definition=msgspec.structs.replace(definition, views=views, columns=columns))


def test_features_recomputed_from_history_are_those_recorded_to_the_last_bit(project):
    """The same features, written in other words: they count as not recorded, and come out the same."""
    said_otherwise = mean(~(col("arr_delay") <= 15), over=["24h", "7d"])
    version = redefined(project, "carrier_recent", {"late_rate": said_otherwise}, {})
    names = ("carrier_recent.late_rate_24h", "carrier_recent.late_rate_7d")
    rows = len(table_of(project))
    replay = project.past.replay(version.ref)
    assert (replay.recomputed, replay.unmatched, replay.failed) == (names, 0, 0)
    assert (replay.rows, replay.equal) == (rows, rows)
    found = project.past.whatif(version.ref)
    assert (found.recomputed, found.rows, found.equal, found.irreproducible) == (names, rows, rows, 0)
    assert (found.decisions.up, found.decisions.down) == (0, 0)


def test_other_features_change_scores_and_requests_that_cannot_be_read_are_left_out(project):
    version = redefined(
        project, "weather", {"temp": latest("temp", within="3h"), "humid": latest(col("humid") / 2, within="6h")}, {}
    )
    add(project, 3, "unread", request={})
    add(project, 2, "stranger", key="nobody")
    rows = len(table_of(project)) - 3
    found = project.past.whatif(version.ref, against=f"{MODEL}:1")
    assert found.recomputed == ("weather.temp", "weather.humid")
    assert (found.rows, found.unmatched, found.irreproducible) == (rows, 3, 0)
    assert 0 < found.equal < rows
    assert found.largest > 0
    assert project.past.replay(version.ref).unmatched == 3


def without_events(project):
    shutil.rmtree(project.home.events)


def test_a_source_the_service_was_never_sent_is_read_from_its_table(project):
    """As for a candidate with a source that no version before it read: here no event of any source was recorded."""
    version = redefined(
        project, "carrier_recent", {"late_rate": mean(~(col("arr_delay") <= 15), over=["24h", "7d"])}, {}
    )
    without_events(project)
    rows = len(table_of(project))
    found = project.past.replay(version.ref)
    assert (found.rows, found.equal, found.unmatched) == (rows, rows, 0)


def test_what_cannot_be_recomputed_is_refused_by_name(flights_at):
    folder = flights_at("recorded")
    change(folder, ("    weather: flights_data.weather,\n", ""))
    with opened(folder) as project:
        version = redefined(project, "weather", {"temp": latest("temp", within="3h")}, {})
        assert project.past.replay(version.ref).recomputed == ("weather.temp",)
        without_events(project)
        for ask in (project.past.replay, project.past.whatif):
            with pytest.raises(
                DataError, match=rf"{version.ref} needs weather.temp: .* 'weather' has no table"
            ) as raised:
                ask(version.ref)
            assert "add it to `tables` in project.py" in raised.value.hint


def test_records_of_versions_with_other_inputs_are_read_beside_one_another(project):
    """A version with one input less answered a part of the traffic: each row finds its inputs, or history does."""
    run = project.bundle(project.resolve(f"{MODEL}:1")).run
    columns = tuple(one for one in run.definition.columns if one.name != "weather.visib")
    version = twin(project, definition=msgspec.structs.replace(run.definition, columns=columns))
    place = [one.name for one in run.definition.columns if one.kind == "number"].index("weather.visib")
    before = len(table_of(project))
    add(project, 50, version=2, role="canary", bundle=version.bundle,
        numbers=lambda one: [*one.numbers[:place], *one.numbers[place + 1 :]])  # fmt: skip
    for _ in range(2):
        found = project.past.replay(f"{MODEL}:1")
        assert found.recomputed == ("weather.visib",)
        assert {one.version: (one.rows, one.equal) for one in found.versions} == {1: (before, before), 2: (50, 50)}
        compact(project.home.predictions)
    what = project.past.whatif(f"{MODEL}:1", against=f"{MODEL}:1")
    assert (what.rows, what.equal, what.recomputed) == (before + 50, before + 50, ("weather.visib",))


def test_shadows_are_no_traffic_and_failures_are_counted(project):
    before = len(table_of(project))
    add(project, 20, "shadows", role="shadow", pair=lambda one: one.id)
    add(project, 5, "failed", error="row", score=math.nan, numbers=[], categories=[])
    found = project.past.replay()
    assert (found.rows, found.failed, found.holds) == (before, 5, True)
    what = project.past.whatif(f"{MODEL}:1", against=f"{MODEL}:1")
    assert (what.rows, what.failed) == (before, 5)


def test_a_record_of_which_one_bit_is_wrong_is_found(project):
    add(project, 1, score=lambda one: math.nextafter(one.score, 1))
    found = project.past.replay(MODEL)
    (one,) = found.versions
    assert not found.holds
    assert (one.rows - one.equal, one.examples) == (1, ("added-0",))
    assert 0 < one.largest < 1e-15
    assert project.past.whatif(f"{MODEL}:1", against=f"{MODEL}:1").irreproducible == 1


def test_outcomes_are_those_that_were_recorded(recorded):
    found = recorded.past.whatif(f"{MODEL}:1", against=f"{MODEL}:1")
    arrivals = query.load_events(recorded.home.events, "arrivals")
    late = {
        key: delay > 30
        for key, delay in zip(arrivals["flight_id"], arrivals["arr_delay"], strict=True)
        if delay is not None
    }
    table = table_of(recorded)
    told = [(decision, late[key]) for key, decision in zip(table.key, table.decision, strict=True) if key in late]
    confusion = found.candidate.confusion
    assert found.outcomes.rows == len(told) > 1000
    assert confusion == found.against.confusion
    assert (confusion.hits, confusion.false_alarms, confusion.missed, confusion.silent) == tuple(
        told.count(one) for one in [(True, True), (True, False), (False, True), (False, False)]
    )


def test_by_default_a_what_if_is_about_the_last_recorded_week(recorded):
    newest_us = int(table_of(recorded).time_us.max())
    found = recorded.past.whatif(MODEL)
    assert (found.from_us, found.to_us) == (newest_us + 1 - 7 * DAY_US, newest_us + 1)
    assert found.rows == len(table_of(recorded))
    first = recorded.past.whatif(MODEL, to_us=REPLAY_FROM_US + DAY_US)
    assert (first.from_us, first.to_us) == (REPLAY_FROM_US - 6 * DAY_US, REPLAY_FROM_US + DAY_US)
    assert first.rows < found.rows
    last = recorded.past.whatif(MODEL, from_us=REPLAY_TO_US - DAY_US)
    assert (last.from_us, last.to_us) == (REPLAY_TO_US - DAY_US, newest_us + 1)
    assert last.rows < found.rows
    assert {one.column for one in last.slices} == {"carrier", "origin", "dest"}


def test_without_records_there_is_nothing_to_ask(flights_at):
    with opened(flights_at("promoted")) as project:
        assert project.past.replay().versions == ()
        with pytest.raises(NotFoundError, match="has no recorded predictions yet"):
            project.past.whatif(MODEL)
        with pytest.raises(NotFoundError, match="no answered request of late-arrival is recorded in this period"):
            project.past.whatif(MODEL, from_us=0, to_us=DAY_US)
        with pytest.raises(NotFoundError, match="has had no rollout yet") as raised:
            project.past.shadow()
        assert f"seakeep promote {MODEL}@candidate" in raised.value.hint


def test_versions_of_two_models_are_not_compared():
    def resolve(reference):
        return Version(model=reference, number=1, bundle="", run="", created_us=0, author="", threshold=0.5)

    with pytest.raises(NotFoundError, match="late:1 and early:1 are versions of different models"):
        Past(None, None, None, resolve).whatif("late", against="early")


def test_the_shadow_of_a_rollout_that_goes_on(project):
    """Pairs are those since the promotion; the others of the same versions are not."""
    version = twin(project, threshold=0.9)
    add(project, 30, "before", version=2, role="shadow", pair=lambda one: one.id, bundle=version.bundle)
    release = project.promote(version.ref, actor="test")
    at_us = release.from_us + 1
    answered = add(project, 60, "answered", recorded_us=at_us)
    place = iter(range(60))
    add(project, 60, "shadows", version=2, role="shadow", pair=lambda _: f"answered-{next(place)}", bundle=version.bundle,
        recorded_us=at_us + 1, score=lambda one: min(one.score + 0.3, 1.0))  # fmt: skip
    found = project.past.shadow(MODEL)
    assert (found.champion, found.candidate, found.from_us, found.to_us) == (1, 2, release.from_us, None)
    assert (found.pairs, found.equal) == (60, 0)
    champion = project.resolve(f"{MODEL}:1").threshold
    scores = np.array([one.score for one in answered])
    shifted = np.minimum(scores + 0.3, 1.0)
    assert found.up == ((scores < champion) & (shifted >= 0.9)).sum()
    assert found.down == ((scores >= champion) & (shifted < 0.9)).sum()
    score = found.differences["score"]
    assert score.value == pytest.approx((shifted - scores).mean())
    assert 0 < score.low < score.value < score.high
    assert found.labelled == sum(
        one.key in set(query.load_events(project.home.events, "arrivals")["flight_id"]) for one in answered
    )
    project.rollback(MODEL, actor="test")
    ended = project.past.shadow()
    assert ended.to_us == project.history(MODEL)[-1].from_us
    assert ended.pairs == 60


def test_columns_that_a_version_lacks_are_not_its_slices(project):
    run = project.bundle(project.resolve(f"{MODEL}:1")).run
    assert FeatureColumn(name="dest", kind="category") in run.definition.columns
    found = project.past.whatif(f"{MODEL}:1", against=f"{MODEL}:1", from_us=REPLAY_FROM_US, to_us=REPLAY_TO_US)
    by_column = {}
    for one in found.slices:
        by_column[one.column] = by_column.get(one.column, 0) + one.decisions.rows
    assert by_column == dict.fromkeys(("carrier", "origin", "dest"), found.rows)
