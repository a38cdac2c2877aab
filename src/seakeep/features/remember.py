"""What was last read of the online store, in memory: it stands in when the store does not answer.

States are remembered as they are stored, not as the features that were computed from them: windows go on moving, and only what
became known since is missing.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from seakeep.errors import FeaturesError
from seakeep.features.online import OnlineStore, OnlineTransaction, Snapshot

T = TypeVar("T")

MOST_BYTES = 64 * 1024 * 1024
"""How much is remembered; what was read longest ago goes first."""
_OVERHEAD = 200


class RememberingStore:
    """A store that remembers what is read of it; see :class:`seakeep.features.online.OnlineStore`.

    Parameters
    ----------
    now_s
        Seconds since some moment, never going back.
    """

    def __init__(
        self, store: OnlineStore, *, most_bytes: int = MOST_BYTES, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._most_bytes, self._now_s = store, most_bytes, now_s
        self._known: dict[bytes, _Known] = {}
        self._bytes = self._version = 0
        self._seen_s = -math.inf
        self._recalls = itertools.count(2)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def read(self) -> Iterator[Snapshot]:
        """Open a consistent view; what is read of it is remembered."""
        since_s = self._now_s()
        with self._store.read() as snapshot:
            # What was read of a version still holds when the store is seen not to have changed since.
            version = snapshot.id()
            with self._lock:
                if since_s >= self._seen_s:  # else a thread that began later has seen more
                    self._version, self._seen_s = version, since_s
            yield _Remembering(snapshot, version, since_s, self._remember)

    def update(self, change: Callable[[OnlineTransaction], T]) -> T:
        """Run a change in one transaction."""
        return self._store.update(change)

    def scrub(self, texts: Sequence[bytes]) -> int:
        """Write over what was deleted, and forget everything."""
        with self._lock:
            self._known.clear()
            self._bytes = 0
        return self._store.scrub(texts)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def recall(self, most_age_s: float) -> Snapshot:
        """What is remembered; asking it for what is not, or longer than ``most_age_s``, is a FeaturesError."""
        since_s = self._now_s() - most_age_s
        with self._lock:
            fresh = self._version if self._seen_s >= since_s else None
        return _Recalled(self._known, since_s, fresh, -next(self._recalls))

    def _remember(self, key: bytes, known: _Known) -> None:
        with self._lock:
            before = self._known.pop(key, None)
            if before:
                self._bytes -= _weight(key, before.value)
                if before.read_s > known.read_s:
                    known = before  # a thread that still reads an older view does not undo what is newer
            self._known[key] = known
            self._bytes += _weight(key, known.value)
            while self._bytes > self._most_bytes:
                oldest = next(iter(self._known))
                self._bytes -= _weight(oldest, self._known.pop(oldest).value)


class _Known(NamedTuple):
    """A value as it was in a version of the store, which was opened no earlier than ``read_s``."""

    value: bytes | None
    version: int
    read_s: float


class _Remembering:
    def __init__(
        self, snapshot: Snapshot, version: int, since_s: float, remember: Callable[[bytes, _Known], None]
    ) -> None:
        self._snapshot, self._version, self._since_s, self._remember = snapshot, version, since_s, remember

    def get(self, key: bytes) -> bytes | memoryview | None:
        value = self._snapshot.get(key)
        self._remember(key, _Known(None if value is None else bytes(value), self._version, self._since_s))
        return value

    def id(self) -> int:
        return self._version


class _Recalled:
    def __init__(self, known: dict[bytes, _Known], since_s: float, fresh: int | None, number: int) -> None:
        self._known, self._since_s, self._fresh, self._number = known, since_s, fresh, number

    def get(self, key: bytes) -> bytes | None:
        found = self._known.get(key)
        if found is None or (found.read_s < self._since_s and found.version != self._fresh):
            raise FeaturesError("features are not remembered, or for too long", hint="try again in a moment")
        return found.value

    def id(self) -> int:
        return (
            self._number
        )  # of no version of the store: nothing that was worked out of it is taken for what is remembered


def _weight(key: bytes, value: bytes | None) -> int:
    return len(key) + len(value or b"") + _OVERHEAD
