"""Linear models.

Read from scikit-learn 1.9.1, ``linear_model/_base.py``, ``_logistic.py``, ``_stochastic_gradient.py``, ``_ridge.py``,
``_glm/glm.py``, ``svm/_classes.py`` and ``discriminant_analysis.py``: ``x @ coefficients + intercept`` in double; rows with a missing or infinite
number are refused. Categories do not reach them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import linear_model, svm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, logistic, softmax
from seakeep.conversion.emit.registry import ROUNDED, Scored, finite, predictor, require


@predictor(
    LinearDiscriminantAnalysis,
    linear_model.LogisticRegression,
    linear_model.LogisticRegressionCV,
    linear_model.SGDClassifier,
    linear_model.Perceptron,
    linear_model.PassiveAggressiveClassifier,
    linear_model.RidgeClassifier,
    linear_model.RidgeClassifierCV,
    svm.LinearSVC,
)
def decided(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Decisions, and probabilities where the loss gives some: by the logistic function, or the softmax of several."""
    raw, width = affine(graph, step.coef_, step.intercept_, table, where)
    classes = len(step.classes_)
    if not hasattr(step, "predict_proba"):
        return Scored(tolerance=ROUNDED, classes=classes, decision=raw)
    if classes == 2:
        return Scored(tolerance=ROUNDED, decision=raw, positive=lambda: _likely(graph, step, raw))
    return Scored(
        tolerance=ROUNDED,
        classes=classes,
        decision=raw,
        probabilities=lambda: _shares(graph, step, raw, width),
    )


@predictor(
    linear_model.ARDRegression,
    linear_model.BayesianRidge,
    linear_model.ElasticNet,
    linear_model.ElasticNetCV,
    linear_model.HuberRegressor,
    linear_model.Lars,
    linear_model.Lasso,
    linear_model.LassoCV,
    linear_model.LassoLars,
    linear_model.LassoLarsIC,
    linear_model.LinearRegression,
    linear_model.OrthogonalMatchingPursuit,
    linear_model.PassiveAggressiveRegressor,
    linear_model.QuantileRegressor,
    linear_model.Ridge,
    linear_model.RidgeCV,
    linear_model.SGDRegressor,
    linear_model.TheilSenRegressor,
    svm.LinearSVR,
)
def valued(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The linear prediction."""
    raw, width = affine(graph, step.coef_, step.intercept_, table, where)
    return Scored(tolerance=ROUNDED, value=raw, targets=width)


@predictor(linear_model.PoissonRegressor, linear_model.GammaRegressor, linear_model.TweedieRegressor)
def generalised(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The inverse link of the linear prediction: the identity or the exponential."""
    raw, _ = affine(graph, step.coef_, step.intercept_, table, where)
    link = type(step._base_loss.link).__name__  # noqa: SLF001 -- which link "auto" chose is nowhere else; the proof checks it
    require(
        condition=link in {"IdentityLink", "LogLink"},
        where=where,
        what=f"{link} is not known",
        hint="use link='log' or link='identity'",
    )
    return Scored(tolerance=ROUNDED, value=raw if link == "IdentityLink" else curve(graph, "Exp", raw, 1))


@predictor(linear_model.SGDOneClassSVM)
def within(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The linear distance; below 0 an outlier."""
    raw, _ = affine(graph, step.coef_, -np.asarray(step.offset_), table, where)
    return Scored(tolerance=ROUNDED, decision=raw)


def affine(graph: Graph, coefficients: Any, intercept: Any, table: Table, where: str) -> tuple[str, int]:
    """``x @ coefficients.T + intercept`` and its width, of coefficients ``(k, d)`` or ``(d,)``."""
    matrix = finite(graph, table, where)
    if hasattr(coefficients, "toarray"):  # after sparsify()
        coefficients = coefficients.toarray()
    weights = np.atleast_2d(np.asarray(coefficients, dtype=np.float64)).T
    width = weights.shape[1]
    shift = np.broadcast_to(np.asarray(intercept, dtype=np.float64), (width,))
    return graph.node("Add", graph.product(matrix, weights), graph.row(shift)), width


def _likely(graph: Graph, step: Any, raw: str) -> str:
    return _clipped(graph, raw) if getattr(step, "loss", "") == "modified_huber" else logistic(graph, raw)


def _shares(graph: Graph, step: Any, raw: str, width: int) -> str:
    if isinstance(step, (linear_model.LogisticRegression, LinearDiscriminantAnalysis)):  # the first since 1.8
        return softmax(graph, raw, width)
    clipped = getattr(step, "loss", "") == "modified_huber"
    return normalised(graph, _clipped(graph, raw) if clipped else logistic(graph, raw, width), width)


def _clipped(graph: Graph, raw: str) -> str:
    """``(clip(raw, -1, 1) + 1) / 2``, as Zadrozny and Elkan give it for the modified Huber loss."""
    graph.flat = True
    between = graph.node("Max", graph.node("Min", raw, graph.number(1.0)), graph.number(-1.0))
    return graph.node("Div", graph.node("Add", between, graph.number(1.0)), graph.number(2.0))


def normalised(graph: Graph, shares: str, width: int) -> str:
    """Rows divided by their sum; equal shares where all are 0."""
    total = graph.total(shares, width)
    nothing = graph.node("Equal", total, graph.number(0.0))
    shares = graph.node("Where", nothing, graph.number(1.0), shares)
    return graph.node("Div", shares, graph.node("Where", nothing, graph.number(width), total))
