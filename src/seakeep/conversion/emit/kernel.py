"""Support vector machines.

Read from scikit-learn 1.9.1, ``svm/_base.py``, ``_classes.py`` and ``src/libsvm/svm.cpp``: kernels of each row with the
support vectors, in double and feature by feature as libsvm adds them, weighed by the dual coefficients. Missing and
infinite numbers are refused. The model holds the support vectors, which are rows of the training data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.multiclass import pairwise
from seakeep.conversion.emit.pointwise import curve
from seakeep.conversion.emit.registry import Scored, finite, predictor, require

WEIGHED = 1e-8
"""Thousands of dual coefficients of both signs weigh kernels: what they leave of their sum is much smaller than they."""


@predictor(SVC, NuSVC)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The distance from the plane between two classes; of several, votes of all pairs with ties broken."""
    require(
        condition=not hasattr(step, "predict_proba"),
        where=where,
        what="probability=True iterates towards the probabilities until they hardly change",
        hint="leave it out and put the estimator into a CalibratedClassifierCV",
    )
    count = len(step.classes_)
    dual, intercept = np.asarray(_dense(step.dual_coef_)), np.asarray(step.intercept_, dtype=np.float64)
    if count == 2:
        raw = graph.node("Add", graph.product(_kernel(graph, step, table, where), dual.T), graph.row(intercept))
        at_least = graph.double(graph.node("GreaterOrEqual", raw, graph.number(0.0)))
        return Scored(tolerance=WEIGHED, decision=raw, label=at_least)
    require(
        condition=step.decision_function_shape == "ovr",
        where=where,
        what="decision_function_shape='ovo' gives pairs instead of classes",
        hint="leave decision_function_shape at its default, 'ovr'",
    )
    raw = graph.product(_kernel(graph, step, table, where), _pairs(dual, step.n_support_))
    raw = graph.node("Add", raw, graph.row(intercept))
    second = graph.double(graph.node("Less", raw, graph.number(0.0)))
    graph.flat = True
    decided = pairwise(graph, second, graph.node("Neg", raw), count)
    label = None if step.break_ties else _most_votes(graph, raw, count)
    return Scored(tolerance=WEIGHED, classes=count, decision=decided, label=label)


@predictor(SVR, NuSVR)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The weighed kernels plus the intercept."""
    return Scored(tolerance=WEIGHED, value=_weighed(graph, step, table, where))


@predictor(OneClassSVM)
def within(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The same; below 0 an outlier."""
    return Scored(tolerance=WEIGHED, decision=_weighed(graph, step, table, where))


def _weighed(graph: Graph, step: Any, table: Table, where: str) -> str:
    dual = np.asarray(_dense(step.dual_coef_))
    product = graph.product(_kernel(graph, step, table, where), dual.T)
    return graph.node("Add", product, graph.row(step.intercept_))


def _kernel(graph: Graph, step: Any, table: Table, where: str) -> str:
    """``(n, support vectors)``."""
    matrix = finite(graph, table, where)
    vectors = np.asarray(_dense(step.support_vectors_), dtype=np.float64)
    gamma = float(step._gamma)  # noqa: SLF001 -- what "scale" came to is nowhere else; the proof checks it
    if step.kernel == "rbf":
        squares = apart(graph, matrix, vectors, lambda away: graph.node("Mul", away, away))
        return curve(graph, "Exp", graph.node("Mul", graph.number(-gamma), squares), len(vectors))
    require(
        condition=step.kernel in {"linear", "poly", "sigmoid"},
        where=where,
        what=f"kernel={step.kernel!r} is not emitted",
        hint="use rbf, linear, poly or sigmoid",
    )
    dots = graph.node("MatMul", matrix, graph.constant(np.ascontiguousarray(vectors.T)))
    if step.kernel == "linear":
        return dots
    moved = graph.node("Add", graph.node("Mul", graph.number(gamma), dots), graph.number(step.coef0))
    if step.kernel == "sigmoid":
        return curve(graph, "Tanh", moved, len(vectors))
    return graph.node("Pow", moved, graph.number(step.degree))


def apart(graph: Graph, matrix: str, vectors: np.ndarray[Any, Any], size: Any) -> str:
    """The sum over features of ``size(x - v)``, ``(n, vectors)``, feature by feature: without the cancellation of
    ``x x - 2 x v + v v``.
    """
    total = ""
    for i in range(vectors.shape[1]):
        part = size(graph.node("Sub", graph.take(matrix, [i]), graph.row(vectors[:, i])))
        total = graph.node("Add", total, part) if total else part
    return total


def _pairs(dual: np.ndarray[Any, Any], support: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The coefficients of every pair of classes ``i < j``: those of the vectors of class ``i`` are in row ``j - 1``,
    those of ``j`` in row ``i``.
    """
    ends = np.concatenate([[0], np.cumsum(support)])
    pairs = [(i, j) for i in range(len(support)) for j in range(i + 1, len(support))]
    weights = np.zeros((dual.shape[1], len(pairs)))
    for k, (i, j) in enumerate(pairs):
        first, second = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
        weights[first, k], weights[second, k] = dual[j - 1, first], dual[i, second]
    return weights


def _most_votes(graph: Graph, raw: str, classes: int) -> str:
    """The class that most pairs choose, the first of equal ones; of a pair the first where the decision is above 0."""
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    firsts, seconds = np.zeros((len(pairs), classes)), np.zeros((len(pairs), classes))
    for k, (i, j) in enumerate(pairs):
        firsts[k, i] = seconds[k, j] = 1.0
    first = graph.double(graph.node("Greater", raw, graph.number(0.0)))
    second = graph.node("Sub", graph.number(1.0), first)
    votes = [graph.node("MatMul", one, graph.constant(to)) for one, to in ((first, firsts), (second, seconds))]
    return registry.first_highest(graph, graph.node("Add", *votes))


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix
