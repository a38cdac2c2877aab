"""Dataset versions: what was known at a moment, immutable, addressed by content, in Parquet.

A source is cut into calendar months (UTC) of event time; a month that did not change is the same chunk in every
version, so a new version costs only what is new.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from seakeep.data.schema import check_table, infer_schema
from seakeep.data.table import Table, as_table
from seakeep.errors import DataError, IntegrityError
from seakeep.records.dataset import Chunk, DatasetVersion, SourceSnapshot
from seakeep.records.source import ColumnSchema, Events

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DatasetStore(Protocol):
    """Keeps chunks by the digest of their bytes, and manifests by the id of their version."""

    def put_chunk(self, content: bytes) -> str:
        """Store the bytes once, durably; returns their SHA-256 as hexadecimal digits."""
        ...

    def get_chunk(self, sha256: str) -> Path:
        """A local file with the chunk; not yet verified.

        Raises
        ------
        IntegrityError
            The chunk is not there.
        """
        ...

    def put_manifest(self, version: DatasetVersion) -> None:
        """Store the manifest of a version; a version that is already there stays as it is."""
        ...

    def get_manifest(self, version_id: str) -> DatasetVersion | None:
        """The manifest of a version, or None."""
        ...

    def manifests(self) -> list[str]:
        """Ids of all versions."""
        ...


def snapshot(sources: Mapping[str, tuple[Events, Table]], *, as_of_us: int, store: DatasetStore) -> DatasetVersion:
    """Keep what could be known of every source before ``as_of_us``.

    The id depends on the values alone: not on the order of rows or columns, nor on the Parquet writer.

    Parameters
    ----------
    sources
        By name, each source with its normal-form table.

    Raises
    ------
    DataError
        A table does not fit its source.
    """
    parts = {name: _known(events, table, as_of_us) for name, (events, table) in sorted(sources.items())}
    contents = {name: [content_digest(part) for part in _months(*parts[name])] for name in parts}
    schemas = {name: infer_schema(table) for name, (_, table) in parts.items()}
    identity = _identity({name: (schemas[name], contents[name]) for name in parts}, as_of_us)
    existing = store.get_manifest(identity)
    if existing is not None:
        return existing
    snapshots = []
    for name, (events, table) in parts.items():
        chunks = [
            _put(part, events, content, store)
            for part, content in zip(_months(events, table), contents[name], strict=True)
        ]
        snapshots.append(SourceSnapshot(name=name, schema=schemas[name], chunks=tuple(chunks)))
    version = DatasetVersion(id=identity, as_of_us=as_of_us, sources=tuple(snapshots))
    store.put_manifest(version)
    return version


def load(version: DatasetVersion, store: DatasetStore) -> dict[str, Table]:
    """The tables of a version, every byte and every value verified.

    Raises
    ------
    IntegrityError
        A chunk is missing or changed, or the manifest does not belong to its id.
    """
    described = {one.name: (one.schema, [chunk.content for chunk in one.chunks]) for one in version.sources}
    if _identity(described, version.as_of_us) != version.id:
        raise IntegrityError(f"the manifest of data version {version.id[:12]} was changed", hint="take a new snapshot")
    return {source.name: _load_source(source, version, store) for source in version.sources}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceDiff:
    """How one source differs between two versions.

    Attributes
    ----------
    rows_before, rows_after
        Number of events; 0 where the version does not have the source.
    months_changed
        UTC months, as ``2013-06``, whose chunk is only in one of the two.
    columns_added, columns_removed, columns_changed
        Names; changed means another kind or nullability.
    """

    name: str
    rows_before: int
    rows_after: int
    months_changed: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_changed: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the source is equal in both versions."""
        return not (self.months_changed or self.columns_added or self.columns_removed or self.columns_changed)


def diff(before: DatasetVersion, after: DatasetVersion) -> tuple[SourceDiff, ...]:
    """Compare two versions by their manifests, source by source in the order of names."""
    old = {source.name: source for source in before.sources}
    new = {source.name: source for source in after.sources}
    return tuple(_source_diff(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys()))


def content_digest(table: Table) -> str:
    """SHA-256 of a normal-form table's values, by column name: equal for equal values, whatever the file form."""
    digest = hashlib.sha256()
    for name, values in sorted(table.items()):
        digest.update(msgspec.json.encode([name, values.dtype.str, len(values)]))
        if values.dtype.kind == "O":
            encoded = [value.encode() for value in values.tolist()]
            digest.update(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)).tobytes())
            digest.update(b"".join(encoded))
        else:
            canonical = np.where(np.isnan(values), np.nan, values) if values.dtype.kind == "f" else values
            digest.update(np.ascontiguousarray(canonical).tobytes())
    return digest.hexdigest()


