"""Folders for what a private worker writes: gone after the block, or with the next start if the process was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "profile-"


@contextlib.contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A new folder in ``root``, of this block alone; it is locked until then, so that nobody takes it for abandoned."""
    with _locked(root):
        _clear(root)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        finally:
            os.close(lock)


def clear_abandoned(root: Path) -> None:
    """Remove the folders that killed processes left in ``root``; what cannot be removed is tried again the next time."""
    with _locked(root):
        _clear(root)


def _clear(root: Path) -> None:
    for folder in root.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(folder, fcntl.LOCK_NB):
            shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    lock = _lock(folder, how)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path, how: int = 0) -> int:
    """A descriptor that holds the folder, until it is closed or its process ends; BlockingIOError if another does."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | how)
    except OSError:
        os.close(lock)
        raise
    return lock
