"""The online features are derived: whatever happens to them, they come back from the dataset and the recorded events."""

import shutil

import msgspec
import numpy as np
import pytest
from tests.flights import MODEL, REPLAY_TO_US, opened, twin

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.errors import NotFoundError
from seakeep.features.online import ALL_VIEWS, ViewEntry
from seakeep.features.retire import UNNEEDED_US
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


def entered(project):
    """Names of the views that are kept, with how often."""
    store = LmdbOnlineStore(project.home.online)
    try:
        entries = store.update(lambda transaction: [value for _, value in transaction.scan(ALL_VIEWS)])
    finally:
        store.close()
    return sorted(msgspec.json.decode(entry, type=ViewEntry).view.name for entry in entries)


def of_other_windows(project):
    """A version whose weather is that of another time: a view of its own."""
    definition = bundle_of(project).definition
    (weather,) = (view for view in definition.views if view.name == "weather")
    features = {
        name: msgspec.structs.replace(spec, windows=("5h",) * len(spec.windows))
        for name, spec in weather.features.items()
    }
    other = msgspec.structs.replace(weather, features=features)
    views = tuple(other if view is weather else view for view in definition.views)
    return twin(project, definition=msgspec.structs.replace(definition, views=views))


def put_in_force(project, version):
    project.stores.promotion.promote(version, results=[], canary=None, actor="test", now=True, override="a test")


def retired(project):
    """How many views go, now that an hour has passed."""
    assert project._online.retire(project.models, REPLAY_TO_US) == 0
    return project._online.retire(project.models, REPLAY_TO_US + UNNEEDED_US)


def test_views_stay_for_as_long_as_a_release_or_the_way_back_needs_them(project, rows):
    before = features(project, rows)
    other = of_other_windows(project)
    project._online.fill([project.bundle(other)])
    both = sorted([*VIEWS, "weather"])
    assert entered(project) == both
    assert retired(project) == 0, "the newest version"
    newest = twin(project)
    put_in_force(project, other)
    assert retired(project) == 0, "the champion"
    put_in_force(project, newest)
    assert retired(project) == 0, "the champion before"
    put_in_force(project, project.resolve(f"{MODEL}:1"))
    assert retired(project) == 1
    assert entered(project) == VIEWS
    assert_same(features(project, rows), before)
    # Back and further back: what was let go of is filled before that version answers.
    assert project.rollback().champion.version == newest.number
    assert entered(project) == VIEWS
    # Where a candidate is to be taken back, somebody else may do so meanwhile: then it is the champion who goes.
    canary = project.models[MODEL].rollout
    project.stores.promotion.promote(
        twin(project), results=[], canary=canary, actor="test", now=False, override="a test"
    )
    assert project.rollback().champion.version == newest.number
    assert entered(project) == both
    assert project.rollback().champion.version == other.number
    assert entered(project) == both
    assert project._online.fill([project.bundle(other)]) == []


def test_a_version_that_cannot_be_read_lets_no_view_go(project):
    version = of_other_windows(project)
    project._online.fill([project.bundle(version)])
    kept = entered(project)
    shutil.rmtree(project.home.bundles / twin(project).bundle)
    with pytest.raises(NotFoundError):
        project._online.retire(project.models, REPLAY_TO_US)
    assert entered(project) == kept


def test_only_what_is_needed_now_is_remembered_and_it_is_read_once(project, monkeypatch):
    opened_, whole = [], project.stores.bundles.open
    monkeypatch.setattr(project.stores.bundles, "open", lambda digest: opened_.append(digest) or whole(digest))
    for _ in range(4):
        put_in_force(project, twin(project))
        opened_.clear()
        project._online.retire(project.models, REPLAY_TO_US)
        assert project._online._definitions.keys() == project._online._needed(project.models)
    assert len(opened_) == 1, "the newest"
