"""Missing numbers.

Read from scikit-learn 1.9.1, ``impute/_base.py``. A value is missing if it equals ``missing_values`` (NaN by default,
which then passes the check that refuses infinite numbers; with another value NaN is refused). Columns without a fitted
statistic are left out, unless ``keep_empty_features``. Texts are filled where ``missing_values`` is a text: the frame
writes a missing one as ``""``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.impute import MissingIndicator, SimpleImputer

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import finite, not_infinite, require, require_dense, require_numbers, transformer


@transformer(SimpleImputer)
def impute(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """The fitted statistic in place of what is missing; indicator columns follow if asked for."""
    require_dense(table, where)
    if table.columns and all(column.kind == "category" for column in table.columns):
        return _impute_text(step, table)
    matrix, missing = _missing(graph, step, table, where)
    statistics = np.asarray(step.statistics_, dtype=np.float64)
    filled = graph.node("Where", missing, graph.row(np.nan_to_num(statistics)), matrix)
    columns = graph.new_columns(filled, table.columns)
    dropped = np.isnan(statistics) & (not step.keep_empty_features)
    kept = [column for column, gone in zip(columns, dropped.tolist(), strict=True) if not gone]
    if step.indicator_ is not None:
        kept += _flags(graph, table, missing, step.indicator_.features_)
    return Table(tuple(kept))


def _impute_text(step: Any, table: Table) -> Table:
    """A text in place of another; what is missing by default, NaN, no text is."""
    missing = step.missing_values
    if not isinstance(missing, str):
        return table
    kept = []
    for column, statistic in zip(table.columns, step.statistics_.tolist(), strict=True):
        if isinstance(statistic, str):
            renamed = {text: statistic if to == missing else to for text, to in column.renamed.items()}
            kept.append(dataclasses.replace(column, renamed={missing: statistic} | renamed))
    if step.indicator_ is not None:
        for i in step.indicator_.features_.tolist():
            column = table.columns[i]
            flags = {text: float(to == missing) for text, to in column.renamed.items()}
            flags = flags if missing in column.renamed else flags | {missing: 1.0}
            kept.append(
                dataclasses.replace(column, name=f"missing {column.name}", kind="number", codes=flags, default=0.0)
            )
    return Table(tuple(kept))


@transformer(MissingIndicator)
def indicate(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Whether each column's value is missing, of the columns that had a missing value when fitted, or of all."""
    require_dense(table, where)
    _, missing = _missing(graph, step, table, where)
    if step.features == "missing-only" and step.error_on_new:
        others = sorted(set(range(len(table.columns))) - set(step.features_.tolist()))
        if others:
            new = graph.take(missing, others)
            graph.refuse(graph.node("Where", new, graph.number(np.nan), graph.number(0.0)))
    return Table(_flags(graph, table, missing, step.features_), sparse=step.sparse is True)


def _missing(graph: Graph, step: Any, table: Table, where: str) -> tuple[str, str]:
    """The matrix, and where it is missing."""
    missing = step.missing_values
    require(
        condition=isinstance(missing, (int, float)) and not isinstance(missing, bool),
        where=where,
        what=f"missing_values={missing!r} is not a number",
        hint="missing numbers are NaN; leave missing_values at its default",
    )
    require_numbers(table, where)
    if np.isnan(missing):
        matrix = not_infinite(graph, table, where)
        return matrix, graph.node("IsNaN", matrix)
    matrix = finite(graph, table, where)
    return matrix, graph.node("Equal", matrix, graph.number(missing))


def _flags(graph: Graph, table: Table, missing: str, features: Any) -> tuple[Column, ...]:
    likes = [
        dataclasses.replace(c, name=f"missing {c.name}", origin=c.origin and c.origin.choosing((np.nan, 0.0)))
        for c in table.columns
    ]
    flags = graph.new_columns(graph.double(missing), likes)
    return tuple(flags[i] for i in np.asarray(features).tolist())
