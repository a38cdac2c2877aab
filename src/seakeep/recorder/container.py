"""Files of records as an engine reads and writes them: as they are, or decrypted in memory and never on a disk.

Who reads a file holds a shared lock on it (flock) as long as it may be mapped; who takes it away must have it alone
(:func:`alone`).

Format of an encrypted file, version 1, integers little-endian::

    file  = magic chunk:u32 size:u64 piece*
    magic = "SEAKAES" 0x01          8 bytes; the last one is the format version
    piece = AES-256-GCM of the next ``chunk`` bytes (the last piece: of what is left) with its tag of 16 bytes

``size`` is that of the content. Piece ``n`` (from 0) has ``n`` as nonce (12 bytes, big-endian) and the 20 bytes before
the first piece as additional data; so a piece can neither be changed nor moved nor left out. The key is the one of the
file's stem (:mod:`seakeep.recorder.keyring`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from seakeep.errors import IntegrityError
from seakeep.recorder.keyring import unlock
from seakeep.security.envelope import TAG_BYTES, DataKey

MAGIC = b"SEAKAES" + bytes([1])
ENCRYPTED = ".aes"
"""Suffix of encrypted files."""

_HEADER = struct.Struct("<8sIQ")
_CHUNK = 1 << 20


@contextlib.contextmanager
def opened(path: Path) -> Iterator[str]:
    """A name under which a file of records can be read, in clear, by an engine in this process.

    A plain file is read in place, an encrypted one is decrypted as a whole into memory that has no other name.

    Raises
    ------
    FileNotFoundError
        It is gone.
    IntegrityError
        It was changed, or its key cannot be had.
    """
    key = unlock(path) if path.suffix == ENCRYPTED else None
    with _locked(path, fcntl.LOCK_SH) as file:
        if path.suffix != ENCRYPTED:
            yield _name(file.fileno())
            return
        with _memory() as clear:
            _decrypt(path, file, key, clear)
            yield _name(clear)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether nobody is reading a file; if so, nobody begins to until the block ends."""
    try:
        with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield True
    except BlockingIOError:
        yield False


@contextlib.contextmanager
def made(path: Path, key: DataKey | None) -> Iterator[str]:
    """A name to write a file of records under; when the block ends, it is durable at ``path``, encrypted if there is a key.

    Raises
    ------
    OSError
        The disk does not take it; nothing is left of it.
    """
    try:
        if key is None:
            yield str(path)
        else:
            with _memory() as clear:
                yield _name(clear)
                _encrypt(clear, path, key)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _decrypt(path: Path, file: BinaryIO, key: DataKey | None, clear: int) -> None:
    if key is None:
        message = f"{path} is encrypted, and its key is gone"
        raise IntegrityError(message, hint=f"restore {path.stem}.key from a copy")
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(MAGIC):
        message = f"{path} is no encrypted file of format {MAGIC[-1]}"
        raise IntegrityError(message, hint="restore it from a copy, or read it with the release that wrote it")
    _, chunk, size = _HEADER.unpack(header)
    for number in range(_pieces(size, chunk)):
        length = min(chunk, size - number * chunk)
        os.write(clear, _piece(path, key, number, file.read(length + TAG_BYTES), header))
    if file.read(1):
        message = f"{path} was changed: something follows its end"
        raise IntegrityError(message, hint="restore the file from a copy")


def _pieces(size: int, chunk: int) -> int:
    """How many pieces there are: at least one, so that the header of an empty content is vouched for too."""
    return max(1, -(-size // max(chunk, 1)))


def _encrypt(clear: int, path: Path, key: DataKey) -> None:
    size = os.fstat(clear).st_size
    header = _HEADER.pack(MAGIC, _CHUNK, size)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as target:
        target.write(header)
        for number in range(_pieces(size, _CHUNK)):
            target.write(key.seal(number, os.pread(clear, _CHUNK, number * _CHUNK), header))


def _piece(path: Path, key: DataKey, number: int, sealed: bytes, header: bytes) -> bytes:
    try:
        return key.open(number, sealed, header)
    except IntegrityError as error:
        message = f"{path} was changed, in its piece {number}"
        raise IntegrityError(message, hint="restore the file from a copy") from error


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[BinaryIO]:
    while True:
        with path.open("rb") as file:
            fcntl.flock(file, how)
            # Replaced while we waited: what has the name now is to be read.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return


@contextlib.contextmanager
def _memory() -> Iterator[int]:
    memory = os.memfd_create("records", os.MFD_CLOEXEC)
    try:
        yield memory
    finally:
        os.close(memory)


def _name(memory: int) -> str:
    return f"/proc/self/fd/{memory}"
