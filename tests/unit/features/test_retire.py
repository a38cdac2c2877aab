"""Views that nobody needs are let go of: not at once, not while somebody writes, and nothing of them stays."""

import pytest
from tests.unit.features.test_service import DEFINITION, HOUR, SOURCE, ZETA, ask, define, events, history

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.features import online, retire
from seakeep.features.forget import forget
from seakeep.features.ingest import Ingestion
from seakeep.features.materialise import materialise, missing_views
from seakeep.features.retire import UNNEEDED_US, retire_views, sweep
from seakeep.features.service import FeatureService, enter_views
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, count, total

OTHER = define(FeatureView("v", SOURCE, "who", {"n": count(over=["2h"])}))
NOW = 1_000 * HOUR
LATER = NOW + UNNEEDED_US


@pytest.fixture
def store(tmp_path):
    store = LmdbOnlineStore(tmp_path / "online")
    yield store
    store.close()


@pytest.fixture
def service(store):
    """Both definitions are kept, and have seen one event of each of three entities."""
    service = FeatureService(store)
    service.add(DEFINITION)
    service.add(OTHER)
    service.ingest("e", events(*((10 * HOUR, who, 1.0, "p") for who in (7, 8, 9))), "1")
    return service


def keys(store, prefix=b""):
    return store.update(lambda transaction: [key for key, _ in transaction.scan(prefix)])


def let_go(store, keep=(OTHER,), **more):
    """Mark, and begin to let go an hour later."""
    assert retire_views(keep, store, now_us=NOW, **more) == 0
    return retire_views(keep, store, now_us=LATER, **more)


def finish(store):
    while sweep(store):
        pass


def test_a_view_that_nobody_needs_goes_after_a_grace_with_all_its_states(store, service):
    before = keys(store)
    assert retire_views([OTHER], store, now_us=NOW) == 0
    assert retire_views([OTHER], store, now_us=LATER - 1) == 0
    assert ask(service, (11 * HOUR, 7)).unknown == [()]
    assert retire_views([OTHER], store, now_us=LATER) == 1
    assert retire_views([OTHER], store, now_us=LATER) == 0
    finish(store)
    assert len(keys(store)) == len(before) - 1 - 3
    assert keys(store, online.LEAVING) == []
    assert ask(service, (11 * HOUR, 7)).unknown == [("v",)]
    assert ask(service, (11 * HOUR, 7), definition=OTHER).numbers.tolist() == [[1.0]]


def test_a_view_that_is_needed_again_in_time_begins_its_grace_anew(store, service):
    assert retire_views([OTHER], store, now_us=NOW) == 0
    assert retire_views([OTHER, DEFINITION], store, now_us=NOW + HOUR // 2) == 0
    assert let_go(store) == 1


def test_whoever_enters_a_view_keeps_it_for_the_whole_grace(store, service):
    """As a promotion does before its release is in force, and a worker that loads a version."""
    assert retire_views([OTHER], store, now_us=NOW) == 0
    enter_views(DEFINITION, store)
    assert retire_views([OTHER], store, now_us=LATER) == 0
    assert retire_views([OTHER], store, now_us=LATER + UNNEEDED_US - 1) == 0
    assert ask(service, (11 * HOUR, 7)).unknown == [()]


def test_a_clock_that_was_ahead_keeps_no_view_for_ever(store, service):
    assert retire_views([OTHER], store, now_us=100 * NOW) == 0
    assert let_go(store) == 1


def test_what_a_project_declares_is_kept_whatever_its_view_is_called(store, service):
    declared = FeatureView("renamed", SOURCE, "who", ZETA)
    assert let_go(store, declared=[declared]) == 0
    strange = FeatureView("v", SOURCE, "who", {"y": total(col("y"), over=["1h"])})
    assert let_go(store, declared=[strange]) == 1


def test_events_that_arrive_come_between_the_steps_and_leave_nothing_behind(store, service, monkeypatch):
    monkeypatch.setattr(retire, "STEP", 1)
    assert let_go(store) == 1
    mark = keys(store, online.LEAVING)[0]
    states = online.states_prefix(online.digest_of(mark))
    for left in (2, 1, 0):
        assert sweep(store)
        assert len(keys(store, states)) == left
        service.ingest("e", events((11 * HOUR, left, 1.0, "p")), f"between-{left}")
    finish(store)
    assert keys(store, states) == []
    assert ask(service, (12 * HOUR, 0), definition=OTHER).numbers.tolist() == [[1.0]]


def test_a_view_entered_while_it_is_let_go_of_begins_anew(store, service, monkeypatch):
    """As after a process that was killed between two steps."""
    monkeypatch.setattr(retire, "STEP", 2)
    assert let_go(store) == 1
    assert sweep(store)
    again = FeatureService(store)
    again.add(DEFINITION)
    assert keys(store, online.LEAVING) == []
    assert ask(again, (11 * HOUR, 7), (11 * HOUR, 8), (11 * HOUR, 9)).unknown == [("v",)] * 3
    ingestion = Ingestion()
    batch = events(*((10 * HOUR, who, 1.0, "p") for who in (7, 8, 9)))
    for expected in (True, False):
        found = store.update(lambda transaction: ingestion.catch_up(transaction, "e", batch, "1"))
        assert found is expected
    assert ask(again, (11 * HOUR, 7)).numbers[0, 2] == 1.0, "no event counts twice"


def test_a_view_that_was_let_go_of_is_filled_again_from_history(store, service):
    assert let_go(store) == 1
    finish(store)
    assert missing_views(DEFINITION, store) == ("v",)
    table = {name: values[:0] for name, values in history(10, 2).items()}
    assert [one.view for one in materialise([DEFINITION], {"e": table}, store, as_of_us=1)] == ["v"]


def test_an_erasure_leaves_nothing_in_a_view_that_is_let_go_of(store, service, monkeypatch):
    monkeypatch.setattr(retire, "STEP", 1)
    assert let_go(store, keep=()) == 2
    forget(store, {"7"})
    assert keys(store, b"s") == []
