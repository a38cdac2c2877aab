"""Reads predictions back from Parquet: as records, as columns, or one by its id or its key.

Every function raises FileNotFoundError if the file is gone; see :func:`seakeep.recorder.reader.compacted`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.recorder.container import opened
from seakeep.recorder.parquet import FIELDS, GROUP_ROWS, LISTS, columns_in, connect, literal, metadata, table
from seakeep.records.prediction import Gap, Prediction, Record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

COLUMNS = tuple(FIELDS)
"""The fields of a prediction, in order."""

BLOCK_ROWS = 8 * GROUP_ROWS
"""Rows of a file that are read at once."""

_CHUNK = 16_384


def read(path: Path, *, only: int = 0, without: Collection[int] = (), since_us: int = 0) -> Iterator[Record]:
    """The gaps and predictions of a Parquet file, as records.

    Parameters
    ----------
    only
        Number of the only segment to read; 0 for all.
    without
        Numbers of segments to leave out.
    since_us
        Predictions recorded before this moment are left out.
    """
    unwanted = ", ".join(str(int(number)) for number in without) or "-1"
    where = f"segment = {int(only)}" if only else f"segment NOT IN ({unwanted})"
    with opened(path) as name, connect() as connection:
        yield from _chosen(metadata(connection, name)[0], only, without)
        text = f"SELECT {_all(connection, name)} FROM {table(name)} WHERE {where} AND recorded_us >= {int(since_us)} ORDER BY segment, sequence"  # noqa: S608 -- all names and numbers are ours
        connection.execute(text)
        while rows := connection.fetchmany(_CHUNK):
            yield from map(_prediction, rows)


def gaps(path: Path, *, only: int = 0) -> list[Gap]:
    """The gaps of a Parquet file; ``only`` as for :func:`read`."""
    with opened(path) as name, connect() as connection:
        return list(_chosen(metadata(connection, name)[0], only, ()))


def accounted(path: Path) -> int:
    """How many sequence numbers were accounted for before the first segment in a Parquet file."""
    with opened(path) as name, connect() as connection:
        return metadata(connection, name)[1]


def newest_us(path: Path) -> int:
    """When the newest record in a Parquet file was made; 0 if it has none."""
    with opened(path) as name, connect() as connection:
        found = connection.execute(f"SELECT coalesce(max(recorded_us), 0) FROM {table(name)}").fetchall()  # noqa: S608 -- all names are ours
        return max(int(found[0][0]), *(int(gap["to_us"]) for gap in metadata(connection, name)[0]), 0)


def find(path: Path, column: str, value: str, *, only: int = 0) -> list[Prediction]:
    """The predictions whose ``id`` or ``key`` is a value, in the order they were recorded; ``only`` as for :func:`read`."""
    return chosen(path, f"{column} = {literal(value)}" + (f" AND segment = {int(only)}" if only else ""))


def chosen(path: Path, where: str) -> list[Prediction]:
    """The predictions that a condition of our own making chooses, in the order they were recorded."""
    with opened(path) as name, connect() as connection:
        text = f"SELECT {_all(connection, name)} FROM {table(name)} WHERE {where} ORDER BY segment, sequence"  # noqa: S608 -- the names are ours
        return list(map(_prediction, connection.execute(text).fetchall()))


def newest_by_version(path: Path, where: str) -> Iterator[tuple[int, int]]:
    """Each version and the newest moment it speaks for, among the rows that a condition of our own making chooses."""
    with opened(path) as name, connect() as connection:
        text = f"SELECT version, max(time_us) FROM {table(name)} WHERE {where} GROUP BY version"  # noqa: S608 -- as above
        yield from connection.execute(text).fetchall()


def blocks(path: Path, names: Iterable[str], where: str) -> Iterator[dict[str, NDArray[Any]]]:
    """Columns of the rows that a condition of our own making chooses, as arrays; lists become matrices.

    Block by block, so that any number of rows fits into memory; a block may be empty. A list ``x`` of ``n`` rows becomes
    ``x``, padded to the longest, and ``x_width``, int64 ``(n,)``.
    """
    wanted = list(names)
    with opened(path) as name, connect() as connection:
        asked = columns_in(connection, name)
        counted = connection.execute(f"SELECT count(*) FROM {table(name)}").fetchall()  # noqa: S608 -- as above
        for start in range(0, int(counted[0][0]), BLOCK_ROWS):
            rows = f"file_row_number >= {start} AND file_row_number < {start + BLOCK_ROWS}"
            source = f"read_parquet({literal(name)}, file_row_number = true) WHERE ({where}) AND {rows}"
            yield _columns(connection, {one: asked[one] for one in wanted}, source)


def _all(connection: DuckDBPyConnection, name: str) -> str:
    return ", ".join(columns_in(connection, name).values())


def _columns(connection: DuckDBPyConnection, names: Mapping[str, str], source: str) -> dict[str, NDArray[Any]]:
    lists = [name for name in names if name in LISTS]
    plain = [name for name in names if name not in LISTS]
    widths = dict.fromkeys(lists, 0)
    if lists:
        extremes = ", ".join(f"coalesce(max(len({names[name]})), 0)" for name in lists)
        found = connection.execute(f"SELECT {extremes} FROM {source}").fetchall()[0]  # noqa: S608 -- as above
        widths = dict(zip(lists, found, strict=True))
    select = [f"{names[name]} AS {name}" for name in plain]
    select += [f"{name}[{i + 1}] AS {name}_{i}" for name in lists for i in range(widths[name])]
    select += [f"len({names[name]}) AS {name}_width" for name in lists]
    values = connection.execute(f"SELECT {', '.join(select)} FROM {source}").fetchnumpy()  # noqa: S608 -- as above
    result: dict[str, NDArray[Any]] = {name: _filled(values[name]) for name in plain}
    for name in lists:
        width = _filled(values[f"{name}_width"])
        result[f"{name}_width"] = width.astype(np.int64)
        parts = [_filled(values[f"{name}_{i}"]) for i in range(widths[name])]
        result[name] = np.column_stack(parts) if parts else np.empty((len(width), 0), dtype=LISTS[name])
    return result


def _chosen(entries: Iterable[dict[str, Any]], only: int, without: Collection[int]) -> Iterator[Gap]:
    for entry in entries:
        number = entry.pop("segment")
        if number not in without and only in {0, number}:
            yield Gap(**entry)


def _prediction(row: tuple[Any, ...]) -> Prediction:
    values = dict(zip(COLUMNS, row, strict=True))
    values["request"] = msgspec.json.decode(values["request"])
    values["numbers"] = [np.nan if value is None else value for value in values["numbers"]]
    values["scores"] = tuple(values["scores"])
    for name, kind in FIELDS.items():
        if kind is float and values[name] is None:
            values[name] = np.nan
    return Prediction(**values)


def _filled(values: Any) -> NDArray[Any]:
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    if values.dtype.kind == "f":
        return values.filled(np.nan)
    return values.filled("" if values.dtype.kind == "O" else 0)
