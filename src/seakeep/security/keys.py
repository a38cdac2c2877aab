"""API keys: who may ask, observe and operate.

A key is 256 random bits, shown once. What is stored is its keyed BLAKE2b, which takes 1.6 us to compute; a slow
password hash would buy nothing, because the key itself cannot be guessed.

References
----------
RFC 7693, The BLAKE2 Cryptographic Hash, section 2.9 (keyed hashing).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Literal as OneOf
from typing import Protocol

import msgspec

from seakeep.clock import Clock
from seakeep.errors import AccessError, ConflictError, ForbiddenError, NotFoundError, did_you_mean
from seakeep.records.version import NAME

KeyRole = OneOf["viewer", "client", "operator"]
MAY: dict[str, frozenset[str]] = {
    "viewer": frozenset({"metrics"}),
    "client": frozenset({"predict", "events"}),
    "operator": frozenset({"metrics", "predict", "events"}),
}
"""What each role may do."""
LOCAL = "local"
"""The principal of requests on loopback while no key was ever made."""
FRESH_S = 0.5
"""How long a worker trusts its copy of the keys, in seconds: a revoked key is refused after at most so long."""

_SCHEME = b"bearer "


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret.

    Attributes
    ----------
    digest
        Keyed BLAKE2b of the secret, hexadecimal.
    revoked_us
        When it was revoked; 0 while it is active.
    """

    name: str
    role: KeyRole
    created_us: int
    digest: str
    revoked_us: int = 0

    @property
    def revoked(self) -> bool:
        """Whether it is refused."""
        return self.revoked_us > 0


class KeyStore(Protocol):
    """Where keys are kept."""

    def list(self) -> list[KeyRecord]:
        """All keys, oldest first; revoked ones too."""
        ...

    def add(self, key: KeyRecord, *, actor: str) -> None:
        """Keep a key; ConflictError if there is an active one of its name."""
        ...

    def revoke(self, name: str, *, actor: str, now_us: int) -> bool:
        """Refuse the active key of a name from now on; False if there is none."""
        ...


class ApiKeys:
    """Makes and revokes keys.

    Parameters
    ----------
    pepper
        Secret key of the digests, 32 bytes.
    """

    def __init__(self, store: KeyStore, pepper: bytes, *, clock: Clock) -> None:
        self._store, self._pepper, self._clock = store, pepper, clock

    def create(self, name: str, role: KeyRole, *, actor: str) -> str:
        """Make a key; the secret is returned once and never stored.

        Raises
        ------
        ConflictError
            There is an active key of this name, or the name or the role is not usable.
        """
        if not NAME.fullmatch(name):
            raise ConflictError(f"{name!r} cannot name a key", hint="use lower-case letters, digits, '.', '_' and '-'")
        if role not in MAY:
            raise ConflictError(f"{role!r} is not a role of a key", hint=f"roles: {', '.join(MAY)}")
        secret = f"sk_{secrets.token_urlsafe(32)}"
        key = KeyRecord(
            name=name, role=role, created_us=self._clock.now_us(), digest=_digest(secret.encode(), self._pepper)
        )
        self._store.add(key, actor=actor)
        return secret

    def list(self) -> list[KeyRecord]:
        """All keys, oldest first; revoked ones too."""
        return self._store.list()

    def revoke(self, name: str, *, actor: str) -> None:
        """Refuse a key from now on.

        Raises
        ------
        NotFoundError
            There is no active key of this name.
        """
        if not self._store.revoke(name, actor=actor, now_us=self._clock.now_us()):
            active = [key.name for key in self._store.list() if not key.revoked]
            raise NotFoundError(f"there is no active key {name!r}", hint=did_you_mean(name, active))


class KeyAuthenticator:
    """Tells who asks. Closed by default: only on loopback, and only until the first key is made, is no key needed.

    Parameters
    ----------
    loopback
        Whether the server can be reached from its own machine alone.
    """

    def __init__(self, store: KeyStore, pepper: bytes, *, loopback: bool) -> None:
        self._store, self._pepper, self._loopback = store, pepper, loopback
        self._by_digest: dict[str, KeyRecord] = {}
        self._read_s = float("-inf")

    def check(self, authorization: bytes, action: str) -> str:
        """The principal behind an ``Authorization`` header (``b""``: none was sent).

        Raises
        ------
        AccessError
            There is no valid key in it.
        ForbiddenError
            The key's role may not do this.
        """
        if time.monotonic() > self._read_s + FRESH_S:
            self._by_digest = {key.digest: key for key in self._store.list()}
            self._read_s = time.monotonic()
        if self._loopback and not self._by_digest:
            return LOCAL
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise AccessError("no API key was sent", hint="send 'Authorization: Bearer <key>'")
        # The digest is looked up, not the secret: what a lookup's time could tell is of no use without the pepper.
        key = self._by_digest.get(_digest(authorization[len(_SCHEME) :].strip(), self._pepper))
        if key is None or key.revoked:
            raise AccessError("the API key is not valid", hint="ask for one: seakeep key create NAME")
        if action not in MAY[key.role]:
            raise ForbiddenError(
                f"the key {key.name!r} is a {key.role} key and may not use {action}", hint="use a key of another role"
            )
        return key.name


def _digest(secret: bytes, pepper: bytes) -> str:
    return hashlib.blake2b(secret, key=pepper, digest_size=32).hexdigest()
