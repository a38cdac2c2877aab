import hashlib
import re
import time

import pytest
from tests.registering import NOW_US, open_sqlite

from seakeep.clock import FixedClock
from seakeep.errors import AccessError, ConflictError, ForbiddenError, NotFoundError
from seakeep.security.keys import FRESH_S, LOCAL, MAY, ApiKeys, KeyAuthenticator

PEPPER = b"p" * 32


@pytest.fixture
def state(tmp_path):
    state = open_sqlite(tmp_path)
    yield state
    state.close()


@pytest.fixture
def keys(state):
    return ApiKeys(state.keys, PEPPER, clock=FixedClock(NOW_US))


def authenticator(state, *, loopback=False, pepper=PEPPER):
    return KeyAuthenticator(state.keys, pepper, loopback=loopback)


def bearer(secret):
    return f"Bearer {secret}".encode()


def test_a_secret_holds_256_random_bits_and_is_never_the_same(keys):
    secrets = {keys.create(f"k{number}", "client", actor="ada") for number in range(50)}
    assert len(secrets) == 50
    assert all(re.fullmatch(r"sk_[A-Za-z0-9_-]{43}", secret) for secret in secrets)


def test_what_is_kept_is_the_keyed_blake2b_of_the_secret(keys):
    secret = keys.create("ci", "viewer", actor="ada")
    (kept,) = keys.list()
    assert kept.digest == hashlib.blake2b(secret.encode(), key=PEPPER, digest_size=32).hexdigest()
    assert (kept.name, kept.role, kept.created_us, kept.revoked) == ("ci", "viewer", NOW_US, False)


def test_a_secret_is_nowhere_in_the_state(keys, state, tmp_path):
    secret = keys.create("ci", "operator", actor="ada")
    keys.revoke("ci", actor="ada")
    state.close()
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert secret.encode() not in content
        assert secret.removeprefix("sk_").encode() not in content
        assert PEPPER not in content
    assert all(secret not in str(entry) for entry in open_sqlite(tmp_path).audit.list())


@pytest.mark.parametrize("name", ["", "CI", "çı", "a b", "-a", "../a", "a" * 65, "a\n", "*"])
def test_a_name_that_cannot_be_typed_names_no_key(keys, name):
    with pytest.raises(ConflictError, match="cannot name a key"):
        keys.create(name, "client", actor="ada")
    assert keys.list() == []


@pytest.mark.parametrize("role", ["", "admin", "Client", "client "])
def test_a_role_that_is_not_known_is_refused_before_it_is_kept(keys, role):
    with pytest.raises(ConflictError, match="is not a role") as raised:
        keys.create("ci", role, actor="ada")
    assert "viewer, client, operator" in raised.value.hint
    assert keys.list() == []


def test_a_name_has_one_active_key(keys):
    keys.create("ci", "client", actor="ada")
    with pytest.raises(ConflictError, match="there is an active key"):
        keys.create("ci", "viewer", actor="ada")
    keys.revoke("ci", actor="ada")
    keys.create("ci", "viewer", actor="ada")
    assert [(key.role, key.revoked) for key in keys.list()] == [("client", True), ("viewer", False)]


def test_only_an_active_key_can_be_revoked(keys):
    keys.create("build", "client", actor="ada")
    keys.create("old", "client", actor="ada")
    keys.revoke("old", actor="ada")
    for name in ("old", "biuld"):
        with pytest.raises(NotFoundError, match=f"no active key '{name}'") as raised:
            keys.revoke(name, actor="ada")
        assert "build" in raised.value.hint


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize("action", ["predict", "events", "metrics", "promote", ""])
def test_a_role_may_do_what_its_table_says_and_nothing_else(keys, state, role, action):
    secret = keys.create("ci", role, actor="ada")
    check = authenticator(state).check
    if action in MAY[role]:
        assert check(bearer(secret), action) == "ci"
    else:
        with pytest.raises(ForbiddenError, match=f"is a {role} key and may not use {action}"):
            check(bearer(secret), action)


def test_nobody_but_an_operator_may_do_everything():
    assert {
        "viewer": {"metrics"},
        "client": {"predict", "events"},
        "operator": {"metrics", "predict", "events"},
    } == MAY


