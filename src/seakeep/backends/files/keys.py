"""Secret keys in files that only their owner can read."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from seakeep.errors import IntegrityError, PlatformError
from seakeep.security.privacy import Protector
from seakeep.security.signing import Signer, Verifier

SIGNING, VERIFYING, PEPPER, TOKENS = "signing.key", "signing.pub", "pepper", "tokens.key"
_BYTES = 32


def load_or_create_signer(folder: Path) -> Signer:
    """The signer with the key in ``signing.key``, made on first use.

    Raises
    ------
    IntegrityError
        A file is a link, can be read by others, or holds no key, or the two keys do not belong together.
    """
    signer = Signer(_load_or_create(folder, SIGNING, secrets.token_bytes(_BYTES)))
    if _load_or_create(folder, VERIFYING, signer.public) != signer.public:
        message = f"{folder / VERIFYING} does not belong to {SIGNING}"
        raise IntegrityError(message, hint="restore both from the same backup")
    return signer


def load_verifier(folder: Path) -> Verifier:
    """The verifier with the public key in ``signing.pub``.

    Raises
    ------
    IntegrityError
        There is no such file, it is a link or can be changed by others, or it holds no key.
    """
    return Verifier(_load(folder / VERIFYING))


def load_or_create_pepper(folder: Path) -> bytes:
    """The secret of digests that must not be guessed, 32 bytes, made on first use."""
    return _load_or_create(folder, PEPPER, secrets.token_bytes(_BYTES))


def load_or_create_protector(folder: Path) -> Protector:
    """What replaces personal values: hashes by the pepper, tokens by the key in ``tokens.key``, made on first use."""
    return Protector(load_or_create_pepper(folder), _load_or_create(folder, TOKENS, secrets.token_bytes(_BYTES)))


def _load_or_create(folder: Path, name: str, fresh: bytes) -> bytes:
    path = folder / name
    if not path.exists():
        # Written aside and linked into place: of two that race one wins, and nobody ever reads half a key.
        aside = folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(fresh)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
            aside.unlink()
            _sync(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise PlatformError(f"cannot write {path}: {error.strerror}", hint="check free space and rights") from error
    return _load(path)


def _load(path: Path) -> bytes:
    try:
        # Not to wait for a writer, should a pipe stand there.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(handle)
            content = os.read(handle, _BYTES + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}", hint="restore it from a backup") from error
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        raise IntegrityError(f"others may read {path}", hint=f"if nobody did: chmod 600 {path}")
    if len(content) != _BYTES:
        raise IntegrityError(f"{path} holds no key of {_BYTES} bytes", hint="restore it from a backup")
    return content


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
