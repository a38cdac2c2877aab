"""Numbers cut into bins, and piecewise polynomials over them.

Read from scikit-learn 1.9.1, ``preprocessing/_discretization.py`` and ``_polynomial.py``. Comparisons are in double: a
value equal to an edge lies in the bin above it, and values beyond the outer edges in the outer bins. Missing and
infinite numbers are refused.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from onnx import TensorProto
from scipy.interpolate import BSpline, PPoly
from sklearn.preprocessing import KBinsDiscretizer, SplineTransformer

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import finite, require, require_dense, transform, transformer
from seakeep.conversion.emit.tree import cut, stepped


@transformer(KBinsDiscretizer)
def bins(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """The bin's number, or an indicator column for each bin."""
    require_dense(table, where)
    require(
        condition=step.dtype in {None, np.float64},
        where=where,
        what="dtype float32 rounds the numbers before they are compared",
        hint="leave dtype at its default",
    )
    finite(graph, table, where)
    graph.flat = True
    inner = [np.asarray(edges[1:-1], dtype=np.float64) for edges in step.bin_edges_]
    steps = [(edges, np.arange(len(edges) + 1, dtype=np.float64)) for edges in inner]
    numbers = cut(graph, table.columns, steps, side="right")
    likes = [stepped(column, edges) for column, edges in zip(table.columns, inner, strict=True)]
    numbered = Table(graph.new_columns(numbers, likes))
    if step.encode == "ordinal":
        return numbered
    flags = transform(graph, step._encoder, numbered, where)  # noqa: SLF001 -- nowhere else; the proof checks it
    return Table(flags.columns, sparse=step.encode == "onehot")


@transformer(SplineTransformer)
def splines(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Each basis function's polynomial in the interval of the value, by Horner's rule."""
    require(
        condition=step.extrapolation != "periodic" and getattr(step, "handle_missing", "error") == "error",
        where=where,
        what="periodic splines and handle_missing='zeros' are not emitted",
        hint="use another extrapolation, and impute first",
    )
    require_dense(table, where)
    finite(graph, table, where)
    columns: list[Column] = []
    for column, spline in zip(table.columns, step.bsplines_, strict=True):
        columns += _spline(graph, step, column, spline)
    return Table(tuple(columns), sparse=bool(step.sparse_output))


def _spline(graph: Graph, step: Any, column: Column, spline: Any) -> tuple[Column, ...]:
    degree, knots = step.degree, np.asarray(spline.t, dtype=np.float64)
    count = spline.c.shape[1]
    low, high = float(knots[degree]), float(knots[-degree - 1])
    edges = np.unique(knots[degree : len(knots) - degree])[1:-1]
    value = graph.matrix([column])
    inside = graph.node("Max", graph.node("Min", value, graph.number(high)), graph.number(low))
    if step.extrapolation == "error":
        beyond = graph.node("Not", graph.node("Equal", inside, value))
        graph.refuse(graph.node("Where", beyond, graph.number(np.nan), graph.number(0.0)))
    at = value if step.extrapolation == "continue" else inside
    starts = np.concatenate([[low], edges])
    pieces = [PPoly.from_spline(BSpline(knots, spline.c[:, i], degree)) for i in range(count)]
    # coefficients[p][interval, basis function], of the highest power first
    coefficients = [np.array([_piece(piece, start)[p] for start in starts for piece in pieces]).reshape(-1, count)
                    for p in range(degree + 1)]  # fmt: skip
    interval = cut(graph, [column], [(edges, np.arange(len(starts), dtype=np.float64))], side="right")
    interval = graph.shape(graph.node("Cast", interval, to=TensorProto.INT64), -1)
    away = graph.node("Sub", at, graph.node("Gather", graph.constant(starts.reshape(-1, 1)), interval, axis=0))
    made = graph.node("Gather", graph.constant(coefficients[0]), interval, axis=0)
    for part in coefficients[1:]:
        made = graph.node(
            "Add", graph.node("Mul", made, away), graph.node("Gather", graph.constant(part), interval, axis=0)
        )
    if step.extrapolation == "linear" and degree:
        slopes = [np.asarray(spline(end, nu=1), dtype=np.float64) for end in (low, high)]
        for bound, slope, beyond in ((low, slopes[0], "Min"), (high, slopes[1], "Max")):
            over = graph.node("Sub", graph.node(beyond, value, graph.number(bound)), graph.number(bound))
            made = graph.node("Add", made, graph.node("Mul", over, graph.row(slope)))
    likes = [dataclasses.replace(column, name=f"{column.name} spline {i}", origin=None) for i in range(count)]
    made_columns = graph.new_columns(made, likes)
    return made_columns if step.include_bias else made_columns[:-1]


def _piece(polynomial: Any, start: float) -> np.ndarray[Any, Any]:
    """The coefficients, highest power first, of the piece that begins at ``start``."""
    index = int(np.searchsorted(polynomial.x, start, side="right")) - 1
    return np.asarray(polynomial.c[:, index], dtype=np.float64)
