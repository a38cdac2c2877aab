"""Estimators made of estimators: pipelines and column transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from seakeep.conversion.emit.graph import Column, Graph, Table
from seakeep.conversion.emit.registry import Scored, classifier, classify, require, transform, transformer
from seakeep.errors import ConversionError


@classifier(Pipeline)
def classify_pipeline(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Transformers, then a classifier."""
    name, last = step.steps[-1]
    return classify(graph, last, _through(graph, step.steps[:-1], table, where), f"{where}.{name}")


@transformer(Pipeline)
def transform_pipeline(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Transformers, one after the other."""
    return _through(graph, step.steps, table, where)


@transformer(FunctionTransformer)
def keep(graph: Graph, step: Any, table: Table, where: str) -> Table:  # noqa: ARG001 -- an emitter's signature
    """The identity; other functions are opaque."""
    require(
        condition=step.func is None and not step.validate,
        where=where,
        what="FunctionTransformer with a function or with validate=True is not emitted",
        hint="compute it as a feature of the project, where it is also proved to be equal online and offline",
    )
    return table


@transformer(ColumnTransformer)
def transform_columns(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Each transformer's columns, side by side."""
    require(
        condition=step.transformer_weights is None,
        where=where,
        what="transformer_weights is not emitted",
        hint="scale the columns with a scaler instead",
    )
    columns: list[Column] = []
    for name, inner, selector in step.transformers_:
        inside = f"{where}.{name}"
        chosen = _select(table, selector, inside)
        if not chosen or (isinstance(inner, str) and inner == "drop"):
            continue
        part = Table(chosen, sparse=table.sparse)
        passed = isinstance(inner, str) and inner == "passthrough"
        columns += (part if passed else transform(graph, inner, part, inside)).columns
    return Table(tuple(columns), sparse=step.sparse_output_)


def _through(graph: Graph, steps: list[tuple[str, Any]], table: Table, where: str) -> Table:
    for name, step in steps:
        if step is not None and not (isinstance(step, str) and step == "passthrough"):
            table = transform(graph, step, table, f"{where}.{name}")
    return table


def _select(table: Table, selector: Any, where: str) -> tuple[Column, ...]:
    """The columns a fitted selector chooses: names, positions, a slice of positions or a mask."""
    width = len(table.columns)
    if isinstance(selector, slice) and not isinstance(selector.start or selector.stop, str):
        return table.columns[selector]
    keys = [selector] if np.isscalar(selector) else list(selector)
    if len(keys) == width and all(isinstance(key, (bool, np.bool_)) for key in keys):
        return tuple(column for column, chosen in zip(table.columns, keys, strict=True) if chosen)
    by_name = {column.name: column for column in table.columns}
    chosen = []
    for key in keys:
        if isinstance(key, str) and key in by_name:
            chosen.append(by_name[key])
        elif isinstance(key, (int, np.integer)) and -width <= key < width:
            chosen.append(table.columns[int(key)])
        else:
            raise ConversionError(f"{where}: no column {key!r}", hint=f"the columns here are {', '.join(by_name)}")
    return tuple(chosen)
