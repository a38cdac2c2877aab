"""The online store on LMDB: many processes read while any one writes.

Writes are not synced to disk one by one: what a killed process committed is safe in the page cache, but a host that
loses power may tear the file. The store holds only what history and the event log can give again, so after every boot
of the host it starts empty and must be filled again (:mod:`seakeep.features.materialise`).

The memory map is as large as the store may ever become and never changes: LMDB moves it when it grows, under the feet of
whatever else reads in this process (http://www.lmdb.tech/doc/group__mdb.html, ``mdb_env_set_mapsize``). It is address
space alone; the file and the memory take what is used.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from seakeep.backends.lmdb.scrub import scrub
from seakeep.errors import PlatformError
from seakeep.features.online import OnlineTransaction, Snapshot
from seakeep.security.residue import places

T = TypeVar("T")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAP_BYTES = 1 << 37
_READERS = 512


class LmdbOnlineStore:
    """Keys and values in a folder.

    Open it once in a process, after any fork. Any thread may read and update; none while it scrubs or closes.

    Parameters
    ----------
    path
        The folder; made on first use.
    map_bytes
        What the store may take at most; the file takes only what is used.

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
        view: AbstractContextManager[Snapshot] = self._environment.begin(buffers=True)
        return view

    def update(self, change: Callable[[OnlineTransaction], T]) -> T:
        """Run a change in one transaction; nothing remains of one that raises.

        Raises
        ------
        PlatformError
            The disk is full, or the store.
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
        try:
            with self._environment.begin(write=True, buffers=True) as transaction:
                return change(transaction)
        except lmdb.MapFullError as error:
            message = f"the online store in {self._path} is full: it may take {self._map_bytes >> 20} MiB"
            raise PlatformError(message, hint="let models use fewer views, or keep fewer entities") from error
        except lmdb.DiskError as error:
            raise PlatformError(f"the online store cannot be written: {error}", hint="free some disk") from error


def _open(path: Path, map_bytes: int) -> Any:
    return lmdb.open(str(path), map_size=map_bytes, max_readers=_READERS, sync=False, metasync=False, mode=0o600)


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
