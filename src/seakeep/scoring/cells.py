"""How a row of a file is written as the JSON object that a client would send: an expression of DuckDB's SQL.

Values are carried over, never judged: what a column may hold is decided where requests are decoded. A missing value and
NaN become ``null``. A whole number in a column of floats, as data frames keep whole numbers with gaps, is a whole number
where the model reads one. Infinity is no JSON number: it stays a text, which is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from seakeep.records.source import ColumnSchema, Kind

TEXT: Final = "text without a type"
"""The type of what is text in the file whatever it means: cells of CSV, partitions of Delta tables."""
JSON: Final = "JSON"
NOTHING: Final = '"NULL"'
"""DuckDB's type of a column of Parquet that was written without one, since nothing is in it."""

_WHOLE = {f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")}
_FAMILIES = (("DECIMAL", "decimal"), ("ENUM", "text"), ("TIMESTAMP", "moment"))
_FAMILY = {
    **dict.fromkeys(_WHOLE, "whole"),
    "DOUBLE": "real",
    "FLOAT": "real",
    "BOOLEAN": "bool",
    "VARCHAR": "text",
    "UUID": "text",
    "DATE": "moment",
}
_NUMBER = r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?"
_INTEGER = r"-?(0|[1-9]\d*)"


def quoted(name: str) -> str:
    """A name of a column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def row_object(columns: Sequence[ColumnSchema], types: Mapping[str, str], places: Mapping[str, str]) -> str:
    """A row as text of JSON, with those of the columns that there are.

    Parameters
    ----------
    columns
        What a request may hold.
    types
        What the file holds: names of DuckDB's types, or :data:`TEXT`. They fit (:func:`fits`).
    places
        The expression that reads each column.
    """
    pairs = [
        f"{literal(one.name)}, {_cell(one.kind, types[one.name], places[one.name])}"
        for one in columns
        if one.name in types
    ]
    return f"CAST(json_object({', '.join(pairs)}) AS VARCHAR)"


def row_of_object(columns: Sequence[ColumnSchema], row: str) -> str:
    """A row that is an object already, as it stands; if it names other columns too, without them.

    What is no object, or has a name twice, stays so for the decoder to refuse.

    Parameters
    ----------
    row
        The expression of the object, of DuckDB's type JSON.
    """
    known = f"[{', '.join(literal(one.name) for one in columns)}]"
    keys = f"json_keys({row})"
    paths = f"[{', '.join(_path(literal(one.name)) for one in columns)}]"
    heads = f"[{', '.join(literal(json.dumps(one.name) + ':') for one in columns)}]"
    once = f"list_transform(json_extract({row}, {paths}), lambda cell, place: {heads}[place] || CAST(cell AS VARCHAR))"
    pair = f"CAST(to_json(name) AS VARCHAR) || ':' || CAST(json_extract({row}, {_path('name')}) AS VARCHAR)"
    twice = f"[{pair} for name in {keys} if list_contains({known}, name)]"
    return (
        f"CASE WHEN list_has_all({known}, {keys}) THEN CAST({row} AS VARCHAR) "
        f"WHEN len({keys}) = len(list_distinct({keys})) THEN '{{' || coalesce(array_to_string({once}, ','), '') || '}}' "
        f"ELSE '{{' || array_to_string({twice}, ',') || '}}' END"
    )


def cell_of_object(name: str, row: str) -> str:
    """A cell of a row that is an object, as text; a text without its quotation marks."""
    return f"json_extract_string({row}, {_path(literal(name))})"


def _path(name: str) -> str:
    """Where a name stands in an object: an expression, for the names of objects are no words of our own."""
    return f"""('$."' || replace(replace({name}, '\\', '\\\\'), '"', '\\"') || '"')"""


def fits(kind: Kind, held: str) -> bool:
    """Whether a column of this type can be what a column of this kind is read from."""
    return held in {TEXT, JSON, NOTHING} or _family(held) in _TYPED[kind]


def _cell(kind: Kind, held: str, value: str) -> str:
    if held == NOTHING:
        return "NULL"
    return (_TEXTS[kind] if held == TEXT else _TYPED[kind][_family(held)])(value)


def _family(held: str) -> str:
    if held.endswith("]"):  # a list of it
        return ""
    found = next((family for start, family in _FAMILIES if held.startswith(start)), "")
    return found or _FAMILY.get(held, "")


def _as_is(value: str) -> str:
    return f"to_json({value})"


def _text(value: str) -> str:
    return f"to_json(CAST({value} AS VARCHAR))"


def _double(value: str) -> str:
    double = f"CAST({value} AS DOUBLE)"
    return (
        f"CASE WHEN isnan({double}) THEN NULL WHEN isinf({double}) THEN to_json(CAST({value} AS VARCHAR)) "
        f"ELSE to_json({double}) END"
    )


def _decimal(value: str) -> str:
    """By its digits, as whoever reads a request takes them: a quotient need not be the nearest double."""
    return f"to_json(CAST(CAST({value} AS VARCHAR) AS DOUBLE))"


def _whole_decimal(value: str) -> str:
    return f"CASE WHEN {value} = floor({value}) THEN to_json(CAST({value} AS HUGEINT)) ELSE {_decimal(value)} END"


def _whole(value: str) -> str:
    double = f"CAST({value} AS DOUBLE)"
    return (
        f"CASE WHEN {double} = floor({double}) AND abs({double}) < 9e18 THEN to_json(CAST({value} AS BIGINT)) "
        f"ELSE {_double(value)} END"
    )


def _moment(value: str) -> str:
    return f"to_json(epoch_us({value}))"


def _number_text(pattern: str, other: Callable[[str], str]) -> Callable[[str], str]:
    """A number in text, digit by digit where it is JSON; other text stays one, for the decoder to refuse."""

    def written(value: str) -> str:
        return (
            f"CASE WHEN regexp_full_match({value}, {literal(pattern)}) "
            f"THEN coalesce(TRY_CAST({value} AS JSON), to_json({value})) "
            f"WHEN TRY_CAST({value} AS DOUBLE) IS NULL THEN to_json({value}) "
            f"ELSE {other(f'TRY_CAST({value} AS DOUBLE)')} END"
        )

    return written


def _bool_text(value: str) -> str:
    return (
        f"CASE lower({value}) WHEN 'true' THEN to_json(true) WHEN 'false' THEN to_json(false) ELSE to_json({value}) END"
    )


_TYPED: dict[Kind, dict[str, Callable[[str], str]]] = {
    "float": {"whole": _as_is, "real": _double, "decimal": _decimal},
    "int": {"whole": _as_is, "real": _whole, "decimal": _whole_decimal},
    "bool": {"bool": _as_is},
    "string": {"text": _text},
    "time": {"moment": _moment, "whole": _as_is, "text": _text},
}
_TEXTS: dict[Kind, Callable[[str], str]] = {
    "float": _number_text(_NUMBER, _double),
    "int": _number_text(_INTEGER, _whole),
    "bool": _bool_text,
    "string": _as_is,
    "time": _as_is,
}
