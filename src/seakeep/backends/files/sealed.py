"""Sealed folders: immutable, named by their content, signed, and verified byte for byte at every read."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from seakeep.errors import IntegrityError, NotFoundError, PlatformError
from seakeep.records.version import FileEntry, Manifest
from seakeep.security.signing import Signer, Verifier, canonical

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ASIDE = ".putting-"
_LEFT = re.compile(rf"{re.escape(_ASIDE)}([0-9]{{1,10}})-[0-9a-f]+")


class SealedFolders:
    """Folders of files with a signed manifest, each named by the SHA-256 of its canonical manifest.

    Parameters
    ----------
    root
        Where the folders are.
    signer
        Signs what is put; None where folders are only read.
    verifier
        Checks what is read.
    """

    def __init__(self, root: Path, *, signer: Signer | None, verifier: Verifier) -> None:
        self._root, self._signer, self._verifier = root, signer, verifier

    def put(self, files: Mapping[str, bytes], *, model: str, run: str, created_us: int) -> str:
        """Seal files in a folder: all of it appears at once, or nothing does.

        Returns
        -------
        str
            The folder's digest; the same for the same content.

        Raises
        ------
        PlatformError
            The disk does not take it; nothing is left behind.
        """
        if self._signer is None:
            raise PlatformError(f"{self._root} is open for reading alone", hint="seal where the signing key is")
        entries = tuple(
            FileEntry(path=_checked(name), size=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name, content in sorted(files.items())
        )
        manifest = canonical(Manifest(model=model, run=run, created_us=created_us, files=entries))
        digest = hashlib.sha256(manifest).hexdigest()
        target = self._root / digest
        aside = self._root / f"{_ASIDE}{os.getpid()}-{secrets.token_hex(8)}"
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            if target.exists():
                self.read(digest)
                return digest
            aside.mkdir(mode=0o700)
            for name, content in (*files.items(), (MANIFEST, manifest), (SIGNATURE, self._signer.sign(manifest))):
                _write(aside / name, content)
            _sync(aside)
            try:
                aside.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
                self.read(digest)  # somebody else put the same
            _sync(self._root)
        except OSError as error:
            message = f"cannot store {target}: {error.strerror}"
            raise PlatformError(message, hint="check free space and rights; nothing was changed") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return digest

    def manifest(self, digest: str) -> Manifest:
        """The verified manifest of a folder.

        Raises
        ------
        NotFoundError
            There is no such folder.
        IntegrityError
            The manifest or its signature was changed.
        """
        folder = self._root / digest
        if not _DIGEST.fullmatch(digest) or not folder.is_dir():
            raise NotFoundError(f"there is nothing stored as {digest[:12]!r}", hint="restore it from a backup")
        content = _read(folder / MANIFEST)
        if hashlib.sha256(content).hexdigest() != digest:
            raise IntegrityError(f"{MANIFEST} of {digest[:12]} was changed", hint="restore it from a backup")
        self._verifier.verify(content, _read(folder / SIGNATURE))
        manifest = msgspec.json.decode(content, type=Manifest)
        expected = {MANIFEST, SIGNATURE, *(entry.path for entry in manifest.files)}
        if odd := {entry.name for entry in folder.iterdir()} ^ expected:
            name = min(odd)
            what = "is missing from" if name in expected else "does not belong to"
            raise IntegrityError(f"{name} {what} {digest[:12]}", hint="restore it from a backup")
        return manifest

    def read(self, digest: str) -> dict[str, bytes]:
        """All files of a folder, by name, each verified; NotFoundError and IntegrityError as :meth:`manifest`."""
        return {entry.path: self._content(digest, entry) for entry in self.manifest(digest).files}

    def read_file(self, digest: str, name: str) -> bytes:
        """One file of a folder, verified; NotFoundError and IntegrityError as :meth:`manifest`."""
        for entry in self.manifest(digest).files:
            if entry.path == name:
                return self._content(digest, entry)
        raise NotFoundError(f"there is no {name} in {digest[:12]}", hint="it was stored by another version of seakeep")

    def _content(self, digest: str, entry: FileEntry) -> bytes:
        content = _read(self._root / digest / _checked(entry.path))
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise IntegrityError(f"{entry.path} of {digest[:12]} was changed", hint="restore it from a backup")
        return content

    def _sweep(self) -> None:
        """Remove what a process left that was killed while it put something."""
        for left in self._root.glob(f"{_ASIDE}*"):
            owner = _LEFT.fullmatch(left.name)
            if owner and int(owner[1]) != os.getpid() and not Path(f"/proc/{owner[1]}").exists():
                shutil.rmtree(left, ignore_errors=True)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or name in {MANIFEST, SIGNATURE}:
        raise IntegrityError(
            f"{name!r} cannot name a file of a sealed folder",
            hint=f"use lower-case letters and digits, and neither {MANIFEST} nor {SIGNATURE}",
        )
    return name


def _read(path: Path) -> bytes:
    try:
        # Not to wait for a writer, should a pipe stand there.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                with os.fdopen(handle, "rb", closefd=False) as file:
                    return file.read()
        finally:
            os.close(handle)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}", hint="restore it from a backup") from error
    raise IntegrityError(f"{path} is not a file", hint="restore it from a backup")


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
