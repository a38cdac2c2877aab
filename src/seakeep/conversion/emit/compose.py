"""Estimators made of transformers: pipelines, unions and column transformers, nested to any depth.

Read from scikit-learn 1.9.1, ``pipeline.py`` and ``compose/_column_transformer.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import Scored, predict, predictor, require_numbers, transform, transformer
from seakeep.conversion.emit.scale import traced
from seakeep.errors import ConversionError


@predictor(Pipeline)
def predict_pipeline(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Transformers, then a predictor."""
    name, last = step.steps[-1]
    return predict(graph, last, _through(graph, step.steps[:-1], table, where), f"{where}.{name}")


@transformer(Pipeline)
def transform_pipeline(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Transformers, one after the other."""
    return _through(graph, step.steps, table, where)


@transformer(FeatureUnion)
def unite(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Each transformer's columns of all inputs, side by side; sparse if any of them is."""
    weights = step.transformer_weights or {}
    parts = []
    for name, inner in step.transformer_list:
        if inner != "drop":
            part = table if inner == "passthrough" else transform(graph, inner, table, f"{where}.{name}")
            parts.append(_weighted(graph, part, weights.get(name), f"{where}.{name}"))
    columns = tuple(column for part in parts for column in part.columns)
    return Table(columns, sparse=any(part.sparse for part in parts))


@transformer(ColumnTransformer)
def transform_columns(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Each transformer's columns, side by side; sparse if ``sparse_threshold`` said so of the training data."""
    weights = step.transformer_weights or {}
    columns: list[Column] = []
    for name, inner, selector in step.transformers_:
        inside = f"{where}.{name}"
        chosen = _select(table, selector, inside)
        if not chosen or (isinstance(inner, str) and inner == "drop"):
            continue
        part = Table(chosen, sparse=table.sparse)
        passed = isinstance(inner, str) and inner == "passthrough"
        made = part if passed else transform(graph, inner, part, inside)
        columns += _weighted(graph, made, weights.get(name), inside).columns
    return Table(tuple(columns), sparse=step.sparse_output_)


def _through(graph: Graph, steps: list[tuple[str, Any]], table: Table, where: str) -> Table:
    for name, step in steps:
        if step is not None and not (isinstance(step, str) and step == "passthrough"):
            table = transform(graph, step, table, f"{where}.{name}")
    return table


def _weighted(graph: Graph, table: Table, weight: float | None, where: str) -> Table:
    if weight is None:
        return table
    require_numbers(table, where)
    matrix = graph.node("Mul", graph.matrix(table.columns), graph.number(weight))
    width = len(table.columns)
    scale = np.full(width, 1 / weight if weight else 0.0)
    return Table(graph.new_columns(matrix, traced(table, scale, np.zeros(width))), sparse=table.sparse)


def _select(table: Table, selector: Any, where: str) -> tuple[Column, ...]:
    """The columns a fitted selector chooses: names, positions, a slice of either or a mask."""
    width = len(table.columns)
    by_name = {column.name: i for i, column in enumerate(table.columns)}
    if isinstance(selector, slice):
        return table.columns[_positions(selector, by_name)]
    keys = [selector] if np.isscalar(selector) else list(selector)
    if len(keys) == width and all(isinstance(key, (bool, np.bool_)) for key in keys):
        return tuple(column for column, chosen in zip(table.columns, keys, strict=True) if chosen)
    chosen = []
    for key in keys:
        if isinstance(key, str) and key in by_name:
            chosen.append(table.columns[by_name[key]])
        elif isinstance(key, (int, np.integer)) and -width <= key < width:
            chosen.append(table.columns[int(key)])
        else:
            raise ConversionError(f"{where}: no column {key!r}", hint=f"the columns here are {', '.join(by_name)}")
    return tuple(chosen)


def _positions(selector: slice, by_name: dict[str, int]) -> slice:
    """A slice of names, whose end is included, as one of positions."""
    start, stop = selector.start, selector.stop
    return slice(
        by_name[start] if isinstance(start, str) else start,
        by_name[stop] + 1 if isinstance(stop, str) else stop,
        selector.step,
    )
