"""The online features are derived: whatever happens to them, they come back from the dataset and the recorded events."""

import shutil

import msgspec
import numpy as np
import pytest
from tests.flights import MODEL, REPLAY_TO_US, opened, twin

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.errors import NotFoundError
from seakeep.features.rows import RequestDecoder
from seakeep.features.service import FeatureService
from seakeep.recorder.reader import scan
from seakeep.records.prediction import EventBatch

pytestmark = pytest.mark.slow

VIEWS = ["carrier_recent", "origin_recent", "weather"]


@pytest.fixture
def project(flights_at):
    with opened(flights_at("recorded")) as project:
        yield project


def bundle_of(project):
    return project.bundle(project.resolve(MODEL))


def features(project, rows):
    """The inputs of rows as the online store has them now."""
    definition = bundle_of(project).definition
    decoded = RequestDecoder(definition).decode(msgspec.json.encode(rows))
    store = LmdbOnlineStore(project.home.online)
    try:
        found = FeatureService(store).assemble(definition, decoded.table, decoded.times_us)
    finally:
        store.close()
    return found


@pytest.fixture
def rows(history):
    return history.requests.between(REPLAY_TO_US - 1, history.to_us)[:200]


def assert_same(one, other):
    np.testing.assert_array_equal(one.numbers, other.numbers)
    np.testing.assert_array_equal(one.categories, other.categories)
    np.testing.assert_array_equal(one.view_times_us, other.view_times_us)
    assert one.unknown == other.unknown


def test_filled_again_it_does_nothing(project, rows):
    before = features(project, rows)
    assert project._online.fill([bundle_of(project)]) == []
    assert_same(features(project, rows), before)


def test_lost_it_is_rebuilt_to_the_bit_from_the_dataset_and_the_recorded_events(project, rows):
    before = features(project, rows)
    assert np.isfinite(before.numbers).mean() > 0.5
    shutil.rmtree(project.home.online)
    filled = project._online.fill([bundle_of(project)])
    assert [one.view for one in filled] == VIEWS
    assert all(one.events > 100 and one.entities >= 3 for one in filled)
    assert_same(features(project, rows), before)
    assert project._online.fill([bundle_of(project)]) == []


def test_events_that_were_recorded_but_not_applied_are_caught_up(project, rows, flights_at):
    """As after a crash between the two: the recorder is ahead of the online store."""
    after = features(project, rows)
    with opened(flights_at("promoted", "behind")) as behind:
        shutil.copytree(project.home.events, behind.home.events)
        assert any(isinstance(one, EventBatch) for one in scan(behind.home.events))
        early = features(behind, rows)
        assert not np.array_equal(early.numbers, after.numbers, equal_nan=True)
        assert behind._online.fill([bundle_of(behind)]) == []
        assert_same(features(behind, rows), after)


def test_a_version_of_the_same_views_shares_them(project, rows):
    before = features(project, rows)
    other = project.bundle(twin(project))
    assert project._online.fill([bundle_of(project), other]) == []
    assert_same(features(project, rows), before)


def test_a_dataset_that_is_gone_is_named_with_its_run(project):
    shutil.rmtree(project.home.online)
    run = bundle_of(project).run
    (project.home.data / "versions" / f"{run.dataset}.json").unlink()
    with pytest.raises(NotFoundError, match=f"dataset version {run.dataset[:12]} of {run.id} is gone") as caught:
        project._online.fill([bundle_of(project)])
    assert caught.value.hint == "train and convert again"
