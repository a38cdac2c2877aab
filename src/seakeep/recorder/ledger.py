"""A writer's ledger: how far it came, in memory that outlives the process.

Three unsigned 64-bit numbers in a file that is mapped into memory: the last sequence number handed out, the number of
the last segment begun, and how many sequence numbers were accounted for when the last segment was sealed. A store
costs nanoseconds and survives kill -9 (the page belongs to the kernel), though not the loss of power: there a group
commit is what counts. The file is locked while its writer lives, so that a dead writer is told from a slow one.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from pathlib import Path

from seakeep.errors import RecorderError
from seakeep.recorder.layout import ledger_path

_FORM = struct.Struct("<QQQ")


class Ledger:
    """The ledger of one writer, held by one process.

    Parameters
    ----------
    folder, writer
        Whose ledger; made if it is not there.

    Raises
    ------
    RecorderError
        Another process holds it, or the file cannot be made.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        self.folder, self.writer = folder, writer
        path = ledger_path(folder, writer)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            message = f"cannot open {path}: {error.strerror}"
            raise RecorderError(message, hint="the recorder's folder must be writable") from error
        try:
            self._map = self._mapped(path)
        except BaseException:
            os.close(self._file)
            raise
        self._numbers = memoryview(self._map).cast("Q")

    def _mapped(self, path: Path) -> mmap.mmap:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._file).st_size < _FORM.size:
                # Real bytes, synced: a store to a mapped hole would kill the process when the disk is full.
                os.pwrite(self._file, _FORM.pack(0, 0, 0), 0)
                os.fsync(self._file)
            return mmap.mmap(self._file, _FORM.size)
        except BlockingIOError as error:
            message = f"another process writes as {self.writer!r} in {self.folder}"
            raise RecorderError(message, hint="give every process its own writer name") from error
        except OSError as error:
            message = f"cannot prepare {path}: {error.strerror}"
            raise RecorderError(message, hint="make room on the disk") from error

    @property
    def sequence(self) -> int:
        """The last sequence number handed out."""
        return self._numbers[0]

    @sequence.setter
    def sequence(self, value: int) -> None:
        self._numbers[0] = value

    @property
    def segment(self) -> int:
        """The number of the last segment begun."""
        return self._numbers[1]

    @segment.setter
    def segment(self, value: int) -> None:
        self._numbers[1] = value

    @property
    def accounted(self) -> int:
        """Sequence numbers recorded or counted in a gap, when the last segment was sealed."""
        return self._numbers[2]

    @accounted.setter
    def accounted(self, value: int) -> None:
        self._numbers[2] = value

    def close(self) -> None:
        """Let go of the ledger; another process may take it."""
        self._numbers.release()
        self._map.flush()
        self._map.close()
        os.close(self._file)
