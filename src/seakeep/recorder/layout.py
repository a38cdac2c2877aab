"""What lies in a recorder folder, and under which names.

======================================  ==============================================================
``{writer}-{number}.open``              the segment a writer appends to
``{writer}-{number}.seg``               a sealed segment: complete, never written again
``{writer}-{first}-{last}.parquet``     stands for all segments of the writer from first to last
``{writer}.ledger``                     what the writer handed out; locked while it lives
======================================  ==============================================================

Numbers have at least eight digits and are never used twice. A Parquet file takes the place of its segments in the
moment it gets its name; segments that still lie beside it do not count. So a crash at any moment leaves every record
visible exactly once.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Literal as OneOf

State = OneOf["open", "seg", "parquet"]

_SEGMENT = re.compile(r"(.+)-(\d{8,})\.(open|seg)")
_PARQUET = re.compile(r"(.+)-(\d{8,})-(\d{8,})\.(parquet)")
_LEDGER = ".ledger"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Part:
    """One file of records: the segments ``first`` to ``last`` of a writer."""

    writer: str
    first: int
    last: int
    state: State
    path: Path = dataclasses.field(compare=False)

    def covers(self, other: Part) -> bool:
        """Whether this file stands in the place of another."""
        return (
            self.state == "parquet"
            and self is not other
            and self.writer == other.writer
            and self.first <= other.first
            and other.last <= self.last
        )


def segment_path(folder: Path, writer: str, number: int, state: State = "open") -> Path:
    """Path of a segment."""
    return folder / f"{writer}-{number:08d}.{state}"


def parquet_path(folder: Path, writer: str, first: int, last: int) -> Path:
    """Path of the Parquet file that stands for segments ``first`` to ``last``."""
    return folder / f"{writer}-{first:08d}-{last:08d}.parquet"


def ledger_path(folder: Path, writer: str) -> Path:
    """Path of a writer's ledger."""
    return folder / f"{writer}{_LEDGER}"


def writers(folder: Path) -> list[str]:
    """Names of all writers that ever wrote to the folder."""
    return sorted(name.removesuffix(_LEDGER) for name in _names(folder) if name.endswith(_LEDGER))


def parts(folder: Path) -> tuple[list[Part], list[Part]]:
    """The files whose records count, by writer and number; and those another file has taken the place of."""
    names = _stable_names(folder)
    found = [part for name in names if (part := _parse(folder, name))]
    compacted = [part for part in found if part.state == "parquet"]
    covered = [part for part in found if any(one.covers(part) for one in compacted)]
    hidden = set(map(id, covered))
    return sorted(part for part in found if id(part) not in hidden), sorted(covered)


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
    if found := _SEGMENT.fullmatch(name):
        number = int(found[2])
        return Part(found[1], number, number, "open" if found[3] == "open" else "seg", folder / name)
    if found := _PARQUET.fullmatch(name):
        return Part(found[1], int(found[2]), int(found[3]), "parquet", folder / name)
    return None
