"""Rows and events as they arrive: JSON to typed columns, strictly.

On the path of every request: typed by a struct made from the schema, so that one pass in C parses and checks.
"""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from seakeep.clock import parse_moment
from seakeep.errors import DataError, RowError, did_you_mean
from seakeep.records.expression import columns_of
from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import Cell
from seakeep.records.source import ColumnSchema, Events, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = bytes | msgspec.Raw

_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TYPES: dict[Kind, Any] = {"float": float, "int": _Int64, "bool": bool, "string": str, "time": str | _Int64}
_IN_WORDS: dict[Kind, str] = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a string",
    "time": "a time, as in 2013-07-15T06:00:00Z or in microseconds since 1970 UTC",
}
_NAT = np.datetime64("NaT").view(np.int64).item()
_LAST_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""
_SHOWN = 64
"""Characters of a name that an error repeats."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DecodedRows:
    """Rows that ask for predictions.

    Attributes
    ----------
    table
        The columns the definition reads, in the normal form, each of shape ``(n,)``.
    keys
        The rows' keys; ``""`` where the request has none.
    times_us
        int64 ``(n,)``; 0 where the row has no time.
    raw
        The rows as they were sent.
    """

    table: dict[str, NDArray[Any]]
    keys: list[str]
    times_us: NDArray[np.int64]
    raw: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.keys)


class RequestDecoder:
    """Decodes the rows of requests to a model.

    Parameters
    ----------
    definition
        Resolved; its request schema names the columns a row may and must have. The time may be left out or null.
    """

    def __init__(self, definition: ModelDefinition) -> None:
        request = definition.request
        schema = definition.schemas[request.name]
        required = {column.name for column in schema if not column.nullable} - {request.time}
        self._rows = _RowDecoder(schema, required)
        read = {view.entity for view in definition.views}
        read.update(name for node in definition.request_features.values() for name in columns_of(node))
        read.update(() if definition.rule is None else columns_of(definition.rule))
        self._read = [(name, kind) for name, kind in self._rows.kinds.items() if name in read]
        self._time, self._key = request.time, request.key

    def decode(self, rows: Json) -> DecodedRows:
        """Decode a JSON array of objects.

        Raises
        ------
        RowError
            With the first row and column at fault.
        """
        cells = self._rows.decode(rows)
        table = {name: _to_array(kind, cells[name]) for name, kind in self._read}
        count = self._rows.count(cells)
        keys = ["" if value is None else str(value) for value in cells[self._key]] if self._key else [""] * count
        times = [value or 0 for value in cells[self._time]]
        raw: list[dict[str, Any]] = msgspec.json.decode(rows)
        return DecodedRows(table=table, keys=keys, times_us=np.array(times, dtype=np.int64), raw=raw)


class EventDecoder:
    """Decodes batches of events of a source.

    An event must have its time and its key. Anything else may be missing, also where it never was in the history: an
    event has happened, and to refuse it would lose the rest of it.

    Parameters
    ----------
    schema
        The columns an event may and must have.
    """

    def __init__(self, source: Events, schema: Sequence[ColumnSchema]) -> None:
        self._rows = _RowDecoder(schema, {source.time, source.key})
        if source.time not in self._rows.kinds:
            raise DataError(
                f"source {source.name!r} has no column {source.time!r}",
                hint=did_you_mean(source.time, self._rows.kinds),
            )

    def decode(self, rows: Json) -> dict[str, list[Cell]]:
        """Decode a JSON array of objects to columns; times become microseconds, missing values None.

        Raises
        ------
        RowError
            With the first row and column at fault.
        """
        return self._rows.decode(rows)


def cells_to_table(
    columns: Mapping[str, Sequence[Cell]], schema: Sequence[ColumnSchema], source: Events
) -> dict[str, NDArray[Any]]:
    """Columns of decoded events as normal-form arrays; a column that is not there is missing in every row.

    Raises
    ------
    DataError
        The columns differ in length, or the time is missing.
    """
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"the columns of a batch of {source.name!r} differ in length", hint="send whole events")
    times = columns.get(source.time)
    if times is None or None in times:
        raise DataError(f"an event of {source.name!r} has no {source.time!r}", hint="an event needs its time")
    absent: Sequence[Cell] = [None] * len(times)
    return {column.name: _to_array(column.kind, columns.get(column.name, absent)) for column in schema}


def _to_array(kind: Kind, cells: Sequence[Cell]) -> NDArray[Any]:
    if kind == "float":
        return np.array(cells, dtype=np.float64)  # None becomes NaN
    if kind == "string":
        return np.array(["" if cell is None else cell for cell in cells], dtype=object)
    if kind == "time":
        moments = [_NAT if cell is None else cell for cell in cells]
        return np.array(moments, dtype=np.int64).view("datetime64[us]")
    if None in cells:
        return np.array(cells, dtype=np.float64)
    return np.array(cells, dtype=np.int64 if kind == "int" else np.bool_)


class _RowDecoder:
    """Typed by a struct with one field a column; fields have our own names, columns theirs in JSON."""

    def __init__(self, schema: Sequence[ColumnSchema], required: AbstractSet[str]) -> None:
        self.kinds: dict[str, Kind] = {column.name: column.kind for column in schema}
        self._required = required
        fields: list[Any] = []
        self._getters: list[Callable[[Any], Any]] = []
        for position, column in enumerate(schema):
            field = f"c{position}"
            self._getters.append(operator.attrgetter(field))
            if column.name in self._required:
                fields.append((field, _TYPES[column.kind]))
            else:
                fields.append((field, _TYPES[column.kind] | None, None))
        row = msgspec.defstruct(
            "Row",
            fields,
            rename={f"c{position}": column.name for position, column in enumerate(schema)},
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decoder = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
        self._times = [name for name, kind in self.kinds.items() if kind == "time"]

    def decode(self, rows: Json) -> dict[str, list[Cell]]:
        try:
            decoded = self._decoder.decode(rows)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._explain(rows, error) from error
        columns: dict[str, list[Cell]] = {
            name: list(map(getter, decoded)) for name, getter in zip(self.kinds, self._getters, strict=True)
        }
        for name in self._times:
            moments: list[Cell] = [None if cell is None else _moment(cell) for cell in columns[name]]
            if moments.count(None) != columns[name].count(None):
                raise self._explain(rows, ValueError(f"{name!r} holds what is not a time"))
            columns[name] = moments
        return columns

    def count(self, columns: Mapping[str, Sequence[Cell]]) -> int:
        return len(next(iter(columns.values())))

    def _explain(self, rows: Json, error: Exception) -> RowError:
        """Find the first cell at fault: off the hot path, so with care and not with speed."""
        try:
            found = json.loads(bytes(rows))
        except (ValueError, RecursionError):
            return RowError(f"the rows are not valid JSON: {error}", hint="send a JSON array of objects")
        if not isinstance(found, list):
            return RowError(f"the rows are {_json_name(found)}, not an array", hint="send a JSON array of objects")
        for number, row in enumerate(found):
            fault = self._row_fault(number, row)
            if fault is not None:
                return fault
        return RowError(f"the rows cannot be read: {error}", hint="send a JSON array of objects")

    def _row_fault(self, number: int, row: Any) -> RowError | None:
        if not isinstance(row, dict):
            return RowError(
                f"row {number} is {_json_name(row)}, not an object", row=number, hint="send one object a row"
            )
        for name in row:
            if name not in self.kinds:
                told = name[:_SHOWN]
                hint = did_you_mean(told, self.kinds)
                return RowError(f"row {number} has an unknown column {told!r}", row=number, column=told, hint=hint)
        for name, kind in self.kinds.items():
            if row.get(name) is None:
                if name in self._required:
                    what = "null" if name in row else "missing"
                    message = f"row {number}: {name!r} is {what} and may not be"
                    return RowError(message, row=number, column=name, hint=f"send {_IN_WORDS[kind]}")
            elif not _fits(kind, row[name]):
                message = f"row {number}: {name!r} is {_shown(row[name])}, not {_IN_WORDS[kind]}"
                missing = "" if name in self._required else "; send null for a missing value"
                return RowError(message, row=number, column=name, hint=f"send {_IN_WORDS[kind]}{missing}")
        return None


def _moment(cell: Any) -> int | None:
    """Microseconds of a time as sent, or None if it is not one."""
    try:
        moment = cell if isinstance(cell, int) else parse_moment(cell)
    except (ValueError, OverflowError):
        return None
    return moment if abs(moment) <= _LAST_US else None


_FITS: dict[Kind, Callable[[Any], bool]] = {
    "float": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value),
    "int": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "bool": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "time": lambda value: type(value) in {str, int} and _moment(value) is not None,
}


def _fits(kind: Kind, value: Any) -> bool:
    return _FITS[kind](value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _json_name(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    text = re.sub(r"\s+", " ", json.dumps(value))
    return text if len(text) <= 40 else f"{text[:40]}..."