def _identity(sources: Mapping[str, tuple[tuple[ColumnSchema, ...], list[str]]], as_of_us: int) -> str:
    return hashlib.sha256(msgspec.json.encode([as_of_us, sources], order="deterministic")).hexdigest()


def _known(events: Events, table: Table, as_of_us: int) -> tuple[Events, Table]:
    check_table(table, events)
    known = table[events.time].view(np.int64) + events.delay_us < as_of_us
    if not known.any():
        raise DataError(
            f"source {events.name!r} has no event that could be known by then",
            hint="choose a later moment, or check the time column",
        )
    chosen = {name: values[known] for name, values in sorted(table.items())}
    order = _canonical_order(events, chosen)
    return events, {name: values[order] for name, values in chosen.items()}


def _canonical_order(events: Events, table: Table) -> NDArray[np.intp]:
    """By time, then key; rows that agree in both are ordered by all their values, so that no order is by chance."""
    keys = [table[events.time]]
    if events.key:
        keys.append(_codes(table[events.key]))
    order = np.lexsort(keys[::-1])
    ties = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
    for values in keys:
        ties &= values[order][1:] == values[order][:-1]
    if ties.any():
        rest = [_codes(values) for _, values in sorted(table.items())]
        order = np.lexsort((keys + rest)[::-1])
    return order


def _codes(values: NDArray[Any]) -> NDArray[Any]:
    return np.unique(values, return_inverse=True)[1] if values.dtype.kind == "O" else values


def _months(events: Events, table: Table) -> Iterator[Table]:
    months = table[events.time].astype("datetime64[M]")
    starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(months)], strict=True):
        yield {name: values[start:end] for name, values in table.items()}


def _put(part: Table, events: Events, content: str, store: DatasetStore) -> Chunk:
    times = part[events.time].view(np.int64)
    sha256 = store.put_chunk(_to_parquet(part))
    return Chunk(sha256=sha256, content=content, rows=len(times), from_us=int(times[0]), to_us=int(times[-1]))


def _to_parquet(part: Table) -> bytes:
    import duckdb

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder) / "chunk.parquet"
        connection.execute("set threads = 1")
        connection.register("part", part)
        connection.table("part").write_parquet(str(path), compression="zstd")
        return path.read_bytes()


def _load_source(source: SourceSnapshot, version: DatasetVersion, store: DatasetStore) -> Table:
    parts = [_load_chunk(chunk, source, version, store) for chunk in source.chunks]
    return {column.name: np.concatenate([part[column.name] for part in parts]) for column in source.schema}


def _load_chunk(chunk: Chunk, source: SourceSnapshot, version: DatasetVersion, store: DatasetStore) -> Table:
    path = store.get_chunk(chunk.sha256)
    with path.open("rb") as file:
        intact = hashlib.file_digest(file, "sha256").hexdigest() == chunk.sha256
    if intact:
        table = as_table(path)
        intact = content_digest(table) == chunk.content
    if not intact:
        raise IntegrityError(
            f"chunk {chunk.sha256[:12]} of source {source.name!r} in data version {version.id[:12]} was changed",
            hint="restore the file from a backup, or take a new snapshot",
        )
    return table


def _source_diff(name: str, old: SourceSnapshot | None, new: SourceSnapshot | None) -> SourceDiff:
    old_columns = {column.name: column for column in old.schema} if old else {}
    new_columns = {column.name: column for column in new.schema} if new else {}
    old_chunks = {chunk.content: chunk for chunk in old.chunks} if old else {}
    new_chunks = {chunk.content: chunk for chunk in new.chunks} if new else {}
    changed = [old_chunks.get(one) or new_chunks[one] for one in old_chunks.keys() ^ new_chunks.keys()]
    return SourceDiff(
        name=name,
        rows_before=old.rows if old else 0,
        rows_after=new.rows if new else 0,
        months_changed=tuple(sorted({str(np.datetime64(chunk.from_us, "us").astype("M8[M]")) for chunk in changed})),
        columns_added=tuple(sorted(new_columns.keys() - old_columns.keys())),
        columns_removed=tuple(sorted(old_columns.keys() - new_columns.keys())),
        columns_changed=tuple(
            sorted(one for one in old_columns.keys() & new_columns.keys() if old_columns[one] != new_columns[one])
        ),
    )
