"""Records without ever holding up a request: encoded at once, written by one thread, group commit, and counted gaps."""

from __future__ import annotations

import dataclasses
import re
import threading
from pathlib import Path
from typing import Literal as OneOf
from typing import Protocol

from seakeep.clock import Clock
from seakeep.config import RecorderSettings
from seakeep.errors import IntegrityError, RecorderError
from seakeep.recorder.appender import Appender, Group
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.ledger import Ledger
from seakeep.recorder.recovery import settle, write_gap
from seakeep.records.prediction import EventBatch, Gap, Prediction

Reason = OneOf["overflow", "disk", "invalid"]

_NAME = re.compile(r"(?!.*-\d{8,}$)[a-z0-9][a-z0-9._-]{0,63}")  # no end that could be a number of a segment
_PATIENCE_S = 0.5
"""How long a new writer waits for whoever settles what its predecessor left."""


class Policy(Protocol):
    """What of a record may be written; see :class:`seakeep.recorder.policy.Policies`."""

    def apply(self, record: Prediction | EventBatch) -> Prediction | EventBatch:
        """The record as it may be written; RecorderError if that is not known."""
        ...


@dataclasses.dataclass(slots=True)
class _Lost:
    """Records dropped for one reason and not yet counted on disk."""

    sequence: int
    from_us: int
    to_us: int
    count: int = 0


