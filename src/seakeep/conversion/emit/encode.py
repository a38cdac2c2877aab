"""Encoders of categories: text or numbers become codes or indicator columns.

Read from scikit-learn 1.9.1, ``preprocessing/_encoders.py`` and ``utils/_encode.py``. Infinite numbers are refused, NaN
is a category if it was one when fitted, and an unknown category otherwise. What becomes of an unknown category depends
on ``handle_unknown``; rare ones share a code (``min_frequency``, ``max_categories``). Text is compared letter by
letter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from seakeep.conversion.emit.column import Column, Origin, Table
from seakeep.conversion.emit.graph import ML, Graph
from seakeep.conversion.emit.registry import require, require_dense, transformer


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
        codes = codes | {text: codes.get(to, unknown) for text, to in column.renamed.items()}
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
    coded = graph.node("Where", graph.node("IsNaN", values), graph.number(missing), coded)
    return graph.new_columns(coded, [dataclasses.replace(column, origin=_choosing(column.origin, known))])[0]


def refuse_unknown(graph: Graph, column: Column, categories: Sequence[Any], where: str) -> None:
    """Refuse rows whose value in ``column`` is none of ``categories``."""
    marks = encode(graph, column, dict.fromkeys(categories, 0.0), unknown=np.nan, where=where)
    graph.refuse(graph.matrix([marks]))


@transformer(OrdinalEncoder)
def ordinal(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Codes 0, 1, 2 … in the order of ``categories_``; rare categories share the last code."""
    require_dense(table, where)
    _require_numeric(step, where)
    strict = step.handle_unknown == "error"
    columns = []
    for i, (column, categories) in enumerate(zip(table.columns, step.categories_, strict=True)):
        keys = categories.tolist()
        places = _places(step, i, len(keys))
        codes = {
            key: float(step.encoded_missing_value) if _is_nan(key) else float(place)
            for key, place in zip(keys, places, strict=True)
        }
        unknown = np.nan if strict else float(step.unknown_value)
        if strict:
            refuse_unknown(graph, column, keys, where)
        columns.append(encode(graph, column, codes, unknown=unknown, where=where))
    return Table(tuple(columns))


@transformer(OneHotEncoder)
def one_hot(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """One indicator column per category that is not dropped; rare categories share the last one."""
    require_dense(table, where)
    _require_numeric(step, where)
    grouped = step.handle_unknown in {"infrequent_if_exist", "warn"}
    dropped = step._drop_idx_after_grouping  # noqa: SLF001 -- drop_idx_ counts before grouping; the proof checks it
    columns: list[Column] = []
    for i, (column, categories) in enumerate(zip(table.columns, step.categories_, strict=True)):
        keys = categories.tolist()
        places = _places(step, i, len(keys))
        count = max(places) + 1
        if step.handle_unknown == "error":
            refuse_unknown(graph, column, keys, where)
        rare = step.infrequent_categories_[i] is not None if _groups(step) else False
        unknown = float(count - 1) if rare and grouped else -1.0
        codes = {key: float(place) for key, place in zip(keys, places, strict=True)}
        coded = encode(graph, column, codes, unknown=unknown, where=where)
        drop = None if dropped is None else dropped[i]
        kept = [place for place in range(count) if place != drop]
        if not kept:
            continue
        flags = graph.double(graph.node("Equal", graph.matrix([coded]), graph.row(kept)))
        likes = [dataclasses.replace(coded, name=f"{column.name}_{place}") for place in kept]
        columns += graph.new_columns(flags, likes)
    return Table(tuple(columns), sparse=step.sparse_output)


@transformer(TargetEncoder)
def target(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Each category's mean of the target, shrunk; the mean of all for an unknown one. Several classes: one column each.

    Read from ``preprocessing/_target_encoder.py``.
    """
    require_dense(table, where)
    several = len(step.classes_) if step.target_type_ == "multiclass" else 1
    means = np.broadcast_to(np.asarray(step.target_mean_, dtype=np.float64), (several,)).tolist()
    columns = []
    for i, (column, categories) in enumerate(zip(table.columns, step.categories_, strict=True)):
        for k in range(several):
            encoding = np.asarray(step.encodings_[i * several + k], dtype=np.float64).tolist()
            codes = dict(zip(categories.tolist(), encoding, strict=True))
            columns.append(encode(graph, column, codes, unknown=means[k], where=where))
    return Table(tuple(columns))


def _require_numeric(step: Any, where: str) -> None:
    dtype = np.dtype(step.dtype)
    require(
        condition=dtype == np.float64 or dtype.kind in "iu",
        where=where,
        what=f"dtype {dtype.name} is not emitted",
        hint="leave dtype at its default, float64",
    )


def _groups(step: Any) -> bool:
    return bool(step._infrequent_enabled)  # noqa: SLF001 -- infrequent_categories_ asks it too; the proof checks it


def _places(step: Any, i: int, count: int) -> list[int]:
    """The code of each category of column ``i``: its position, or the last one for rare categories.

    A missing category is never rare and, in an ordinal encoder, keeps its position.
    """
    mapping = step._default_to_infrequent_mappings[i] if _groups(step) else None  # noqa: SLF001 -- nowhere else; the proof checks it
    if mapping is None:
        return list(range(count))
    return [*mapping.tolist(), *range(len(mapping), count)]


def _choosing(origin: Origin | None, keys: Iterable[Any]) -> Origin | None:
    """The origin of a column that depends on which of ``keys`` a value is."""
    if origin is None or origin.choices:
        return origin
    choices = tuple(keys)
    if origin.kind == "number":
        choices = tuple(origin.back(np.array(choices, dtype=np.float64)).tolist())
    return origin.choosing(choices)


def _is_nan(key: object) -> bool:
    return isinstance(key, float) and bool(np.isnan(key))
