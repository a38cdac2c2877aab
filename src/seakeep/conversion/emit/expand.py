"""Columns chosen, multiplied and projected.

Read from scikit-learn 1.9.1, ``feature_selection/_base.py``, ``preprocessing/_polynomial.py``,
``decomposition/_base.py``, ``_pca.py`` and ``_truncated_svd.py``. Missing and infinite numbers are refused, except by
selectors whose estimator accepts missing ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import feature_selection as selection
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils import get_tags

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import finite, require_dense, transformer


@transformer(
    selection.GenericUnivariateSelect,
    selection.RFE,
    selection.RFECV,
    selection.SelectFdr,
    selection.SelectFpr,
    selection.SelectFromModel,
    selection.SelectFwe,
    selection.SelectKBest,
    selection.SelectPercentile,
    selection.SequentialFeatureSelector,
    selection.VarianceThreshold,
)
def choose(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """The columns of ``get_support()``; what is refused depends on all of them.

    With an estimator that accepts missing numbers nothing is checked, infinite ones neither.
    """
    numbers = Table(tuple(column for column in table.columns if column.kind == "number"), sparse=table.sparse)
    if numbers.columns and not get_tags(step).input_tags.allow_nan:
        finite(graph, numbers, where)
    support = np.asarray(step.get_support()).tolist()
    chosen = (column for column, kept in zip(table.columns, support, strict=True) if kept)
    return Table(tuple(chosen), sparse=table.sparse)


@transformer(PolynomialFeatures)
def multiply(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Products of columns, the later factors multiplied first, as scikit-learn reuses the products of lower degree."""
    require_dense(table, where)
    matrix = finite(graph, table, where)
    factors = [np.repeat(np.arange(len(powers)), powers).tolist() for powers in step.powers_]
    parts: list[str] = []
    likes = []
    for degree in sorted({len(one) for one in factors}):
        alike = [one for one in factors if len(one) == degree]
        parts.append(_products(graph, matrix, alike))
        likes += [_like(table, one) for one in alike]
    return Table(graph.new_columns(graph.beside(parts), likes))


@transformer(PCA, IncrementalPCA)
def project(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``x @ components.T - mean @ components.T``, over the scale if whitened."""
    components = np.asarray(step.components_, dtype=np.float64)
    made = graph.product(finite(graph, table, where), components.T)
    made = graph.node("Sub", made, graph.row(step.mean_.reshape(1, -1) @ components.T))
    if step.whiten:
        scale = np.sqrt(step.explained_variance_)
        made = graph.node("Div", made, graph.row(np.maximum(scale, np.finfo(np.float64).eps)))
    return _mixed(graph, made, table, len(components))


@transformer(TruncatedSVD)
def truncate(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``x @ components.T``."""
    components = np.asarray(step.components_, dtype=np.float64)
    return _mixed(graph, graph.product(finite(graph, table, where), components.T), table, len(components))


def _products(graph: Graph, matrix: str, factors: Sequence[Sequence[int]]) -> str:
    degree = len(factors[0])
    if not degree:
        return graph.node("Expand", graph.constant(np.ones((1, 1))), graph.rows(1))
    made = graph.take(matrix, [one[-1] for one in factors])
    for place in range(degree - 2, -1, -1):
        made = graph.node("Mul", made, graph.take(matrix, [one[place] for one in factors]))
    return made


def _like(table: Table, factors: Sequence[int]) -> Any:
    if len(factors) == 1:
        return table.columns[factors[0]]
    name = " ".join(table.columns[i].name for i in factors) or "1"
    return dataclasses.replace(table.columns[0], name=name, origin=None)


def _mixed(graph: Graph, matrix: str, table: Table, width: int) -> Table:
    likes = [dataclasses.replace(table.columns[0], name=f"component {i}", origin=None) for i in range(width)]
    return Table(graph.new_columns(matrix, likes))
