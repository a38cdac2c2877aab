"""Predictions as Parquet: an open table that any tool reads, and every bit of a record in it.

One row a prediction, in the order of ``time_us``, with the fields of :class:`seakeep.records.prediction.Prediction` as
columns; ``numbers``, ``categories`` and ``feature_times_us`` are lists, ``request`` is JSON, a missing number is NULL,
and ``segment`` is the number of the segment a row came from. The gaps of these segments are in the file's key-value
metadata under ``seakeep.gaps``, as JSON, each with its ``segment``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.errors import RecorderError
from seakeep.records.prediction import Gap, Prediction, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAPS_KEY = "seakeep.gaps"

_CHUNK = 16_384
_GROUP = 61_440
"""Rows read at once: half a row group as the engine writes it, which keeps a reader's memory small."""
_SQL_TYPES = {"numbers": "DOUBLE[]", "categories": "VARCHAR[]", "feature_times_us": "BIGINT[]", "request": "VARCHAR"}
_SCALAR_TYPES = {int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}
_LISTS = {"numbers": np.float64, "categories": object, "feature_times_us": np.int64}
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Prediction)}
_SCALARS = [name for name in _FIELDS if name not in _SQL_TYPES]
COLUMNS = tuple(_FIELDS)
"""The fields of a prediction, in order."""

_gap_decoder = msgspec.json.Decoder(list[dict[str, Any]])


def write(records: Iterable[tuple[int, Record]], path: Path) -> int:
    """Write the records of segments to a Parquet file, durably; the file is new or replaced.

    Parameters
    ----------
    records
        Each with the number of its segment; predictions and gaps.

    Returns
    -------
    int
        How many predictions were written.

    Raises
    ------
    RecorderError
        The file cannot be written.
    """
    import duckdb

    gaps: list[dict[str, Any]] = []
    types = {name: _SQL_TYPES.get(name) or _SCALAR_TYPES.get(kind, "VARCHAR") for name, kind in _FIELDS.items()}
    try:
        with duckdb.connect() as connection:
            declared = ", ".join(f"{name} {kind}" for name, kind in types.items())
            connection.execute(f"CREATE TABLE predictions (segment BIGINT, {declared})")
            rows = _predictions(records, gaps)
            while chunk := list(islice(rows, _CHUNK)):
                _insert(connection, chunk)
            counted = connection.execute("SELECT count(*) FROM predictions").fetchall()[0][0]
            metadata = msgspec.json.encode(gaps).decode()
            ordered = connection.sql("SELECT * FROM predictions ORDER BY time_us, segment, sequence")
            connection.register("ordered", ordered)
            connection.execute(
                f"COPY ordered TO {_literal(str(path))} "
                f"(FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_literal(GAPS_KEY)}: {_literal(metadata)}}})"
            )
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except (duckdb.Error, OSError) as error:
        path.unlink(missing_ok=True)
        message = f"cannot write {path}: {error}"
        raise RecorderError(message, hint="make room on the disk; the segments stay as they are") from error
    return int(counted)


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
    yield from gaps(path, only=only, without=without)
    unwanted = ", ".join(str(int(number)) for number in without) or "-1"
    where = f"segment = {int(only)}" if only else f"segment NOT IN ({unwanted})"
    import duckdb

    with duckdb.connect() as connection:
        text = f"SELECT {', '.join(COLUMNS)} FROM {_literal(str(path))} WHERE {where} AND recorded_us >= {int(since_us)} ORDER BY segment, sequence"  # noqa: S608 -- all names and numbers are ours
        connection.execute(text)
        while rows := connection.fetchmany(_CHUNK):
            yield from map(_prediction, rows)


def gaps(path: Path, *, only: int = 0, without: Collection[int] = ()) -> list[Gap]:
    """The gaps of a Parquet file; ``only`` and ``without`` as for :func:`read`."""
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT decode(value) FROM parquet_kv_metadata({_literal(str(path))}) WHERE decode(key) = '{GAPS_KEY}'"  # noqa: S608 -- all names are ours
        ).fetchall()
    entries = [(gap.pop("segment"), gap) for (text,) in found for gap in _gap_decoder.decode(text)]
    return [Gap(**gap) for number, gap in entries if number not in without and only in {0, number}]


def find(path: Path, prediction_id: str) -> Prediction | None:
    """The prediction with an id, if it is in the file."""
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(COLUMNS)} FROM {_literal(str(path))} WHERE id = ?",  # noqa: S608 -- all names are ours
            [prediction_id],
        ).fetchall()
    return _prediction(rows[0]) if rows else None


def groups(path: Path) -> Iterator[tuple[int, int]]:
    """First row and the row after the last one of each stretch that is read at once."""
    import duckdb

    with duckdb.connect() as connection:
        text = f"SELECT sum(num_rows)::BIGINT FROM parquet_file_metadata({_literal(str(path))})"  # noqa: S608 -- as above
        count = connection.execute(text).fetchall()[0][0]
    return ((start, min(start + _GROUP, count)) for start in range(0, count, _GROUP))


