"""Where the online state is kept: a port, and what lies under which key."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import msgspec

from seakeep.records.feature import FeatureView
from seakeep.records.source import ColumnSchema

T = TypeVar("T")


class Snapshot(Protocol):
    """A consistent view of the store; values are valid only while it is open."""

    def get(self, key: bytes) -> bytes | memoryview | None:
        """The value under a key, or None."""
        ...

    def id(self) -> int:
        """Of the last change that it shows: two views with the same one show the same."""
        ...


class OnlineTransaction(Protocol):
    """Reads and writes that take effect together or not at all."""

    def get(self, key: bytes) -> bytes | memoryview | None:
        """The value under a key, or None; valid until the next write."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value under a key."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys with the prefix and their values, in the order of keys."""
        ...


class OnlineStore(Protocol):
    """Keys and values that several processes read while any one of them writes."""

    def read(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent view."""
        ...

    def update(self, change: Callable[[OnlineTransaction], T]) -> T:
        """Run a change in one transaction; nothing remains of one that raises.

        ``change`` may run more than once (when the store must grow first), so it must have no other effect.
        """
        ...

    def scrub(self, texts: Sequence[bytes]) -> int:
        """Write over what was deleted, wherever it is kept; how often any of the texts is still there."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class ViewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A view that is kept up to date.

    Attributes
    ----------
    schema
        Columns of its source that it reads.
    as_of_us
        It was filled from the history known before this moment, and takes arriving events from then on; 0 if it was
        not filled yet.
    since
        How many batches the store had applied when the view was entered: it has missed those.
    unneeded_us
        Since when no version needs it; 0: one does.
    """

    view: FeatureView
    schema: tuple[ColumnSchema, ...]
    as_of_us: int
    since: int
    unneeded_us: int = 0


COUNTER = b"n"
"""Key of the number of batches applied."""

ALL_VIEWS = b"v"
"""Prefix of the keys of all views."""

LEAVING = b"l"
"""Prefix of the keys of all views that are let go of, and of which something is left."""

_DIGEST_BYTES = 16
_LONGEST_ENTITY = 400
_NUMBER = struct.Struct("<q")


def views_prefix(source: str) -> bytes:
    """Prefix of the keys of all views over a source."""
    return ALL_VIEWS + source.encode() + b"\0"


def view_key(source: str, digest: bytes) -> bytes:
    """Key of a view's entry."""
    return views_prefix(source) + digest


def leaving_key(digest: bytes) -> bytes:
    """Key of the mark that a view is let go of."""
    return LEAVING + digest


def digest_of(key: bytes) -> bytes:
    """The view's digest in the key of its entry, or of the mark that it is let go of."""
    return key[-_DIGEST_BYTES:]


def states_prefix(digest: bytes) -> bytes:
    """Prefix of the keys of all states of a view."""
    return b"s" + digest


def state_key(digest: bytes, entity: str) -> bytes:
    """Key of the state of an entity in a view."""
    name = entity.encode()
    if len(name) > _LONGEST_ENTITY:
        # Keys have a limit. The prefix cannot begin a name: it is not UTF-8.
        name = b"\xff" + hashlib.blake2b(name, digest_size=32).digest()
    return states_prefix(digest) + name


def batch_key(source: str, batch: str) -> bytes:
    """Key of the mark that a batch was applied."""
    return b"b" + hashlib.blake2b(f"{source}\0{batch}".encode(), digest_size=20).digest()


def caught_up_prefix(digest: bytes) -> bytes:
    """Prefix of the keys of all marks of a view."""
    return b"c" + digest


def caught_up_key(digest: bytes, batch: bytes) -> bytes:
    """Key of the mark that a view has caught up a batch it had missed."""
    return caught_up_prefix(digest) + batch[1:]


def read_number(value: bytes | memoryview | None) -> int:
    """A number stored with :func:`number`; 0 if there is none."""
    return 0 if value is None else int(_NUMBER.unpack(value)[0])


def number(value: int) -> bytes:
    """A whole number as bytes."""
    return _NUMBER.pack(value)
