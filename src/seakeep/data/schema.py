"""Schemas: what the columns of a source are, and whether they can serve as its time and key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import DataError, did_you_mean
from seakeep.records.source import ColumnSchema, Events, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.data.table import Table

_KINDS: dict[str, Kind] = {"f": "float", "i": "int", "b": "bool", "O": "string", "M": "time"}


def infer_schema(table: Table) -> tuple[ColumnSchema, ...]:
    """Name, kind and nullability of every column of a normal-form table, in the order of names.

    A column is nullable when a value is missing in it.
    """
    return tuple(
        ColumnSchema(name=name, kind=_KINDS[values.dtype.kind], nullable=bool(missing(values).any()))
        for name, values in sorted(table.items())
    )


def missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a normal-form column has no value."""
    kind = values.dtype.kind
    gaps: NDArray[np.bool_] = np.zeros(len(values), dtype=np.bool_)
    if kind == "f":
        gaps = np.isnan(values)
    elif kind == "M":
        gaps = np.isnat(values)
    elif kind == "O":
        gaps = np.asarray(values == "", dtype=np.bool_)
    return gaps


def check_table(table: Table, events: Events) -> None:
    """Check that a table can be the history of a source.

    Raises
    ------
    DataError
        The declared time or key column is not there, has the wrong kind, or lacks values.
    """
    time = _declared(table, events, "time", events.time)
    if time.dtype.kind != "M":
        raise DataError(
            f"source {events.name!r}: time column {events.time!r} is {_KINDS[time.dtype.kind]}, not a time",
            hint="convert it in the loader, for example with pandas.to_datetime(..., utc=True)",
        )
    _complete(events, "time", events.time, time)
    if events.key:
        key = _declared(table, events, "key", events.key)
        if key.dtype.kind not in "Oi":
            raise DataError(
                f"source {events.name!r}: key column {events.key!r} is {_KINDS[key.dtype.kind]}, not string or int",
                hint="a key must identify a row; an int column with missing values becomes float",
            )
        _complete(events, "key", events.key, key)


def _declared(table: Table, events: Events, role: str, column: str) -> NDArray[Any]:
    if column not in table:
        raise DataError(
            f"source {events.name!r}: its {role} column {column!r} is not in the table",
            hint=did_you_mean(column, table),
        )
    return table[column]


def _complete(events: Events, role: str, column: str, values: NDArray[Any]) -> None:
    gaps = np.flatnonzero(missing(values))
    if len(gaps):
        raise DataError(
            f"source {events.name!r}: {role} column {column!r} is missing in {len(gaps):,} of {len(values):,} rows, "
            f"first in row {gaps[0]}",
            hint="leave out rows of events that did not happen",
        )
