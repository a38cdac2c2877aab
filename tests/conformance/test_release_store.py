"""Every release store keeps the promises of the port."""

import math
import threading

import pytest
from tests.registering import NOW_US, release, route

from seakeep.errors import ConflictError, DataError

CANARY = (route(1), route(2, "candidate", 0.1))


def test_releases_are_read_as_they_were_kept_oldest_first(state, reopen):
    kept = [release(1), release(2, *CANARY, reason="«geç» mi?"), release(3, route(1), action="rollback")]
    for one in kept:
        state.releases.append(one, details={})
    assert state.releases.history("late") == kept
    assert reopen().releases.history("late") == kept
    assert state.releases.history("fraud") == []


@pytest.mark.parametrize("revision", [-1, 0, 2, 4, 10**10])
def test_only_the_next_revision_is_taken(state, revision):
    for number in (1, 2):
        state.releases.append(release(number), details={})
    with pytest.raises(ConflictError, match="is at revision 2: somebody else changed it first"):
        state.releases.append(release(revision), details={})
    assert [one.revision for one in state.releases.history("late")] == [1, 2]
    assert state.verified() == ["promote", "promote"]


def test_the_first_revision_is_one(state):
    with pytest.raises(ConflictError, match="at revision 0"):
        state.releases.append(release(2), details={})


def test_models_do_not_share_revisions(state):
    state.releases.append(release(1), details={})
    state.releases.append(release(1, route(1, model="fraud"), model="fraud"), details={})
    assert len(state.releases.history("late")) == len(state.releases.history("fraud")) == 1


def test_the_routes_in_force_are_those_of_each_models_newest_release(state):
    assert state.releases.routes() == []
    state.releases.append(release(1), details={})
    state.releases.append(release(1, route(5, model="fraud"), model="fraud"), details={})
    state.releases.append(release(2, *CANARY), details={})
    assert state.releases.routes() == [route(5, model="fraud"), *CANARY]


def test_the_revision_of_all_changes_with_any_release(state, reopen):
    seen = [state.releases.revision()]
    for one in (release(1), release(1, model="fraud"), release(2)):
        state.releases.append(one, details={})
        seen.append(reopen().releases.revision())
    with pytest.raises(ConflictError):
        state.releases.append(release(2), details={})
    assert len(set(seen)) == 4
    assert state.releases.revision() == seen[-1]


def test_the_audit_log_tells_all_of_a_release(state):
    state.releases.append(release(1, *CANARY), details={"gates": "parity: passed"})
    (entry,) = state.audit.list()
    assert (entry.actor, entry.action, entry.subject, entry.time_us) == ("ada", "promote", "late", NOW_US + 1)
    assert entry.details["routes"] == ":1 champion 1, :2 candidate 0.1"
    assert (entry.details["revision"], entry.details["reason"]) == ("1", "asked for")
    assert entry.details["gates"] == "parity: passed"


def test_a_share_that_is_no_number_is_not_kept(state):
    with pytest.raises(DataError, match="the release cannot be kept"):
        state.releases.append(release(1, route(1, "candidate", math.nan)), details={})
    assert state.releases.history("late") == []
    assert state.verified() == []


def test_threads_that_race_put_one_release_each_in_force(state):
    barrier, outcomes = threading.Barrier(8), []

    def race(number):
        barrier.wait()
        for revision in range(1, 6):
            try:
                state.releases.append(release(revision, actor=f"racer {number}"), details={})
                outcomes.append("won")
            except ConflictError:
                outcomes.append("lost")
        state.close()

    racers = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert outcomes.count("won") == len(state.releases.history("late")) == len(state.verified())
    assert [one.revision for one in state.releases.history("late")] == list(range(1, outcomes.count("won") + 1))
    assert len(outcomes) == 40
