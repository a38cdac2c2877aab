"""The keys of an encrypted recorder folder: one for each file of records, each under the wrapping key.

``{stem}.key`` holds the key of the file of that stem, wrapped, as JSON: ``key`` is the id of the wrapping key, and
``wrapped`` the nonce, ciphertext and tag in base 64. ``wrapping-key`` says in which file the wrapping key is. While a
rotation is under way the key before it lies beside it, as ``{name}.old``. A file of records without a ``.key`` beside it
is not encrypted.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from seakeep.errors import IntegrityError, RecorderError
from seakeep.recorder.layout import KEY, parts, place_of, remove_asides, write_aside
from seakeep.security.envelope import DataKey, WrappingKey
from seakeep.security.secret import fresh_secret, load_or_create_secret, load_secret, replace_secret

POINTER = "wrapping-key"
"""File in a recorder folder with the path of the wrapping key, absolute or relative to the folder."""

_LOCK = "keys.lock"
_OLD = ".old"
_LOOKS = 3
"""A rotation that ends between the look at a file's key and the look at the wrapping keys makes another look needed."""


class _Wrapped(msgspec.Struct, frozen=True):
    key: str
    wrapped: str


class Keyring:
    """Makes the keys of new files.

    Parameters
    ----------
    folder
        The recorder's folder.
    path
        File with the wrapping key; made if it is not there.

    Raises
    ------
    IntegrityError, PlatformError
        The wrapping key cannot be used.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder, self._path = folder, path.absolute()
        load_or_create_secret(self._path)
        where = os.path.relpath(self._path, folder.absolute())
        pointer = folder / POINTER
        if not pointer.exists() or pointer.read_text("utf-8") != where:
            write_aside(pointer, where.encode())

    def create(self, stem: str) -> DataKey:
        """A new key for the file of that stem; durable before anything is encrypted with it."""
        key = DataKey(fresh_secret())
        # A rotation waits, so that no key is wrapped in what has just become the old wrapping key.
        with _locked(self._folder, fcntl.LOCK_SH):
            _write(self._folder / f"{stem}{KEY}", key, WrappingKey(load_secret(self._path)))
        return key


def unlock(path: Path) -> DataKey | None:
    """The key of a file of records; None if it is not encrypted.

    Raises
    ------
    IntegrityError
        The key was changed, or the wrapping key is not there.
    """
    for _ in range(_LOOKS):
        try:
            found = _read(path.with_suffix(KEY))
        except FileNotFoundError:
            return None
        for wrapping in _wrapping_keys(path.parent):
            if wrapping.id == found.key:
                return wrapping.unwrap(base64.b64decode(found.wrapped), path.stem)
    message = f"the key of {path.name} is under the wrapping key {found.key}, which is not in {_pointer(path.parent)}"
    raise IntegrityError(message, hint="put that key back, as the file's name with .old added if there is a newer one")


def rotate(folders: Sequence[Path], path: Path) -> int:
    """Take another wrapping key, and wrap every file's key in it. The records themselves are not written anew.

    Safe to repeat after a crash, and while writers write: what was begun is brought to its end. If the key before
    lies beside the wrapping key already (``.old``, put there by hand or by a rotation that was cut off), no new key is
    made: the rotation to the present one is brought to its end.

    Parameters
    ----------
    folders
        All recorder folders whose keys are under it.
    path
        File with the wrapping key.

    Returns
    -------
    int
        How many keys were wrapped anew.
    """
    old = path.with_name(path.name + _OLD)
    known = [folder for folder in folders if folder.is_dir()]
    if not old.exists() or load_secret(old) == load_secret(path):
        with contextlib.ExitStack() as locks:
            for folder in known:
                locks.enter_context(_locked(folder, fcntl.LOCK_EX))
            load_or_create_secret(old, load_secret(path))
            replace_secret(path, fresh_secret())
    before = {key.id: key for key in (WrappingKey(load_secret(old)), WrappingKey(load_secret(path)))}
    now = WrappingKey(load_secret(path))
    count = sum(_rewrap(key, before, now) for folder in known for key in sorted(folder.glob(f"*{KEY}")))
    old.unlink()
    return count


def sweep(folder: Path) -> None:
    """Remove the keys of files that are gone. No other process may be compacting."""
    counting, covered = parts(folder)
    stems = {part.path.stem for part in (*counting, *covered)}
    newest = {part.writer: part.last for part in counting}
    for path in folder.glob(f"*{KEY}"):
        # A key is there before its file: one that a writer has made for its next segment is left alone.
        writer, last, is_segment = place_of(path.stem)
        if path.stem not in stems and (not is_segment or last < newest.get(writer, 0)):
            path.unlink(missing_ok=True)
    remove_asides(folder)


def _rewrap(path: Path, before: dict[str, WrappingKey], now: WrappingKey) -> bool:
    try:
        found = _read(path)
    except FileNotFoundError:
        return False  # its file went meanwhile
    if found.key == now.id:
        return False
    if found.key not in before:
        message = f"{path.name} is under an unknown wrapping key, {found.key}"
        raise RecorderError(message, hint="put that key back beside the present one, as .old, and rotate again")
    _write(path, before[found.key].unwrap(base64.b64decode(found.wrapped), path.stem), now)
    return True


def _write(path: Path, key: DataKey, wrapping: WrappingKey) -> None:
    wrapped = base64.b64encode(wrapping.wrap(key, path.stem)).decode()
    write_aside(path, msgspec.json.encode(_Wrapped(wrapping.id, wrapped)))


def _read(path: Path) -> _Wrapped:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Wrapped)
    except msgspec.DecodeError as error:
        raise IntegrityError(f"{path} was changed: {error}", hint="restore the file from a copy") from error


def _wrapping_keys(folder: Path) -> Iterator[WrappingKey]:
    path = _pointer(folder)
    for one in (path, path.with_name(path.name + _OLD)):
        if one is path or one.exists():
            yield WrappingKey(load_secret(one))


def _pointer(folder: Path) -> Path:
    try:
        return folder / (folder / POINTER).read_text("utf-8")
    except OSError as error:
        message = f"{folder} has encrypted records and does not say where the wrapping key is: {error.strerror}"
        raise IntegrityError(message, hint=f"write the path of the key into {POINTER}") from error


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, how)
        yield
    finally:
        os.close(lock)
