"""Bounds of what a file may ask of the library that reads it, told before one does."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from seakeep.errors import ConversionError

_MOST_UNPACKED, _MOST_ENTRIES = 1024**3, 20_000
_DEEPEST = 200
_CHUNK = 1 << 20


def damaged(name: str, what: str, why: str) -> ConversionError:
    """The error of a file that is of a format, but not whole."""
    return ConversionError(f"{name} is a damaged {what}: {why}", hint="save or copy it again")


def zip_entries(content: bytes, name: str) -> frozenset[str]:
    """The names in a zip archive, which is opened no further; empty if the bytes are none.

    Raises
    ------
    ConversionError
        It is damaged, has two parts of one name, or would unpack to more than a gibibyte or 20,000 files.
    """
    if not content.startswith(b"PK"):
        return frozenset()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as error:
        raise damaged(name, "zip archive", str(error)) from error
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > _MOST_ENTRIES or unpacked > _MOST_UNPACKED:
        raise ConversionError(
            f"{name} would unpack to {unpacked:,} bytes in {len(entries):,} files",
            hint=f"a model may have {_MOST_UNPACKED:,} bytes in {_MOST_ENTRIES:,} files",
        )
    names = frozenset(entry.filename for entry in entries)
    if len(names) < len(entries):
        raise damaged(name, "zip archive", "it has two parts of one name")  # libraries differ in which they read
    return names


def require_shallow(content: bytes, name: str) -> None:
    """Refuse JSON that is nested deeply or cut off: parsers written in C go one step down the stack for each level.

    Raises
    ------
    ConversionError
        More than 200 levels, or brackets that do not match.
    """
    depth = 0
    for start in range(0, len(content), _CHUNK):
        part = np.frombuffer(content, dtype=np.uint8, count=min(_CHUNK, len(content) - start), offset=start)
        opened = np.isin(part, np.frombuffer(b"[{", np.uint8)).astype(np.int32)
        levels = depth + np.cumsum(opened - np.isin(part, np.frombuffer(b"]}", np.uint8)))
        if int(levels.max()) > _DEEPEST:
            raise damaged(name, "JSON model", f"it is nested more than {_DEEPEST} levels deep")
        depth = int(levels[-1])
    if depth:
        raise damaged(name, "JSON model", "its brackets do not match: it may be cut off")
