"""Scalers: in double and in the estimators' own order of operations.

Read from scikit-learn 1.9.1, ``preprocessing/_data.py``: missing numbers pass, infinite ones are refused. A sparse
matrix is multiplied by the inverse of the scale instead of divided by it, which rounds otherwise.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.preprocessing import Binarizer, MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import finite, not_infinite, require, require_dense, transformer
from seakeep.conversion.emit.tree import cut, stepped


@transformer(StandardScaler)
def standardise(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``(x - mean) / scale``."""
    return _scaled(graph, table, where, step.mean_ if step.with_mean else None, step.scale_)


@transformer(RobustScaler)
def robust(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``(x - centre) / scale``."""
    centre, scale = step.center_ if step.with_centering else None, step.scale_ if step.with_scaling else None
    return _scaled(graph, table, where, centre, scale)


@transformer(MaxAbsScaler)
def shrink(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``x / scale``, clipped to -1 and 1 if asked for."""
    scaled = _scaled(graph, table, where, None, step.scale_)
    return clipped(graph, scaled, -1.0, 1.0) if step.clip else scaled


@transformer(MinMaxScaler)
def stretch(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``x * scale + min``, clipped if asked for."""
    require_dense(table, where)
    matrix = not_infinite(graph, table, where)
    scale, low = np.asarray(step.scale_, dtype=np.float64), np.asarray(step.min_, dtype=np.float64)
    matrix = graph.node("Add", graph.node("Mul", matrix, graph.row(scale)), graph.row(low))
    stretched = Table(graph.new_columns(matrix, traced(table, 1 / scale, -low / scale)))
    return clipped(graph, stretched, *map(float, step.feature_range)) if step.clip else stretched


@transformer(Normalizer)
def normalise(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Rows divided by their norm; a norm of 0 divides by 1 instead."""
    matrix = finite(graph, table, where)
    # _handle_zeros_in_scale; a sparse matrix is divided by every norm that is not 0
    least = np.nextafter(0.0, 1.0) if table.sparse else 10 * np.finfo(np.float64).eps
    divided = unit_rows(graph, matrix, len(table.columns), step.norm, least=least)
    likes = [dataclasses.replace(column, origin=None) for column in table.columns]
    return Table(graph.new_columns(divided, likes), sparse=table.sparse)


@transformer(Binarizer)
def binarise(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Whether ``x > threshold``, as 0 and 1."""
    finite(graph, table, where)
    require(
        condition=not table.sparse or step.threshold >= 0,
        where=where,
        what="a sparse matrix cannot be compared with a negative threshold",
        hint="give the encoder sparse_output=False and the ColumnTransformer sparse_threshold=0",
    )
    graph.flat = True
    edges = np.full(1, float(step.threshold))
    steps = [(edges, np.array([0.0, 1.0]))] * len(table.columns)
    flags = cut(graph, table.columns, steps, side="left")
    return Table(graph.new_columns(flags, [stepped(column, edges) for column in table.columns]), sparse=table.sparse)


def unit_rows(graph: Graph, matrix: str, width: int, norm: str, *, least: float) -> str:
    """Rows divided by their norm (``"l1"``, ``"l2"`` or ``"max"``), but for those whose norm is less than ``least``."""
    size = graph.node("Abs", matrix)
    if norm == "l2":
        length = graph.node("Sqrt", graph.total(graph.node("Mul", matrix, matrix), width))
    elif norm == "l1":
        length = graph.total(size, width)
    else:
        length = graph.node("ReduceMax", size, graph.constant(np.array([1], dtype=np.int64)), keepdims=1)
    one = graph.number(1.0)
    return graph.node("Div", matrix, graph.node("Where", graph.node("Less", length, graph.number(least)), one, length))


def clipped(graph: Graph, table: Table, low: float, high: float) -> Table:
    """The table with values below and above the bounds replaced by them; missing ones stay."""
    graph.flat = True
    matrix = graph.matrix(table.columns)
    for bound, beyond in ((low, "Less"), (high, "Greater")):
        limit = graph.number(bound)
        matrix = graph.node("Where", graph.node(beyond, matrix, limit), limit, matrix)
    return Table(graph.new_columns(matrix, table.columns), sparse=table.sparse)


def traced(table: Table, scale: np.ndarray[Any, Any], shift: np.ndarray[Any, Any]) -> list[Column]:
    """The columns with origins that undo ``w = (v - shift) / scale``."""
    return [
        dataclasses.replace(column, origin=column.origin and column.origin.scaled(factor, offset))
        for column, factor, offset in zip(table.columns, scale.tolist(), shift.tolist(), strict=True)
    ]


def _scaled(graph: Graph, table: Table, where: str, centre: Any, spread: Any) -> Table:
    """``(x - centre) / spread``, with neither, either or both."""
    matrix = not_infinite(graph, table, where)
    width = len(table.columns)
    shift, scale = np.zeros(width), np.ones(width)
    if centre is not None:
        require_dense(table, where)
        shift = np.asarray(centre, dtype=np.float64)
        matrix = graph.node("Sub", matrix, graph.row(shift))
    if spread is not None:
        scale = np.asarray(spread, dtype=np.float64)
        inverse = graph.row(1.0 / scale)
        matrix = graph.node("Mul", matrix, inverse) if table.sparse else graph.node("Div", matrix, graph.row(scale))
    return Table(graph.new_columns(matrix, traced(table, scale, shift)), sparse=table.sparse)
