"""A writer's ledger: how far it came, in memory that outlives the process.

Five unsigned 64-bit numbers, little-endian, in a file that is mapped into memory: the last sequence number handed out,
the number of the last segment begun, how many sequence numbers were accounted for when the last segment was sealed, how
often others have asked the writer to seal its segment (:func:`ask_to_seal`), and how many of these the writer has
answered. A store costs nanoseconds and survives kill -9 (the page belongs to the kernel), though not the loss of power:
there a group commit is what counts. The file is locked while its writer lives, so that a dead writer is told from a
slow one.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from pathlib import Path

from seakeep.errors import RecorderError
from seakeep.recorder.layout import ledger_path

_FORM = struct.Struct("<QQQQQ")


class Ledger:
    """The ledger of one writer, held by one process.

    Parameters
    ----------
    folder, writer
        Whose ledger; made if it is not there.
    patience_s
        How long to wait for whoever settles what the last writer left.

    Raises
    ------
    RecorderError
        Another process holds it, or the file cannot be made.
    """

    def __init__(self, folder: Path, writer: str, *, patience_s: float = 0.0) -> None:
        self.folder, self.writer = folder, writer
        path = ledger_path(folder, writer)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            message = f"cannot open {path}: {error.strerror}"
            raise RecorderError(message, hint="the recorder's folder must be writable") from error
        try:
            self._map = self._mapped(path, time.monotonic() + patience_s)
        except BaseException:
            os.close(self._file)
            raise
        self._numbers = memoryview(self._map).cast("Q")

    def _mapped(self, path: Path, until_s: float) -> mmap.mmap:
        try:
            while not _locked(self._file):
                if time.monotonic() > until_s:
                    message = f"another process writes as {self.writer!r} in {self.folder}"
                    raise RecorderError(message, hint="give every process its own writer name")
                time.sleep(0.005)
            size = os.fstat(self._file).st_size
            if size < _FORM.size:
                # Real bytes, synced: a store to a mapped hole would kill the process when the disk is full.
                os.pwrite(self._file, bytes(_FORM.size - size), size)
                os.fsync(self._file)
            return mmap.mmap(self._file, _FORM.size)
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

    @property
    def asked(self) -> int:
        """How often the writer was asked to seal its segment."""
        return self._numbers[3]

    @property
    def answered(self) -> int:
        """How many of the requests to seal were dealt with."""
        return self._numbers[4]

    @answered.setter
    def answered(self, value: int) -> None:
        self._numbers[4] = value

    def close(self) -> None:
        """Let go of the ledger; another process may take it."""
        self._numbers.release()
        self._map.flush()
        self._map.close()
        os.close(self._file)


def ask_to_seal(folder: Path, writer: str, *, patience_s: float = 10.0) -> bool:
    """Have a living writer write what it has queued and begin another segment. One process at a time may ask.

    Returns
    -------
    bool
        False if no process holds the ledger: the writer is dead, and may be settled.

    Raises
    ------
    RecorderError
        The writer did not answer in time, as when its disk is full.
    """
    path = ledger_path(folder, writer)
    file = os.open(path, os.O_RDWR)
    try:
        number = _number(file, 3) + 1
        os.pwrite(file, struct.pack("<Q", number), 8 * 3)
        until_s = time.monotonic() + patience_s
        while _number(file, 4) < number:
            if not _is_held(path):
                return False
            if time.monotonic() > until_s:
                message = f"the writer {writer!r} in {folder} did not seal its segment"
                raise RecorderError(message, hint="see whether its disk is full, and try again")
            time.sleep(0.005)
    finally:
        os.close(file)
    return True


def accounted_by(folder: Path, writer: str) -> int:
    """How many numbers of a writer were recorded or counted in a gap when its last segment was sealed."""
    file = os.open(ledger_path(folder, writer), os.O_RDONLY)
    try:
        return _number(file, 2)
    finally:
        os.close(file)


def _number(file: int, place: int) -> int:
    return int.from_bytes(os.pread(file, 8, 8 * place), "little")


def _is_held(path: Path) -> bool:
    file = os.open(path, os.O_RDWR)
    try:
        return not _locked(file)
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    """Lock a ledger, if nobody else holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
