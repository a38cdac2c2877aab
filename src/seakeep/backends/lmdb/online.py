"""The online store on LMDB: many processes read while any one writes.

Writes are not synced to disk one by one: what a killed process committed is safe in the page cache, but a host that
loses power may tear the file. The store holds only what history and the event log can give again, so after every boot
of the host it starts empty and must be filled again (:mod:`seakeep.features.materialise`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from seakeep.backends.lmdb.scrub import scrub
from seakeep.errors import PlatformError
from seakeep.features.online import OnlineTransaction, Snapshot
from seakeep.security.residue import places

T = TypeVar("T")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAP_BYTES = 1 << 30
_READERS = 512


class LmdbOnlineStore:
    """Keys and values in a folder.

    Open it once in a process, after any fork, and use it from one thread.

    Parameters
    ----------
    path
        The folder; made on first use.
    map_bytes
        Size of the memory map to start with; it doubles when it is full. The file takes only what is used.

    Raises
    ------
    PlatformError
        The folder cannot be used.
    """

    def __init__(self, path: Path, *, map_bytes: int = _MAP_BYTES) -> None:
        self._path, self._map_bytes = path, map_bytes
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(path):
                self.rebuilt = _start_afresh_after_boot(path)
                self._environment = _open(path, map_bytes)
            # Readers that were killed would keep old pages from being used again.
            self._environment.reader_check()
        except (OSError, lmdb.Error) as error:
            raise PlatformError(
                f"cannot open the online store in {path}: {error}", hint="check free space, rights and other processes"
            ) from error

    def read(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent view; its values are memory of the store, valid only inside."""
        try:
            transaction: AbstractContextManager[Snapshot] = self._environment.begin(buffers=True)
        except lmdb.MapResizedError:
            # Another process let the map grow: take its size.
            self._environment.set_mapsize(0)
            transaction = self._environment.begin(buffers=True)
        return transaction

    def update(self, change: Callable[[OnlineTransaction], T]) -> T:
        """Run a change in one transaction; nothing remains of one that raises.

        Raises
        ------
        PlatformError
            The disk is full.
        """
        return self._update(lambda transaction: change(_Transaction(transaction)))

    def scrub(self, texts: Sequence[bytes]) -> int:
        """Write over what was deleted; how often any of the texts is still in the file.

        The memory of other processes that have written to the store is not reached: they may bring a deleted text
        back into the file until they end.
        """
        # Begun anew, because pages that this process has written before are used again as they are.
        self._environment.close()
        self._environment = _open(self._path, self._map_bytes)
        self._environment.reader_check()
        scrub(self._environment, self._update)
        return places(self._path / "data.mdb", texts)

    def close(self) -> None:
        """Let go of the store."""
        self._environment.close()

    def _update(self, change: Callable[[Any], T]) -> T:
        while True:
            try:
                with self._environment.begin(write=True, buffers=True) as transaction:
                    return change(transaction)
            except lmdb.MapResizedError:
                self._environment.set_mapsize(0)
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
            except lmdb.DiskError as error:
                raise PlatformError(f"the online store cannot be written: {error}", hint="free some disk") from error


def _open(path: Path, map_bytes: int) -> Any:
    while True:
        with suppress(lmdb.MapResizedError):  # another process let the map grow meanwhile: take its size
            return lmdb.open(
                str(path), map_size=map_bytes, max_readers=_READERS, sync=False, metasync=False, mode=0o600
            )


class _Transaction:
    """One LMDB transaction, as the port says it."""

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self.get: Callable[[bytes], memoryview | None] = transaction.get

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value under a key."""
        self._transaction.put(key, value)

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        self._transaction.delete(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys with the prefix and their values, in the order of keys."""
        with self._transaction.cursor() as cursor:
            more = cursor.set_range(prefix)
            while more and bytes(cursor.key()).startswith(prefix):
                yield bytes(cursor.key()), bytes(cursor.value())
                more = cursor.next()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the folder's lock; it is let go of even when the process is killed."""
    descriptor = os.open(path / "open.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _start_afresh_after_boot(path: Path) -> bool:
    boot = _BOOT_ID.read_text("ascii").strip()
    note = path / "boot"
    if note.exists() and note.read_bytes() == boot.encode():
        return False
    old = [path / "data.mdb", path / "lock.mdb"]
    found = any(file.exists() for file in old)
    for file in old:
        file.unlink(missing_ok=True)
    note.write_text(boot, "utf-8")
    return found
