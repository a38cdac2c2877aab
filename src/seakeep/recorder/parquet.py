"""Predictions as Parquet: an open table that any tool reads, and every bit of a record in it.

One row a prediction, in the order of ``model``, ``version`` and ``time_us``, with the fields of
:class:`seakeep.records.prediction.Prediction` as columns; ``numbers``, ``categories``, ``feature_times_us`` and ``scores`` are
lists, ``request`` is JSON, a missing number is NULL, and ``segment`` is the number of the segment a row came from. The gaps of
these segments are in the file's key-value metadata under ``seakeep.gaps``, as JSON, each with its ``segment``; under
``seakeep.accounted`` is how many sequence numbers were accounted for before the first of them.

The index is Parquet's own: row groups of :data:`GROUP_ROWS` rows with the extremes of every column, which the order keeps
narrow for model, version and time (and for ids, which grow with time), and with Bloom filters, which tell for nearly every
row group without a key or an id that it is not in there.

References
----------
Apache Parquet, Bloom filter specification, https://parquet.apache.org/docs/file-format/bloomfilter/
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.errors import RecorderError
from seakeep.recorder.container import made, opened
from seakeep.records.prediction import Gap, Prediction, Record
from seakeep.security.envelope import DataKey

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

GAPS_KEY, ACCOUNTED_KEY = "seakeep.gaps", "seakeep.accounted"
GROUP_ROWS = 8_192
"""Rows of a row group: what must be read to read one."""

_CHUNK = 16_384
_SQL_TYPES = {
    "numbers": "DOUBLE[]",
    "categories": "VARCHAR[]",
    "feature_times_us": "BIGINT[]",
    "request": "VARCHAR",
    "scores": "DOUBLE[]",
}
_SCALAR_TYPES = {int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}
LISTS = {"numbers": np.float64, "categories": object, "feature_times_us": np.int64, "scores": np.float64}
"""Columns that are lists, with the type of their elements."""
FIELDS = {field.name: field.type for field in msgspec.structs.fields(Prediction)}
"""The fields of a prediction with their types, in order."""
TYPES = {name: _SQL_TYPES.get(name) or _SCALAR_TYPES.get(kind, "VARCHAR") for name, kind in FIELDS.items()}
"""The columns' SQL types, in order."""
_SCALARS = [name for name in FIELDS if name not in _SQL_TYPES]
_LATER = {"scores": "[]::DOUBLE[]", "answer": "''"}
"""What stands for the columns that files of earlier releases do not have."""
_ORDER = "model, version, time_us, segment, sequence"


def write(records: Iterable[tuple[int, Record]], path: Path, *, accounted: int = 0, key: DataKey | None = None) -> int:
    """Write the records of segments to a Parquet file, durably; the file is new or replaced.

    Parameters
    ----------
    records
        Each with the number of its segment; predictions and gaps.
    accounted
        How many sequence numbers were accounted for before the first segment.
    key
        Encrypts the file; None: it is not encrypted.

    Returns
    -------
    int
        How many predictions were written.

    Raises
    ------
    RecorderError
        The file cannot be written.
    """
    gaps: list[dict[str, Any]] = []
    with _connected(path) as connection:
        create_table(connection)
        rows = _predictions(records, gaps)
        while chunk := list(islice(rows, _CHUNK)):
            insert(connection, chunk)
        counted = connection.execute("SELECT count(*) FROM predictions").fetchall()[0][0]
        _copy(connection, "FROM predictions", path, _metadata(gaps, accounted), key)
    return int(counted)


def rewrite(source: Path, path: Path, *, without: Collection[int], gap: Gap, key: DataKey | None) -> None:
    """Write a Parquet file of records anew without some of its predictions, and with a gap that counts them.

    Parameters
    ----------
    source, path
        The old file and the new one.
    without
        Sequence numbers of the predictions to leave out.
    gap
        Stands in their place, as if in the segment of the first of them.

    Raises
    ------
    RecorderError
        The file cannot be written.
    """
    with opened(source) as name, _connected(path) as connection:
        gaps, accounted = metadata(connection, name)
        numbers = ", ".join(str(int(number)) for number in sorted(without))
        found = connection.execute(f"SELECT min(segment) FROM {table(name)} WHERE sequence IN ({numbers})").fetchall()  # noqa: S608 -- numbers alone
        gaps.append({"segment": int(found[0][0]), **msgspec.structs.asdict(gap)})
        text = f"FROM {table(name)} WHERE sequence NOT IN ({numbers})"
        _copy(connection, text, path, _metadata(gaps, accounted), key)


