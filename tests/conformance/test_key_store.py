"""Every key store keeps the promises of the port."""

import pytest
from tests.registering import NOW_US, digest, key

from seakeep.errors import ConflictError


def test_keys_are_read_as_they_were_kept_oldest_first(state, reopen):
    late, early = key("late", created_us=NOW_US + 1, role="operator"), key("early", role="viewer")
    for one in (late, early):
        state.keys.add(one, actor="ada")
    assert state.keys.list() == [early, late]
    assert reopen().keys.list() == [early, late]


def test_a_name_has_one_active_key(state):
    state.keys.add(key(), actor="ada")
    with pytest.raises(ConflictError, match="there is an active key 'ci'") as raised:
        state.keys.add(key(digest=digest("another")), actor="eve")
    assert "seakeep key revoke ci" in raised.value.hint
    assert state.keys.list() == [key()]
    assert state.verified() == ["create-key"]


def test_the_same_digest_is_not_kept_twice(state):
    state.keys.add(key("a", digest=digest("same")), actor="ada")
    with pytest.raises(ConflictError):
        state.keys.add(key("b", digest=digest("same")), actor="ada")


def test_a_revoked_key_stays_listed_and_its_name_is_free_again(state):
    state.keys.add(key(), actor="ada")
    assert state.keys.revoke("ci", actor="eve", now_us=NOW_US + 5)
    assert [one.revoked_us for one in state.keys.list()] == [NOW_US + 5]
    state.keys.add(key(digest=digest("new"), created_us=NOW_US + 6), actor="ada")
    assert [one.revoked for one in state.keys.list()] == [True, False]
    assert state.keys.revoke("ci", actor="eve", now_us=NOW_US + 7)
    assert [one.revoked_us for one in state.keys.list()] == [NOW_US + 5, NOW_US + 7]
    assert state.verified() == ["create-key", "revoke-key", "create-key", "revoke-key"]


@pytest.mark.parametrize("name", ["nobody", "CI", "ci ", "", "c%"])
def test_revoking_what_is_not_active_changes_nothing(state, name):
    state.keys.add(key(), actor="ada")
    assert not state.keys.revoke(name, actor="eve", now_us=NOW_US)
    assert state.keys.list() == [key()]
    assert state.verified() == ["create-key"]


def test_the_audit_log_tells_who_made_and_revoked_a_key(state):
    state.keys.add(key(role="operator"), actor="ada")
    state.keys.revoke("ci", actor="eve", now_us=NOW_US + 5)
    made, revoked = state.audit.list()
    assert (made.actor, made.subject, made.details["role"], made.time_us) == ("ada", "ci", "operator", NOW_US)
    assert (revoked.actor, revoked.action, revoked.subject, revoked.time_us) == ("eve", "revoke-key", "ci", NOW_US + 5)
