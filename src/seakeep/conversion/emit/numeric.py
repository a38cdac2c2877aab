"""Transformers of numbers: imputing and scaling, in double and in the estimators' own order of operations."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from seakeep.conversion.emit.graph import Column, Graph, Table
from seakeep.conversion.emit.registry import require, require_numbers, transformer


@transformer(SimpleImputer)
def impute(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """NaN becomes the fitted statistic; indicator columns follow if asked for."""
    _require_dense_numbers(table, where)
    require(
        condition=isinstance(step.missing_values, float) and np.isnan(step.missing_values),
        where=where,
        what=f"missing_values={step.missing_values!r} is not emitted",
        hint="missing numbers are NaN; leave missing_values at its default",
    )
    matrix = graph.matrix(table.columns)
    graph.refuse_infinite(matrix)
    missing = graph.node("IsNaN", matrix)
    statistics = np.asarray(step.statistics_, dtype=np.float64)
    filled = graph.node("Where", missing, graph.constant(statistics[None, :]), matrix)
    columns = graph.new_columns(filled, table.columns)
    kept = [column for column, value in zip(columns, statistics, strict=True) if not np.isnan(value)]
    if step.indicator_ is not None:
        flags = graph.node("Cast", missing, to=TensorProto.DOUBLE)
        likes = [dataclasses.replace(c, name=f"missing {c.name}", origin=None) for c in table.columns]
        indicators = graph.new_columns(flags, likes)
        kept += [indicators[i] for i in step.indicator_.features_]
    return Table(tuple(kept))


@transformer(StandardScaler)
def standardise(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``(x - mean) / scale``."""
    _require_dense_numbers(table, where)
    matrix = graph.matrix(table.columns)
    graph.refuse_infinite(matrix)
    width = len(table.columns)
    shift, scale = np.zeros(width), np.ones(width)
    if step.with_mean:
        shift = np.asarray(step.mean_, dtype=np.float64)
        matrix = graph.node("Sub", matrix, graph.constant(shift[None, :]))
    if step.scale_ is not None:
        scale = np.asarray(step.scale_, dtype=np.float64)
        matrix = graph.node("Div", matrix, graph.constant(scale[None, :]))
    return Table(graph.new_columns(matrix, _traced(table, scale, shift)))


@transformer(MinMaxScaler)
def stretch(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``x * scale + min``, clipped if asked for."""
    _require_dense_numbers(table, where)
    matrix = graph.matrix(table.columns)
    graph.refuse_infinite(matrix)
    scale, low = np.asarray(step.scale_, dtype=np.float64), np.asarray(step.min_, dtype=np.float64)
    matrix = graph.node("Mul", matrix, graph.constant(scale[None, :]))
    matrix = graph.node("Add", matrix, graph.constant(low[None, :]))
    if step.clip:
        for bound, beyond in zip(step.feature_range, ("Less", "Greater"), strict=True):
            limit = graph.constant(np.array(float(bound)))
            matrix = graph.node("Where", graph.node(beyond, matrix, limit), limit, matrix)
    return Table(graph.new_columns(matrix, _traced(table, 1 / scale, -low / scale)))


def _require_dense_numbers(table: Table, where: str) -> None:
    require_numbers(table, where)
    require(
        condition=not table.sparse,
        where=where,
        what="a sparse matrix reaches this step",
        hint="give the encoder sparse_output=False and the ColumnTransformer sparse_threshold=0",
    )


def _traced(table: Table, scale: np.ndarray[Any, Any], shift: np.ndarray[Any, Any]) -> list[Column]:
    """The columns with origins that undo ``v = (x - shift) / scale``."""
    traced = []
    for column, factor, offset in zip(table.columns, scale.tolist(), shift.tolist(), strict=True):
        origin = column.origin
        if origin is not None and not origin.choices:
            origin = dataclasses.replace(
                origin, scale=factor * origin.scale, shift=offset * origin.scale + origin.shift
            )
        traced.append(dataclasses.replace(column, origin=origin))
    return traced
