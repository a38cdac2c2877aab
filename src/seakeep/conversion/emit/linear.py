"""Logistic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from seakeep.conversion.emit.graph import Graph, Table
from seakeep.conversion.emit.link import logistic
from seakeep.conversion.emit.registry import Scored, classifier, require_numbers

TOLERANCE = 1e-10
"""A dot product of ``d`` terms added in another order differs by at most ``2 d eps sum|w x|`` (Higham, Accuracy and
Stability of Numerical Algorithms, 3.1), the probability by a quarter of it; so this allows ``d sum|w x|`` up to 9e5."""


@classifier(LogisticRegression)
def logistic_regression(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """``logistic(x @ coefficients + intercept)``."""
    require_numbers(table, where)
    matrix = graph.matrix(table.columns)
    graph.refuse_nonfinite(matrix)
    weights = graph.constant(np.asarray(step.coef_, dtype=np.float64).reshape(-1, 1))
    intercept = graph.constant(np.asarray(step.intercept_, dtype=np.float64).reshape(1, 1))
    raw = graph.node("Add", graph.node("MatMul", matrix, weights), intercept)
    return Scored(score=logistic(graph, graph.settle(raw)), tolerance=TOLERANCE, weighted=(matrix, len(table.columns)))
