"""One process at a time changes sealed files: compaction, retention and erasure wait for one another."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from seakeep.recorder.layout import KEY, Part, sync_folder

_LOCK = "upkeep.lock"


@contextlib.contextmanager
def upkeep(folder: Path, *, patience_s: float = 0.0) -> Iterator[bool]:
    """Whether the folder is ours to change until the block ends.

    Parameters
    ----------
    patience_s
        How long to wait for another process.
    """
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(lock, time.monotonic() + patience_s)
    finally:
        os.close(lock)


def remove(gone: list[Part]) -> None:
    """Remove files of records, and then the keys without which nobody can read what may be left of them."""
    for part in gone:
        part.path.unlink(missing_ok=True)
    for folder in {part.path.parent for part in gone}:
        sync_folder(folder)
    for part in gone:
        part.path.with_suffix(KEY).unlink(missing_ok=True)


def _taken(lock: int, until_s: float) -> bool:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until_s:
                return False
            time.sleep(0.02)
        else:
            return True
