"""Takes all records of a subject out of a recorder folder: out of what is being written, sealed or compacted.

Each file that names the subject is written anew without it; the new file takes the place of the old one in the moment it
gets its name (:mod:`seakeep.recorder.layout`), and has a key of its own if it is encrypted. So a crash at any moment
leaves every other record visible exactly once, and the same call again ends what was begun. Predictions that go are
counted in a gap, which does not say whose they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from seakeep.clock import Clock
from seakeep.errors import RecorderError
from seakeep.recorder import parquet, stored
from seakeep.recorder.appender import Group, write_segment
from seakeep.recorder.container import alone
from seakeep.recorder.keyring import Keyring, sweep, unlock
from seakeep.recorder.layout import Part, parts, revised_path, sync_folder, writers
from seakeep.recorder.ledger import Ledger, ask_to_seal
from seakeep.recorder.recovery import settle
from seakeep.recorder.segment import SegmentReader, read_segment
from seakeep.recorder.subject import Subject, without_rows
from seakeep.recorder.upkeep import remove, upkeep
from seakeep.records.prediction import EventBatch, Gap, Prediction, Record

PATIENCE_S = 60.0
"""How long to wait for compaction, and for who reads a file that is to go, in seconds."""

_TEMPORARY = ".tmp"


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken out of a folder.

    Attributes
    ----------
    predictions, events
        How many.
    files
        How many files were written anew.
    unreadable
        Files with damage: what cannot be read cannot be vouched for.
    """

    predictions: int = 0
    events: int = 0
    files: int = 0
    unreadable: tuple[str, ...] = ()

    def __add__(self, other: Erased) -> Erased:
        return Erased(
            predictions=self.predictions + other.predictions,
            events=self.events + other.events,
            files=self.files + other.files,
            unreadable=self.unreadable + other.unreadable,
        )


def erase(folder: Path, subject: Subject, *, clock: Clock, keyring: Keyring | None = None) -> Erased:
    """Take a subject out of a folder, also while writers write there.

    What its writers have taken in before the call is reached; living writers seal their segments for it.

    Parameters
    ----------
    keyring
        Gives new files their keys; needed if a file that names the subject is encrypted.

    Raises
    ------
    RecorderError
        Another process keeps the folder, a writer does not answer, a reader does not let go of a file, or the disk is
        full. What is done is done; the same call again does the rest.
    """
    if not folder.is_dir():
        return Erased()
    with upkeep(folder, patience_s=PATIENCE_S) as ours:
        if not ours:
            message = f"another process is busy with the files of {folder}"
            raise RecorderError(message, hint="try again in a moment")
        _seal(folder, clock)
        for stale in folder.glob(f"*{_TEMPORARY}"):
            stale.unlink()
        counting, covered = parts(folder)
        _remove(covered)
        done = Erased()
        for part in counting:
            if part.state != "open":
                done += _erase(part, subject, clock.now_us(), keyring)
        sweep(folder)
    return done


def count(folder: Path, subject: Subject) -> Erased:
    """What :func:`erase` would take out now, as far as it is on the disk."""
    found = Erased()
    for part in parts(folder)[0]:
        if part.state == "parquet":
            found += Erased(predictions=len(_sequences(part.path, subject)))
        else:
            reader = read_segment(part.path)
            for record in _records(reader, subject):
                found += _counted(record, subject)
    return found


def _seal(folder: Path, clock: Clock) -> None:
    """Let all writers bring what they hold to files that are sealed; settle those that died."""
    for writer in writers(folder):
        while not ask_to_seal(folder, writer):
            try:
                ledger = Ledger(folder, writer)
            except RecorderError:
                continue  # another process became this writer meanwhile: ask it
            try:
                settle(ledger, clock)
            finally:
                ledger.close()
            break


def _erase(part: Part, subject: Subject, now_us: int, keyring: Keyring | None) -> Erased:
    try:
        return (_from_parquet if part.state == "parquet" else _from_segment)(part, subject, now_us, keyring)
    except OSError as error:
        message = f"cannot write {revised_path(part)}: {error.strerror}"
        raise RecorderError(message, hint="make room on the disk, and erase again") from error


def _from_parquet(part: Part, subject: Subject, now_us: int, keyring: Keyring | None) -> Erased:
    sequences = _sequences(part.path, subject)
    if not sequences:
        return Erased()
    target = revised_path(part)
    temporary = target.with_suffix(_TEMPORARY)
    key = _keyring(part, keyring).create(target.stem) if unlock(part.path) else None
    gap = _gap(part.writer, sequences, now_us)
    parquet.rewrite(part.path, temporary, without=sequences, gap=gap, key=key)
    _replace(part, temporary, target)
    return Erased(predictions=len(sequences), files=1)


def _from_segment(part: Part, subject: Subject, now_us: int, keyring: Keyring | None) -> Erased:
    reader = read_segment(part.path)
    header = reader.header()
    if header is None:
        return Erased(unreadable=(part.path.name,))
    if reader.key is None and not subject.may_be_in(reader.buffer):
        return Erased()
    found = Erased()
    kept, gone = Group(), []
    for record in reader.records():
        found += _counted(record, subject)
        if isinstance(record, Prediction) and subject.asked(record):
            gone.append(record.sequence)
        elif isinstance(record, EventBatch) and (rows := subject.told(record)):
            kept.add(without_rows(record, rows))
        else:
            kept.add(record)
    reader.finish()
    if reader.damage:
        return Erased(unreadable=(part.path.name,))
    if found == Erased():
        return found
    if gone:
        kept.add(_gap(part.writer, gone, now_us))
    target = revised_path(part)
    temporary = target.with_suffix(_TEMPORARY)
    key = _keyring(part, keyring).create(target.stem) if reader.key else None
    write_segment(temporary, header, kept, key)
    _replace(part, temporary, target)
    return found + Erased(files=1)


def _sequences(path: Path, subject: Subject) -> list[int]:
    candidates = stored.chosen(path, subject.condition)
    return [one.sequence for one in candidates if subject.asked(one)]


def _records(reader: SegmentReader, subject: Subject) -> Iterator[Record]:
    if reader.header() and (reader.key or subject.may_be_in(reader.buffer)):
        yield from reader.records()


def _counted(record: Record, subject: Subject) -> Erased:
    if isinstance(record, Prediction):
        return Erased(predictions=int(subject.asked(record)))
    return Erased(events=len(subject.told(record))) if isinstance(record, EventBatch) else Erased()


def _gap(writer: str, sequences: list[int], now_us: int) -> Gap:
    return Gap(
        sequence=min(sequences),
        writer=writer,
        count=len(sequences),
        reason="erased",
        from_us=now_us,
        to_us=now_us,
    )


def _keyring(part: Part, keyring: Keyring | None) -> Keyring:
    if keyring is None:
        message = f"{part.path.name} is encrypted, and so must be what takes its place"
        raise RecorderError(message, hint="set recorder.encrypt = true, and erase again")
    return keyring


def _replace(part: Part, temporary: Path, target: Path) -> None:
    temporary.rename(target)
    sync_folder(target.parent)
    _remove([part])


def _remove(gone: list[Part]) -> None:
    """Remove files as soon as nobody reads them: what is mapped is still on the disk."""
    until_s = time.monotonic() + PATIENCE_S
    for part in gone:
        while not _removed(part):
            if time.monotonic() > until_s:
                message = f"{part.path} is being read and cannot go"
                raise RecorderError(message, hint="end the program that reads it, and erase again")
            time.sleep(0.05)


def _removed(part: Part) -> bool:
    with alone(part.path) as free:
        if free:
            remove([part])
        return free
