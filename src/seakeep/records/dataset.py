"""Versions of the data a model learns from."""

from __future__ import annotations

import msgspec

from seakeep.records.source import ColumnSchema


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable Parquet file of a source: its content digest and its rows."""

    sha256: str
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
        SHA-256 of the canonical JSON of ``sources`` and ``as_of_us``.
    as_of_us
        Only events that could be known before this moment are in it.
    """

    id: str
    as_of_us: int
    sources: tuple[SourceSnapshot, ...]
