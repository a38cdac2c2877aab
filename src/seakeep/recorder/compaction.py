"""Turns sealed segments of predictions into Parquet, so that each record stays visible exactly once at any moment."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from seakeep.errors import RecorderError
from seakeep.recorder import parquet
from seakeep.recorder.layout import Part, parquet_path, parts, sync_folder
from seakeep.recorder.segment import SegmentReader
from seakeep.records.prediction import Record

MAX_BYTES = 256 << 20
"""Segments that become one file have at most this size together."""

_LOCK = "compaction.lock"
_TEMPORARY = ".tmp"


def compact(folder: Path) -> list[Path]:
    """Make Parquet of every run of sealed segments.

    The new file takes the place of its segments when it gets its name; then they are removed. A crash before leaves
    the segments, a crash after leaves segments that do not count and that the next call removes. A segment with
    damage stays as it is. Two calls at a time do not meet: the second does nothing.

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
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return []
    try:
        for stale in folder.glob(f"*{_TEMPORARY}"):
            stale.unlink()
        counting, covered = parts(folder)
        _remove(covered)
        return [_replace(folder, run) for run in _runs(counting)]
    finally:
        os.close(lock)


def _replace(folder: Path, run: list[Part]) -> Path:
    path = parquet_path(folder, run[0].writer, run[0].first, run[-1].last)
    temporary = path.with_suffix(_TEMPORARY)
    parquet.write(_records(run), temporary)
    temporary.rename(path)
    sync_folder(folder)
    _remove(run)
    return path


def _runs(counting: list[Part]) -> list[list[Part]]:
    """Sealed segments that follow one another in one writer, up to a size together."""
    runs: list[list[Part]] = []
    for _, group in groupby(counting, key=lambda part: part.writer):
        run: list[Part] = []
        size = 0
        for part in group:
            usable = part.state == "seg" and _is_whole(part)
            if run and (not usable or size + part.path.stat().st_size > MAX_BYTES):
                runs.append(run)
                run, size = [], 0
            if usable:
                run.append(part)
                size += part.path.stat().st_size
        if run:
            runs.append(run)
    return runs


def _is_whole(part: Part) -> bool:
    try:
        reader = SegmentReader(part.path.read_bytes(), part.path.name)
        whole = reader.header() is not None
    except RecorderError:
        return False
    for _ in reader.payloads():
        pass
    reader.finish()
    return whole and not reader.damage


def _records(run: list[Part]) -> Iterator[tuple[int, Record]]:
    for part in run:
        reader = SegmentReader(part.path.read_bytes(), part.path.name)
        reader.header()
        for record in reader.records():
            yield part.first, record


def _remove(gone: list[Part]) -> None:
    for part in gone:
        part.path.unlink()
