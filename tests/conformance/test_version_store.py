"""Every version store keeps the promises of the port."""

import pytest
from tests.registering import NOW_US, digest, version

from seakeep.errors import NotFoundError


def add(state, bundle, model="late", actor="ada"):
    return state.versions.add(version(model=model, bundle=digest(bundle)), actor=actor, now_us=NOW_US)


def test_versions_are_numbered_from_one_within_their_model(state):
    numbers = [add(state, bundle, model).number for bundle, model in [(1, "late"), (2, "late"), (1, "fraud")]]
    assert numbers == [1, 2, 1]
    assert [one.ref for one in state.versions.list("late")] == ["late:2", "late:1"]
    assert [one.ref for one in state.versions.list("fraud")] == ["fraud:1"]
    assert state.versions.list("nobody") == []


def test_a_version_is_read_as_it_was_kept(state, reopen):
    kept = add(state, 1)
    assert kept == version(1, bundle=digest(1), run="r-0")
    assert state.versions.get("late", 1) == kept
    assert reopen().versions.get("late", 1) == kept


def test_a_number_that_was_claimed_is_not_believed(state):
    assert state.versions.add(version(99), actor="ada", now_us=NOW_US).number == 1


def test_the_same_bundle_is_the_same_version_and_is_told_once(state):
    first = add(state, 1)
    add(state, 2)
    assert add(state, 1, actor="eve") == first
    assert len(state.versions.list("late")) == 2
    assert state.verified() == ["register", "register"]


def test_the_same_bundle_may_be_a_version_of_two_models(state):
    assert add(state, 1, "late").bundle == add(state, 1, "fraud").bundle


@pytest.mark.parametrize("number", [0, -1, 2, 10**10])
def test_a_version_that_is_not_there(state, number):
    add(state, 1)
    with pytest.raises(NotFoundError, match=f"there is no version late:{number}"):
        state.versions.get("late", number)


def test_the_audit_log_tells_who_registered_what(state):
    kept = add(state, 1)
    (entry,) = state.audit.list()
    assert (entry.actor, entry.action, entry.subject) == ("ada", "register", "late:1")
    assert (entry.details["bundle"], entry.details["run"]) == (kept.bundle, kept.run)