@pytest.mark.parametrize("loopback", [True, False])
def test_a_wrong_key_is_refused_and_the_message_does_not_repeat_it(keys, state, loopback):
    secret = keys.create("ci", "client", actor="ada")
    check = authenticator(state, loopback=loopback).check
    wrong = [
        secret[:-1],
        secret + "A",
        secret[1:],
        secret.swapcase(),
        secret.removeprefix("sk_"),
        secret.replace("sk_", "sk_ ", 1),
        "sk_",
        "",
        "x",
        "sk_" + "A" * 43,
        "ключ",
        "\0" + secret,
        keys.list()[0].digest,
        "x" * 100_000,
    ]
    for one in wrong:
        with pytest.raises(AccessError, match="is not valid") as raised:
            check(bearer(one), "predict")
        assert not isinstance(raised.value, ForbiddenError)
        assert not one or one not in f"{raised.value.message} {raised.value.hint}"
    with pytest.raises(AccessError, match="is not valid"):
        check(b"Bearer \xff\xfe\x00", "predict")


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Basic %s", b"%s", b"Token %s", b" Bearer %s", b"Bearer:%s", b"Bearer\t%s"]
)
def test_without_a_bearer_token_no_key_was_sent(keys, state, header):
    secret = keys.create("ci", "client", actor="ada").encode()
    with pytest.raises(AccessError, match="no API key was sent"):
        authenticator(state).check(header.replace(b"%s", secret), "predict")


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"Bearer    "])
def test_the_scheme_is_read_in_any_case(keys, state, scheme):
    secret = keys.create("ci", "client", actor="ada").encode()
    assert authenticator(state).check(scheme + secret + b" ", "predict") == "ci"


def test_beyond_loopback_nobody_is_let_in_without_a_key(state):
    for header in (b"", bearer("sk_" + "A" * 43)):
        with pytest.raises(AccessError):
            authenticator(state).check(header, "metrics")


def test_on_loopback_everybody_is_let_in_until_the_first_key_was_made(keys, state):
    assert authenticator(state, loopback=True).check(b"", "predict") == LOCAL
    keys.create("ci", "client", actor="ada")
    keys.revoke("ci", actor="ada")
    with pytest.raises(AccessError):
        authenticator(state, loopback=True).check(b"", "predict")


def test_a_key_of_another_installation_is_not_valid(keys, state):
    secret = keys.create("ci", "client", actor="ada")
    with pytest.raises(AccessError, match="is not valid"):
        authenticator(state, pepper=b"q" * 32).check(bearer(secret), "predict")


def test_a_revoked_key_is_refused_by_a_new_worker(keys, state):
    secret = keys.create("ci", "client", actor="ada")
    keys.revoke("ci", actor="ada")
    with pytest.raises(AccessError, match="is not valid"):
        authenticator(state).check(bearer(secret), "predict")


def test_a_key_made_or_revoked_elsewhere_is_seen_soon(keys, state, tmp_path):
    keys.create("first", "client", actor="ada")
    check = authenticator(state).check
    elsewhere = open_sqlite(tmp_path)
    others = ApiKeys(elsewhere.keys, PEPPER, clock=FixedClock(NOW_US))

    def accepted(secret):
        try:
            return check(bearer(secret), "predict") == "second"
        except AccessError:
            return False

    def until(secret, wanted):
        limit = time.monotonic() + 60 * FRESH_S
        while accepted(secret) is not wanted:
            assert time.monotonic() < limit
            time.sleep(0.01)

    secret = others.create("second", "client", actor="eve")
    until(secret, wanted=True)
    others.revoke("second", actor="eve")
    until(secret, wanted=False)
    elsewhere.close()


def test_two_keys_are_told_apart(keys, state):
    secrets = {name: keys.create(name, "client", actor="ada") for name in ("a", "b", "c")}
    check = authenticator(state).check
    assert {check(bearer(secret), "predict") for secret in secrets.values()} == {"a", "b", "c"}
    assert check(bearer(secrets["b"]), "events") == "b"