def metadata(connection: DuckDBPyConnection, name: str) -> tuple[list[dict[str, Any]], int]:
    """The gaps of a file, each with its ``segment``, and how many numbers were accounted for before it."""
    found = dict(
        connection.execute(
            f"SELECT decode(key), decode(value) FROM parquet_kv_metadata({literal(name)})"  # noqa: S608 -- all names are ours
        ).fetchall()
    )
    return msgspec.json.decode(found.get(GAPS_KEY, "[]"), type=list[dict[str, Any]]), int(found.get(ACCOUNTED_KEY, 0))


def create_table(connection: DuckDBPyConnection) -> None:
    """Make an empty table ``predictions`` with the columns of a file."""
    declared = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    connection.execute(f"CREATE TEMP TABLE predictions (segment BIGINT, {declared})")


def insert(connection: DuckDBPyConnection, chunk: Sequence[tuple[int, Prediction]]) -> None:
    """Insert predictions, each with the number of its segment, into ``predictions``."""
    # Models differ in their numbers of inputs; the engine takes lists only as so many columns side by side.
    by_shape: dict[tuple[int, ...], list[tuple[int, Prediction]]] = defaultdict(list)
    for number, one in chunk:
        by_shape[tuple(len(getattr(one, name)) for name in LISTS)].append((number, one))
    for shape, rows in by_shape.items():
        ones = [one for _, one in rows]
        table: dict[str, Any] = {"segment": np.array([number for number, _ in rows], dtype=np.int64)}
        for name in _SCALARS:
            kind = {int: np.int64, float: np.float64, bool: np.bool_}.get(FIELDS[name], object)
            table[name] = np.array([getattr(one, name) for one in ones], dtype=kind)
        table["request"] = np.array([msgspec.json.encode(one.request).decode() for one in ones], dtype=object)
        select = dict.fromkeys(("segment", *FIELDS))
        for (name, kind), width in zip(LISTS.items(), shape, strict=True):
            matrix = np.array([getattr(one, name) for one in ones], dtype=kind).reshape(len(ones), width)
            table.update({f"{name}_{i}": matrix[:, i].copy() for i in range(width)})
            parts = ", ".join(f"{name}_{i}" for i in range(width))
            select[name] = f"[{parts}]::{_SQL_TYPES[name]}"
        text = ", ".join(expression or name for name, expression in select.items())
        connection.register("rows", table)
        connection.execute(f"INSERT INTO predictions SELECT {text} FROM rows")  # noqa: S608 -- all names are ours
        connection.unregister("rows")


def literal(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


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


def _metadata(gaps: list[dict[str, Any]], accounted: int) -> str:
    text = msgspec.json.encode(gaps).decode()
    return f"{{{literal(GAPS_KEY)}: {literal(text)}, {literal(ACCOUNTED_KEY)}: '{accounted}'}}"


def _copy(connection: DuckDBPyConnection, text: str, path: Path, metadata: str, key: DataKey | None) -> None:
    with made(path, key) as name:
        connection.execute(
            f"COPY ({text} ORDER BY {_ORDER}) TO {literal(name)} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false, "
            f"ROW_GROUP_SIZE {GROUP_ROWS}, DICTIONARY_SIZE_LIMIT {GROUP_ROWS}, KV_METADATA {metadata})"
        )


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[DuckDBPyConnection]:
    import duckdb

    try:
        with connect() as connection:
            yield connection
    except (duckdb.Error, OSError) as error:
        message = f"cannot write {path}: {error}"
        raise RecorderError(message, hint="make room on the disk; the segments stay as they are") from error


def table(name: str) -> str:
    """The table in a file, as SQL has it."""
    return f"read_parquet({literal(name)})"


def columns_in(connection: DuckDBPyConnection, name: str) -> dict[str, str]:
    """Each column of a prediction as SQL asks a file for it, which may be of an earlier release and lack the last ones."""
    text = f"SELECT name FROM parquet_schema({literal(name)})"  # noqa: S608 -- all names are ours
    there = {one for (one,) in connection.execute(text).fetchall()}
    return {column: _LATER[column] if column in _LATER and column not in there else column for column in TYPES}


class _Engines(threading.local):
    """The engine of a thread, by process: an engine does not survive a fork."""

    def __init__(self) -> None:
        self.of: dict[int, DuckDBPyConnection] = {}


_engines = _Engines()


def connect() -> DuckDBPyConnection:
    """A connection to this thread's engine, which leaves nothing on the disk.

    An engine takes 15 ms to begin, a connection to it nothing. Threads that share one could wait for each other: one with
    the interpreter's lock for the engine's, another with the engine's for the interpreter's.
    """
    process = os.getpid()
    if process not in _engines.of:
        import duckdb

        # Files have the names of open descriptors: nothing may be remembered by name.
        config: dict[str, Any] = {"temp_directory": "", "enable_external_file_cache": "false"}
        _engines.of[process] = duckdb.connect(config=config)
    return _engines.of[process].cursor()
