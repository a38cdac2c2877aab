"""Gradient boosting over trees that compare in float32.

Read from scikit-learn 1.9.1, ``ensemble/_gb.py`` and ``_loss/link.py``: the raw prediction is the initial estimator's,
through the link of the loss, plus the learning rate times each leaf, added in order. The rules of rounding are those
of :mod:`seakeep.conversion.emit.trees`; missing values are refused.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.forest import Forest, Tree
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.histogram import COMPARES_ALONE
from seakeep.conversion.emit.pointwise import curve, logistic, softmax
from seakeep.conversion.emit.registry import EXACT, Scored, predict, predictor, require
from seakeep.conversion.emit.tree import follow
from seakeep.conversion.emit.trees import from_sklearn, single

_TINY = float(np.finfo(np.float64).eps)


@predictor(GradientBoostingClassifier)
def boosted_classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of the raw prediction, of twice it (``loss="exponential"``), or the softmax of several."""
    classes = int(step.n_classes_)
    raw = _raw(graph, step, table, where)
    if classes > 2:
        return Scored(
            tolerance=EXACT, classes=classes, decision=raw, probabilities=lambda: softmax(graph, raw, classes)
        )
    scaled = graph.node("Mul", raw, graph.number(2.0)) if step.loss == "exponential" else raw
    at_least = graph.double(graph.node("GreaterOrEqual", raw, graph.number(0.0)))  # predict says ">= 0" here
    return Scored(tolerance=EXACT, decision=raw, positive=lambda: logistic(graph, scaled), label=at_least)


@predictor(GradientBoostingRegressor)
def boosted_values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The raw prediction; the link of every loss of a regressor is the identity."""
    return Scored(tolerance=EXACT, value=_raw(graph, step, table, where))


def _raw(graph: Graph, step: Any, table: Table, where: str) -> str:
    columns, matrix, _ = single(graph, table, step, where)
    grown = tuple(
        _targeted(from_sklearn(each.tree_, step.learning_rate * each.tree_.value[:, 0, 0]), target)
        for stage in step.estimators_
        for target, each in enumerate(stage)
    )
    forest = Forest(trees=grown, columns=columns, matrix=matrix, single=True, missing=False)
    outputs = step.estimators_.shape[1]
    if isinstance(step.init_, str):
        return follow(graph, forest, [0.0] * outputs)
    if type(step.init_) in {DummyClassifier, DummyRegressor}:
        row = np.zeros((1, step.n_features_in_), dtype=np.float32)
        return follow(graph, forest, np.ravel(_linked(step, row)).tolist())
    require(
        condition=type(step.init_) in COMPARES_ALONE,
        where=where,
        what=f"init={type(step.init_).__name__} computes in float32 on what gradient boosting hands it",
        hint="leave init at its default, use init='zero', or start from trees",
    )
    return graph.node("Add", _started(graph, step, table, f"{where}.init"), follow(graph, forest, [0.0] * outputs))


def _targeted(tree: Tree, target: int) -> Tree:
    return dataclasses.replace(tree, target=target)


def _linked(step: Any, row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The initial estimator's raw prediction of one row; see ``_init_raw_predictions``."""
    if not hasattr(step, "classes_"):
        return np.asarray(step.init_.predict(row), dtype=np.float64)
    shares = step.init_.predict_proba(row)
    shares = np.clip(shares if step.n_classes_ > 2 else shares[:, 1], _TINY, 1 - _TINY)
    return np.asarray(step._loss.link.link(shares), dtype=np.float64)  # noqa: SLF001 -- the very bits of the start value; the proof checks them


def _started(graph: Graph, step: Any, table: Table, where: str) -> str:
    """The same as a tensor, of an estimator whose prediction depends on the row."""
    scored = predict(graph, step.init_, table, where)
    if not hasattr(step, "classes_"):
        return registry.value(graph, scored)
    several = step.n_classes_ > 2
    width = step.n_classes_ if several else 1
    shares = registry.probabilities(graph, scored) if several else registry.positive(graph, scored)
    graph.flat = True
    for bound, beyond in ((_TINY, "Less"), (1 - _TINY, "Greater")):
        limit = graph.number(bound)
        shares = graph.node("Where", graph.node(beyond, shares, limit), limit, shares)
    logarithm = curve(graph, "Log", shares, width)
    if several:
        mean = graph.node("Div", graph.total(logarithm, width), graph.number(width))
        return graph.node("Sub", logarithm, mean)
    other = curve(graph, "Log", graph.node("Sub", graph.number(1.0), shares), 1)
    odds = graph.node("Sub", logarithm, other)
    return graph.node("Mul", odds, graph.number(0.5)) if step.loss == "exponential" else odds
