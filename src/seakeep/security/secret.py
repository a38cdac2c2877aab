"""Secrets of 32 bytes in files that only their owner can read."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from seakeep.errors import IntegrityError, PlatformError

BYTES = 32


def fresh_secret() -> bytes:
    """A new secret from the system's generator."""
    return secrets.token_bytes(BYTES)


def load_secret(path: Path) -> bytes:
    """The secret in a file.

    Raises
    ------
    IntegrityError
        There is no such file, it is a link or can be read by others, or it does not hold 32 bytes.
    """
    try:
        # Not to wait for a writer, should a pipe stand there.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(handle)
            content = os.read(handle, BYTES + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}", hint="restore it from a backup") from error
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        raise IntegrityError(f"others may read {path}", hint=f"if nobody did: chmod 600 {path}")
    if len(content) != BYTES:
        raise IntegrityError(f"{path} holds no key of {BYTES} bytes", hint="restore it from a backup")
    return content


def load_or_create_secret(path: Path, fresh: bytes = b"") -> bytes:
    """The secret in a file; on first use ``fresh``, or else a new one, is written there. Of two that race one wins."""
    if not path.exists():
        with _aside(path, fresh or fresh_secret()) as aside, contextlib.suppress(FileExistsError):
            os.link(aside, path)
    return load_secret(path)


def replace_secret(path: Path, fresh: bytes) -> None:
    """Put another secret in place of the one in a file, in one step."""
    with _aside(path, fresh) as aside:
        aside.rename(path)


@contextlib.contextmanager
def _aside(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside ``path`` with a content, to be moved into place: nobody ever reads half a key."""
    aside = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield aside
        aside.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise PlatformError(f"cannot write {path}: {error.strerror}", hint="check free space and rights") from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
