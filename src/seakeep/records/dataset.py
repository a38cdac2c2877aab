"""Versions of the data a model learns from."""

from __future__ import annotations

import msgspec

from seakeep.records.source import ColumnSchema


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable Parquet file of a source: where it is kept and what it holds.

    Attributes
    ----------
    sha256
        Digest of the file's bytes: its address in the store.
    content
        Digest of the values, whatever the file's form: the same for the same events always.
    from_us, to_us
        Time of the first and of the last event.
    """

    sha256: str
    content: str
    rows: int
    from_us: int
    to_us: int


class SourceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One source as it was known at a moment: schema and chunks in the order of time."""

    name: str
    schema: tuple[ColumnSchema, ...]
    chunks: tuple[Chunk, ...]

    @property
    def rows(self) -> int:
        """Number of events."""
        return sum(chunk.rows for chunk in self.chunks)


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable, content-addressed set of sources.

    Attributes
    ----------
    id
        SHA-256 over ``as_of_us`` and each source's name, schema and chunk contents.
    as_of_us
        Only events that could be known before this moment are in it.
    """

    id: str
    as_of_us: int
    sources: tuple[SourceSnapshot, ...]
