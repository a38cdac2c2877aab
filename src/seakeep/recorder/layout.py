"""What lies in a recorder folder, and under which names.

======================================  ==============================================================
``{writer}-{number}.open``              the segment a writer appends to
``{writer}-{number}.seg``               a sealed segment: complete, never written again
``{writer}-{first}-{last}.parquet``     stands for all segments of the writer from first to last
``{writer}-{first}-{last}.aes``         the same, encrypted
``{...}-r{revision}.seg`` and so on     the same again, after something was taken out of it
``{writer}-{...}.key``                  the key of the file of that stem, if it is encrypted
``{writer}.ledger``                     what the writer handed out; locked while it lives
``wrapping-key``                        where the key is that wraps the files' keys
======================================  ==============================================================

Numbers have at least eight digits and are never used twice. A Parquet file takes the place of its segments, and a
revision the place of what it was made from, in the moment it gets its name; files that still lie beside it do not count.
So a crash at any moment leaves every record visible exactly once.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
from pathlib import Path
from typing import Literal as OneOf

State = OneOf["open", "seg", "parquet"]

_SEGMENT = re.compile(r"(.+)-(\d{8,})(?:-r(\d+))?\.(open|seg)")
_PARQUET = re.compile(r"(.+)-(\d{8,})-(\d{8,})(?:-r(\d+))?\.(?:parquet|aes)")
_LEDGER = ".ledger"
KEY = ".key"
"""Suffix of a file's key."""
_ASIDE = ".aside"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Part:
    """One file of records: the segments ``first`` to ``last`` of a writer."""

    writer: str
    first: int
    last: int
    state: State
    path: Path = dataclasses.field(compare=False)
    revision: int = 0

    def covers(self, other: Part) -> bool:
        """Whether this file, which comes first in the order of :func:`_precedence`, stands in the place of another."""
        return self.writer == other.writer and other.last <= self.last


def segment_path(folder: Path, writer: str, number: int, state: State = "open") -> Path:
    """Path of a segment."""
    return folder / f"{writer}-{number:08d}.{state}"


def parquet_path(folder: Path, writer: str, first: int, last: int, *, encrypted: bool = False) -> Path:
    """Path of the Parquet file that stands for segments ``first`` to ``last``."""
    return folder / f"{writer}-{first:08d}-{last:08d}.{'aes' if encrypted else 'parquet'}"


def revised_path(part: Part) -> Path:
    """Path of the file that is to take the place of one."""
    stem = part.path.stem.removesuffix(f"-r{part.revision}")
    return part.path.with_name(f"{stem}-r{part.revision + 1}{part.path.suffix}")


def ledger_path(folder: Path, writer: str) -> Path:
    """Path of a writer's ledger."""
    return folder / f"{writer}{_LEDGER}"


def writers(folder: Path) -> list[str]:
    """Names of all writers that ever wrote to the folder."""
    return sorted(name.removesuffix(_LEDGER) for name in _names(folder) if name.endswith(_LEDGER))


def parts(folder: Path) -> tuple[list[Part], list[Part]]:
    """The files whose records count, by writer and number; and those another file has taken the place of."""
    counting: list[Part] = []
    covered: list[Part] = []
    found = (part for name in _stable_names(folder) if (part := _parse(folder, name)))
    for part in sorted(found, key=_precedence):
        hidden = counting and counting[-1].covers(part)
        (covered if hidden else counting).append(part)
    return counting, covered


def _precedence(part: Part) -> tuple[str, int, int, bool, int]:
    """Sorts files by writer and number, each before those whose place it takes."""
    return part.writer, part.first, -part.last, part.state != "parquet", -part.revision


def place_of(stem: str) -> tuple[str, int, bool]:
    """Of the stem of a file of records: its writer, its last number, and whether it is a segment's."""
    if found := _PARQUET.fullmatch(f"{stem}.parquet"):
        return found[1], int(found[3]), False
    found = _SEGMENT.fullmatch(f"{stem}.seg")
    return (found[1], int(found[2]), True) if found else (stem, 0, False)


def write_aside(path: Path, content: bytes) -> None:
    """Write a small file durably and in one step: whoever reads it sees what was there before or all of this."""
    aside = path.with_name(f"{path.name}.{os.getpid()}{_ASIDE}")
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            if os.write(file, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file)
        finally:
            os.close(file)
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_asides(folder: Path) -> None:
    """Remove what processes that died had written aside."""
    for aside in folder.glob(f"*{_ASIDE}"):
        if not Path("/proc", aside.stem.rpartition(".")[2]).exists():
            aside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names given or taken away in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return frozenset()


def _stable_names(folder: Path) -> frozenset[str]:
    # One listing can miss both the old and the new name of a file that is renamed meanwhile; two equal ones cannot.
    names = _names(folder)
    while (again := _names(folder)) != names:
        names = again
    return names


def _parse(folder: Path, name: str) -> Part | None:
    if found := _PARQUET.fullmatch(name):
        return Part(found[1], int(found[2]), int(found[3]), "parquet", folder / name, int(found[4] or 0))
    if found := _SEGMENT.fullmatch(name):
        number = int(found[2])
        state: State = "open" if found[4] == "open" else "seg"
        return Part(found[1], number, number, state, folder / name, int(found[3] or 0))
    return None
