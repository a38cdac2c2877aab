"""Encoders of categories: text or numbers become codes or indicator columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from seakeep.conversion.emit.graph import ML, Column, Graph, Origin, Table
from seakeep.conversion.emit.registry import require, transformer


def encode(graph: Graph, column: Column, codes: dict[Any, float], *, unknown: float, where: str) -> Column:
    """The column of ``codes[value]``, or ``unknown`` for other values; NaN may be a key.

    Raises
    ------
    ConversionError
        The codes' keys are not of the column's kind.
    """
    as_text = column.kind == "category"
    strangers = [key for key in codes if isinstance(key, str) != as_text]
    require(
        condition=not strangers,
        where=where,
        what=f"column {column.name!r} was fitted with the value {strangers[0]!r}" if strangers else "",
        hint="fit on category columns as str with '' for missing, and number columns as float",
    )
    if as_text:
        return dataclasses.replace(
            column, kind="number", codes=codes, default=unknown, origin=_choosing(column.origin, codes)
        )
    missing = next((code for key, code in codes.items() if np.isnan(key)), unknown)
    if column.codes is not None:

        def then(value: float) -> float:
            return missing if np.isnan(value) else codes.get(value, unknown)

        composed = {text: then(code) for text, code in column.codes.items()}
        return dataclasses.replace(column, codes=composed, default=then(column.default))
    return _encode_numbers(graph, column, codes, unknown=unknown, missing=missing)


def _encode_numbers(
    graph: Graph, column: Column, codes: dict[float, float], *, unknown: float, missing: float
) -> Column:
    known = {key: code for key, code in codes.items() if not np.isnan(key)}
    values = graph.matrix([column])
    graph.refuse_infinite(values)
    coded = graph.node(
        "LabelEncoder",
        values,
        domain=ML,
        keys_tensor=helper.make_tensor("keys", TensorProto.DOUBLE, [len(known)], list(known)),
        values_tensor=helper.make_tensor("values", TensorProto.DOUBLE, [len(known)], list(known.values())),
        default_tensor=helper.make_tensor("default", TensorProto.DOUBLE, [1], [unknown]),
    )
    coded = graph.node("Where", graph.node("IsNaN", values), graph.constant(np.array(missing)), coded)
    return graph.new_columns(coded, [dataclasses.replace(column, origin=_choosing(column.origin, known))])[0]


def refuse_unknown(graph: Graph, column: Column, categories: Sequence[Any], where: str) -> None:
    """Refuse rows whose value in ``column`` is none of ``categories``."""
    marks = encode(graph, column, dict.fromkeys(categories, 0.0), unknown=np.nan, where=where)
    graph.refuse(graph.matrix([marks]))


def _require_plain(step: Any, where: str) -> None:
    require(
        condition=step.min_frequency is None and step.max_categories is None,
        where=where,
        what="min_frequency and max_categories are not emitted",
        hint="leave them out; group rare categories in a feature instead",
    )
    require(
        condition=np.dtype(step.dtype) == np.float64 or np.dtype(step.dtype).kind == "i",
        where=where,
        what=f"dtype {np.dtype(step.dtype).name} is not emitted",
        hint="leave dtype at its default, float64",
    )


@transformer(OrdinalEncoder)
def ordinal(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Codes 0, 1, 2 … in the order of ``categories_``."""
    _require_plain(step, where)
    strict = step.handle_unknown == "error"
    unknown = np.nan if strict else float(step.unknown_value)
    columns = []
    for column, categories in zip(table.columns, step.categories_, strict=True):
        keys = categories.tolist()
        codes = {key: float(step.encoded_missing_value) if _is_nan(key) else float(i) for i, key in enumerate(keys)}
        if strict:
            refuse_unknown(graph, column, keys, where)
        columns.append(encode(graph, column, codes, unknown=unknown, where=where))
    return Table(tuple(columns))


@transformer(OneHotEncoder)
def one_hot(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """One indicator column per category that is not dropped."""
    _require_plain(step, where)
    dropped = step.drop_idx_ if step.drop_idx_ is not None else [None] * len(table.columns)
    columns: list[Column] = []
    for column, categories, drop in zip(table.columns, step.categories_, dropped, strict=True):
        keys = categories.tolist()
        require(
            condition=not any(_is_nan(key) for key in keys),
            where=where,
            what=f"column {column.name!r} has NaN as a category",
            hint="impute it first, or use OrdinalEncoder",
        )
        if step.handle_unknown == "error":
            refuse_unknown(graph, column, keys, where)
        codes = {key: float(i) for i, key in enumerate(keys)}
        coded = encode(graph, column, codes, unknown=-1.0, where=where)
        kept = [i for i in range(len(keys)) if i != drop]
        if not kept:
            continue
        wanted = graph.constant(np.array([kept], dtype=np.float64))
        flags = graph.node("Equal", graph.matrix([coded]), wanted)
        flags = graph.node("Cast", flags, to=TensorProto.DOUBLE)
        likes = [dataclasses.replace(coded, name=f"{column.name}_{keys[i]}") for i in kept]
        columns += graph.new_columns(flags, likes)
    return Table(tuple(columns), sparse=step.sparse_output)


def _choosing(origin: Origin | None, keys: Iterable[Any]) -> Origin | None:
    """The origin of a column that depends on which of ``keys`` a value is."""
    if origin is None or origin.choices:
        return origin
    choices = tuple(keys)
    if origin.kind == "number":
        choices = tuple(key * origin.scale + origin.shift for key in choices)
    return dataclasses.replace(origin, scale=1.0, shift=0.0, choices=choices)


def _is_nan(key: object) -> bool:
    return isinstance(key, float) and bool(np.isnan(key))
