"""What was last read of the online store, in memory: it stands in when the store does not answer.

States are remembered as they are stored, not as the features that were computed from them: windows go on moving, and only what
became known since is missing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

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
        self._known: dict[bytes, tuple[bytes | None, float]] = {}
        self._bytes = 0

    @contextlib.contextmanager
    def read(self) -> Iterator[Snapshot]:
        """Open a consistent view; what is read of it is remembered."""
        with self._store.read() as snapshot:
            yield _Remembering(snapshot, self._remember)

    def update(self, change: Callable[[OnlineTransaction], T]) -> T:
        """Run a change in one transaction."""
        return self._store.update(change)

    def scrub(self, texts: Sequence[bytes]) -> int:
        """Write over what was deleted, and forget everything."""
        self._known.clear()
        self._bytes = 0
        return self._store.scrub(texts)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def recall(self, most_age_s: float) -> Snapshot:
        """What is remembered; asking it for what is not, or longer than ``most_age_s``, is a FeaturesError."""
        return _Recalled(self._known, self._now_s() - most_age_s)

    def _remember(self, key: bytes, value: bytes | memoryview | None) -> None:
        before = self._known.pop(key, None)
        if before:
            self._bytes -= _weight(key, before[0])
        kept = None if value is None else bytes(value)
        self._known[key] = kept, self._now_s()
        self._bytes += _weight(key, kept)
        while self._bytes > self._most_bytes:
            oldest = next(iter(self._known))
            self._bytes -= _weight(oldest, self._known.pop(oldest)[0])


class _Remembering:
    def __init__(self, snapshot: Snapshot, remember: Callable[[bytes, bytes | memoryview | None], None]) -> None:
        self._snapshot, self._remember = snapshot, remember

    def get(self, key: bytes) -> bytes | memoryview | None:
        value = self._snapshot.get(key)
        self._remember(key, value)
        return value


class _Recalled:
    def __init__(self, known: dict[bytes, tuple[bytes | None, float]], since_s: float) -> None:
        self._known, self._since_s = known, since_s

    def get(self, key: bytes) -> bytes | None:
        found = self._known.get(key)
        if found is None or found[1] < self._since_s:
            raise FeaturesError("features are not remembered, or for too long", hint="try again in a moment")
        return found[0]


def _weight(key: bytes, value: bytes | None) -> int:
    return len(key) + len(value or b"") + _OVERHEAD