class Writer:
    """The flight recorder's pen, used on the path of every request.

    :meth:`append` encodes a record into a bounded buffer and returns; a thread writes and syncs what has gathered every
    ``commit_ms``, and fills no other buffer meanwhile than the one that is empty. So the memory is bounded by
    ``queue_mb``, plus one record. What has no room (also because the disk is full) is dropped and counted, and the exact
    count is written as a :class:`~seakeep.records.prediction.Gap` as soon as anything can be written. Every number :meth:`next_sequence` hands out ends as one record or in the count of one gap, also across kill -9:
    the next writer of this name, or :func:`~seakeep.recorder.recovery.recover`, counts what the dead one left.

    Parameters
    ----------
    folder
        Where the segments are; made if it is not there.
    name
        Of this writer; no two live writers of a folder share one.
    clock
        Dates segments and gaps.
    settings
        Memory, commit and segment sizes.
    policy
        What of a record may be written; None keeps everything.
    keyring
        Gives every segment its key; None: they are not encrypted.

    Attributes
    ----------
    answers_wait
        Whether an answer must not go out before its record is committed.

    Raises
    ------
    RecorderError
        The name is not usable or taken, or the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        clock: Clock,
        settings: RecorderSettings,
        policy: Policy | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            message = f"{name!r} cannot name a writer"
            raise RecorderError(message, hint="use lower-case letters, digits, '.', '_' and '-'")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clock, self._policy, self._keyring = clock, policy, keyring
        self.answers_wait = settings.commit == "each"
        self._limit, self._interval_s = int(settings.queue_mb * (1 << 20)), settings.commit_ms / 1_000
        self._segment_bytes = settings.segment_mb << 20
        self._ledger = Ledger(folder, name, patience_s=_PATIENCE_S)
        try:
            settle(self._ledger, clock)
        except OSError as error:
            self._ledger.close()
            message = f"cannot settle what the last writer {name!r} left in {folder}: {error.strerror}"
            raise RecorderError(message, hint="make room on the disk") from error
        self._sequence = self._ledger.sequence
        self._ledger.answered = self._ledger.asked
        self._filling, self._writing = Group(), Group()
        self._segment: Appender | None = None
        self._lost: dict[Reason, _Lost] = {}
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._accepted = self._durable = self._taken = self._failures = 0
        self._fault: Exception | None = None
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"recorder-{name}", daemon=True)
        self._thread.start()

    # For requests

    def next_sequence(self, count: int = 1) -> int:
        """The next number of this writer, the first of ``count`` in a row; append a record that carries each."""
        with self._lock:
            first = self._sequence + 1
            self._sequence = self._ledger.sequence = self._sequence + count
        return first

    def append(self, record: Prediction | EventBatch) -> bool:
        """Record something soon; never blocks and never raises.

        Returns
        -------
        bool
            False if there was no room, or it cannot be encoded: the record is dropped, and will be counted in a gap.
        """
        with self._lock:
            if len(self._filling.buffer) + len(self._writing.buffer) >= self._limit or self._closing:
                self._drop(record, "disk" if self._fault else "overflow")
                return False
            try:
                self._filling.add(self._policy.apply(record) if self._policy else record)
            except (RecorderError, TypeError, ValueError):
                self._drop(record, "invalid")
                return False
            self._accepted += 1
        return True

    def commit(self) -> None:
        """Wait until every record that :meth:`append` took is on the disk.

        Raises
        ------
        RecorderError
            The disk did not take it. The records may reach it later; what is sent again must carry the same key.
        """
        with self._settled:
            target, failures = self._accepted, self._failures
            while self._durable < target and self._failures == failures and self._thread.is_alive():
                self._wake.set()
                self._settled.wait(1)
            if self._durable < target:
                message = f"the records could not be written: {self._fault}"
                raise RecorderError(message, hint="make room on the disk, then send it again")

    @property
    def waiting(self) -> int:
        """Records accepted and not yet on the disk."""
        return self._accepted - self._durable

    @property
    def alive(self) -> bool:
        """Whether anything can be written again: False once the thread has ended, by a fault of ours."""
        return self._thread.is_alive()

    @property
    def fault(self) -> str:
        """Why nothing can be written at present; ``""`` if it can."""
        return str(self._fault or "")

    def close(self) -> None:
        """Write what is queued, count what never came, seal the segment and stop.

        Raises
        ------
        RecorderError
            The disk did not take everything; the next writer of this name counts what is missing.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
        self._wake.set()
        self._thread.join()
        try:
            if self._segment:
                self._segment.seal()
            missing = self._ledger.sequence - self._ledger.accounted
            if missing > 0 and not self._fault:
                write_gap(self._ledger, self._clock, missing, from_us=0)
        except OSError as error:
            self._fault = error
        finally:
            self._ledger.close()
        if self._fault:
            message = f"the last records could not be written: {self._fault}"
            raise RecorderError(message, hint="make room on the disk; the next start counts what is missing")

    # In the thread

    def _run(self) -> None:
        try:
            self._work()
        finally:
            with self._settled:
                if not self._closing:  # a fault of ours: say so, in place of dropping in silence
                    self._fault = OSError("the recorder's thread has ended")
                self._settled.notify_all()

    def _work(self) -> None:
        closing = False
        while not closing:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            closing, asked = self._closing, self._ledger.asked
            while self._gather():
                if not self._write():
                    break
            else:
                if asked != self._ledger.answered:
                    self._seal(asked)

    def _gather(self) -> bool:
        """Take what has gathered, unless a group still waits for the disk; False if there is nothing."""
        if len(self._writing):
            return True
        with self._lock:
            # The group that was written is empty: its buffer is filled next.
            self._filling, self._writing = self._writing, self._filling
            self._taken = self._accepted
            lost, self._lost = self._lost, {}
        for reason, one in lost.items():
            gap = Gap(
                sequence=one.sequence,
                writer=self._ledger.writer,
                count=one.count,
                reason=reason,
                from_us=one.from_us,
                to_us=one.to_us,
            )
            self._writing.add(gap)
        return len(self._writing) > 0

    def _write(self) -> bool:
        """Write and sync the group; False if the disk did not take it, and it stays for the next time."""
        try:
            self._segment = self._segment or Appender(self._ledger, self._clock.now_us(), self._keyring)
            self._segment.write(self._writing)
            if self._segment.size >= self._segment_bytes:
                segment, self._segment = self._segment, None
                segment.seal()
        except (OSError, IntegrityError) as error:  # the disk, or the wrapping key
            self._segment = None
            with self._settled:
                self._fault = error
                self._failures += 1
                self._settled.notify_all()
            return False
        with self._settled:
            self._fault = None
            self._durable = self._taken
            self._settled.notify_all()
        return True

    def _seal(self, asked: int) -> None:
        """Begin another segment, because another process asked for it."""
        segment, self._segment = self._segment, None
        try:
            if segment:
                segment.seal()
            self._ledger.answered = asked
        except OSError as error:
            self._fault = error

    def _drop(self, record: Prediction | EventBatch, reason: Reason) -> None:
        """Count a record that is not kept; the lock is held."""
        moment_us = record.recorded_us
        lost = self._lost.setdefault(reason, _Lost(record.sequence, moment_us, moment_us))
        lost.count += 1
        lost.from_us, lost.to_us = min(lost.from_us, moment_us), max(lost.to_us, moment_us)
