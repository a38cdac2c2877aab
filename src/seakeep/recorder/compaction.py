"""Turns sealed segments of predictions into Parquet, so that each record stays visible exactly once at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from seakeep.errors import IntegrityError, RecorderError
from seakeep.recorder import parquet
from seakeep.recorder.keyring import Keyring, sweep
from seakeep.recorder.layout import Part, parquet_path, parts, sync_folder
from seakeep.recorder.segment import read_segment
from seakeep.recorder.upkeep import remove, upkeep
from seakeep.records.prediction import Record

MAX_BYTES = 256 << 20
"""Segments that become one file have at most this size together."""

_TEMPORARY = ".tmp"


def compact(folder: Path, keyring: Keyring | None = None) -> list[Path]:
    """Make Parquet of every run of sealed segments.

    The new file takes the place of its segments when it gets its name; then they are removed. A crash before leaves
    the segments, a crash after leaves segments that do not count and that the next call removes. A segment with
    damage stays as it is. Two calls at a time do not meet: the second does nothing.

    Parameters
    ----------
    keyring
        Encrypts the files. Without one, segments that are encrypted stay as they are.

    Returns
    -------
    list of Path
        The files made.

    Raises
    ------
    RecorderError
        The folder holds something else than predictions, or the disk is full; nothing has changed then.
    """
    if not folder.is_dir():
        return []
    with upkeep(folder) as ours:
        if not ours:
            return []
        for stale in folder.glob(f"*{_TEMPORARY}"):
            stale.unlink()
        counting, covered = parts(folder)
        remove(covered)
        sweep(folder)
        return [_replace(run, keyring) for run in _runs(counting, encrypted=keyring is not None)]


def _replace(run: list[Part], keyring: Keyring | None) -> Path:
    folder = run[0].path.parent
    path = parquet_path(folder, run[0].writer, run[0].first, run[-1].last, encrypted=keyring is not None)
    temporary = path.with_suffix(_TEMPORARY)
    header = read_segment(run[0].path).header()
    try:
        key = keyring.create(path.stem) if keyring else None
        parquet.write(_records(run), temporary, accounted=header.accounted if header else 0, key=key)
        temporary.rename(path)
        sync_folder(folder)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise RecorderError(message, hint="make room on the disk; the segments stay as they are") from error
    remove(run)
    return path


def _runs(counting: list[Part], *, encrypted: bool) -> list[list[Part]]:
    """Sealed segments that follow one another in one writer, up to a size together."""
    runs: list[list[Part]] = []
    for _, group in groupby(counting, key=lambda part: part.writer):
        run: list[Part] = []
        size = 0
        for part in group:
            usable = part.state == "seg" and _is_whole(part, encrypted=encrypted)
            if run and (not usable or size + part.path.stat().st_size > MAX_BYTES):
                runs.append(run)
                run, size = [], 0
            if usable:
                run.append(part)
                size += part.path.stat().st_size
        if run:
            runs.append(run)
    return runs


def _is_whole(part: Part, *, encrypted: bool) -> bool:
    try:
        reader = read_segment(part.path)
        whole = reader.header() is not None and (reader.key is None or encrypted)
    except (RecorderError, IntegrityError):
        return False
    for _ in reader.payloads() if whole else ():
        pass
    reader.finish()
    return whole and not reader.damage


def _records(run: list[Part]) -> Iterator[tuple[int, Record]]:
    for part in run:
        reader = read_segment(part.path)
        reader.header()
        for record in reader.records():
            yield part.first, record