def newest_by_version(path: Path, where: str) -> dict[int, int]:
    """The newest moment spoken for by each version, among the rows that a condition of our own making chooses."""
    import duckdb

    text = f"SELECT version, max(time_us) FROM {_literal(str(path))} WHERE {where} GROUP BY version"  # noqa: S608 -- all names are ours
    with duckdb.connect() as connection:
        return dict(connection.execute(text).fetchall())


def columns(
    path: Path, names: Iterable[str], where: str, *, rows: tuple[int, int] | None = None
) -> dict[str, NDArray[Any]]:
    """Columns of the rows that a condition of our own making chooses, as arrays; lists become matrices.

    Parameters
    ----------
    rows
        Only of this stretch of the file; see :func:`groups`.

    Raises
    ------
    RecorderError
        The rows chosen have different numbers of inputs.
    """
    import duckdb

    wanted = list(names)
    lists = [name for name in wanted if name in _LISTS]
    source = f"read_parquet({_literal(str(path))}, file_row_number = true) WHERE {where}"
    if rows:
        source += f" AND file_row_number >= {rows[0]} AND file_row_number < {rows[1]}"
    with duckdb.connect() as connection:
        widths = dict.fromkeys(lists, 0)
        if lists:
            extremes = ", ".join(f"coalesce(max(len({name})), 0)" for name in lists)
            widths = dict(
                zip(lists, connection.execute(f"SELECT {extremes} FROM {source}").fetchall()[0], strict=True)  # noqa: S608 -- as above
            )
        select = [name for name in wanted if name not in _LISTS]
        select += [f"{name}[{i + 1}] AS {name}_{i}" for name in lists for i in range(widths[name])]
        select += [f"len({name}) AS {name}_width" for name in lists]
        found = connection.execute(f"SELECT {', '.join(select)} FROM {source}").fetchnumpy()  # noqa: S608 -- as above
    result: dict[str, NDArray[Any]] = {name: _filled(found[name]) for name in wanted if name not in _LISTS}
    for name in lists:
        width = _filled(found[f"{name}_width"])
        result[f"{name}_width"] = width.astype(np.int64)
        parts = [_filled(found[f"{name}_{i}"]) for i in range(widths[name])]
        result[name] = np.column_stack(parts) if parts else np.empty((len(width), 0), dtype=_LISTS[name])
    return result


def _predictions(
    records: Iterable[tuple[int, Record]], found: list[dict[str, Any]]
) -> Iterator[tuple[int, Prediction]]:
    for number, record in records:
        if isinstance(record, Gap):
            found.append({"segment": number, **msgspec.structs.asdict(record)})
        elif isinstance(record, Prediction):
            yield number, record
        else:
            message = "only predictions become Parquet"
            raise RecorderError(message, hint="events stay in segments")


def _insert(connection: Any, chunk: list[tuple[int, Prediction]]) -> None:
    # Models differ in their numbers of inputs; the engine takes lists only as so many columns side by side.
    by_shape: dict[tuple[int, ...], list[tuple[int, Prediction]]] = defaultdict(list)
    for number, one in chunk:
        by_shape[tuple(len(getattr(one, name)) for name in _LISTS)].append((number, one))
    for shape, rows in by_shape.items():
        ones = [one for _, one in rows]
        table: dict[str, Any] = {"segment": np.array([number for number, _ in rows], dtype=np.int64)}
        for name in _SCALARS:
            kind = {int: np.int64, float: np.float64, bool: np.bool_}.get(_FIELDS[name], object)
            table[name] = np.array([getattr(one, name) for one in ones], dtype=kind)
        table["request"] = np.array([msgspec.json.encode(one.request).decode() for one in ones], dtype=object)
        select = dict.fromkeys(("segment", *COLUMNS))
        for (name, kind), width in zip(_LISTS.items(), shape, strict=True):
            matrix = np.array([getattr(one, name) for one in ones], dtype=kind).reshape(len(ones), width)
            table.update({f"{name}_{i}": matrix[:, i].copy() for i in range(width)})
            parts = ", ".join(f"{name}_{i}" for i in range(width))
            select[name] = f"[{parts}]::{_SQL_TYPES[name]}"
        text = ", ".join(expression or name for name, expression in select.items())
        connection.register("rows", table)
        connection.execute(f"INSERT INTO predictions SELECT {text} FROM rows")  # noqa: S608 -- all names are ours
        connection.unregister("rows")


def _prediction(row: tuple[Any, ...]) -> Prediction:
    values = dict(zip(COLUMNS, row, strict=True))
    values["request"] = msgspec.json.decode(values["request"])
    values["numbers"] = [np.nan if value is None else value for value in values["numbers"]]
    for name, kind in _FIELDS.items():
        if kind is float and values[name] is None:
            values[name] = np.nan
    return Prediction(**values)


def _filled(values: Any) -> NDArray[Any]:
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    if values.dtype.kind == "f":
        return values.filled(np.nan)
    return values.filled("" if values.dtype.kind == "O" else 0)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
