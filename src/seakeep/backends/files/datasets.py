"""Dataset versions in a folder, each file addressed by its content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from pathlib import Path

import msgspec

from seakeep.errors import IntegrityError, NotFoundError, PlatformError
from seakeep.records.dataset import DatasetVersion

_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileDatasetStore:
    """Chunks under ``chunks/`` and manifests under ``versions/``, readable by the owner alone.

    A file appears whole or not at all (written aside, synced, renamed). Links are refused when read: a file reached
    by a second name could be changed behind the store's back.

    Parameters
    ----------
    root
        The folder; made on first use.
    """

    def __init__(self, root: Path) -> None:
        self._chunks = root / "chunks"
        self._versions = root / "versions"
        for folder in (root, self._chunks, self._versions):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise PlatformError(f"cannot make {folder}: {error.strerror}", hint="check its rights") from error

    def put_chunk(self, content: bytes) -> str:
        """Store the bytes once, durably; returns their SHA-256 as hexadecimal digits."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self._chunks / f"{sha256}.parquet"
        # A damaged or linked file of this name is replaced: the bytes at hand are known to be right.
        if not _holds(path, content):
            _write(path, content)
        return sha256

    def get_chunk(self, sha256: str) -> Path:
        """A local file with the chunk; not yet verified.

        Raises
        ------
        IntegrityError
            The chunk is not there, or is a link.
        """
        path = self._chunks / f"{_checked(sha256)}.parquet"
        _refuse_links(path)
        return path

    def put_manifest(self, version: DatasetVersion) -> None:
        """Store the manifest of a version; a version that is already there stays as it is."""
        path = self._versions / f"{_checked(version.id)}.json"
        if not path.exists():
            _write(path, msgspec.json.format(msgspec.json.encode(version), indent=1))

    def get_manifest(self, version_id: str) -> DatasetVersion | None:
        """The manifest of a version, or None.

        Raises
        ------
        IntegrityError
            The file is a link or not a manifest.
        """
        path = self._versions / f"{_checked(version_id)}.json"
        if not path.exists():
            return None
        _refuse_links(path)
        try:
            return msgspec.json.decode(path.read_bytes(), type=DatasetVersion)
        except ValueError as error:  # malformed, or not UTF-8
            raise IntegrityError(
                f"the manifest of data version {version_id[:12]} was changed: {error}", hint="take a new snapshot"
            ) from error

    def manifests(self) -> list[str]:
        """Ids of all versions."""
        return sorted(path.stem for path in self._versions.glob("*.json"))


def _checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise NotFoundError(f"{digest!r} is not the id of a data version or chunk", hint="ids have 64 digits, 0-9 a-f")
    return digest


def _holds(path: Path, content: bytes) -> bool:
    try:
        _refuse_links(path)
    except IntegrityError:
        return False
    return path.read_bytes() == content


def _refuse_links(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError as error:
        raise IntegrityError(f"{path.name} is missing from the data store", hint="restore it from a backup") from error
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise IntegrityError(f"{path.name} in the data store is a link", hint="restore the file from a backup")


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise PlatformError(f"cannot write {path}: {error.strerror}", hint="check free space and rights") from error
