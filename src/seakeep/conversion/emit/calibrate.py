"""Calibrated probabilities and thresholds over another classifier.

Read from scikit-learn 1.9.1, ``calibration.py``, ``isotonic.py`` and ``model_selection/_classification_threshold.py``.
The decision of the inner classifier is calibrated, or its probabilities if it has none; values beyond the isotonic
curve are those at its ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.linear import normalised
from seakeep.conversion.emit.pointwise import curve, logistic, softmax
from seakeep.conversion.emit.power import interpolate
from seakeep.conversion.emit.registry import Scored, finite, predict, predictor, require

_HARDLY_ABOVE = 1 + 1e-5


@predictor(CalibratedClassifierCV)
def calibrated(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The mean over the folds of their calibrated probabilities; each class apart, then divided by their sum."""
    classes, folds = len(step.classes_), step.calibrated_classifiers_
    parts, tolerance = [], registry.EXACT
    for i, fold in enumerate(folds):
        scored = predict(graph, fold.estimator, table, f"{where}.{i}")
        tolerance = max(tolerance, scored.tolerance)
        parts.append(_fold(graph, fold, scored, classes, where))
    total = parts[0]
    for part in parts[1:]:
        total = graph.node("Add", total, part)
    mean = graph.node("Div", total, graph.number(len(folds)))
    if classes > 2 or step.method == "temperature":
        return Scored(tolerance=tolerance, classes=classes, probabilities=mean, label=_likeliest(graph, mean))
    both = graph.beside([graph.node("Sub", graph.number(1.0), mean), mean])
    return Scored(tolerance=tolerance, positive=mean, label=lambda: registry.first_highest(graph, both))


@predictor(FixedThresholdClassifier, TunedThresholdClassifierCV)
def thresholded(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The inner classifier's answers; the threshold that decides is the deployed one, not the one found here."""
    scored = predict(graph, step.estimator_, table, f"{where}.estimator")
    return Scored(
        tolerance=scored.tolerance,
        classes=scored.classes,
        probabilities=scored.probabilities,
        positive=scored.positive,
        decision=scored.decision,
    )


@predictor(IsotonicRegression)
def isotonic(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Linear between the fitted points."""
    require(
        condition=len(table.columns) == 1,
        where=where,
        what=f"it takes one input, not {len(table.columns)}",
        hint="choose the column first",
    )
    value = _on_curve(graph, step, finite(graph, table, where), where)
    return Scored(tolerance=registry.EXACT, value=value)


def _likeliest(graph: Graph, shares: str) -> Any:
    return lambda: registry.first_highest(graph, shares)


def _fold(graph: Graph, fold: Any, scored: Scored, classes: int, where: str) -> str:
    """One fold's probabilities: ``(n, 1)`` of two classes, otherwise ``(n, classes)``."""
    has_decision = hasattr(fold.estimator, "decision_function")
    if fold.method == "temperature":
        return _tempered(graph, fold, scored, classes, has_decision=has_decision)
    if has_decision:
        raw, width = registry.decision(graph, scored), 1 if scored.classes == 2 else scored.classes
    elif scored.classes == 2:
        raw, width = registry.positive(graph, scored), 1
    else:
        raw, width = registry.probabilities(graph, scored), scored.classes
    each = [
        _calibrated(graph, calibrator, raw if width == 1 else graph.take(raw, [i]), where)
        for i, calibrator in enumerate(fold.calibrators)
    ]
    if classes == 2:
        return _not_above(graph, each[0])
    known = np.searchsorted(fold.classes, fold.estimator.classes_)
    if len(known) < classes:
        placed = np.zeros((len(known), classes))
        placed[np.arange(len(known)), known] = 1.0
        return _not_above(
            graph, normalised(graph, graph.node("MatMul", graph.beside(each), graph.constant(placed)), classes)
        )
    return _not_above(graph, normalised(graph, graph.beside(each), classes))


def _calibrated(graph: Graph, calibrator: Any, raw: str, where: str) -> str:
    if isinstance(calibrator, IsotonicRegression):
        return _on_curve(graph, calibrator, raw, where)
    scaled = graph.node("Add", graph.node("Mul", graph.number(calibrator.a_), raw), graph.number(calibrator.b_))
    return logistic(graph, graph.node("Neg", scaled))


def _tempered(graph: Graph, fold: Any, scored: Scored, classes: int, *, has_decision: bool) -> str:
    """``softmax(beta * logits)``; a single decision ``x`` stands for ``(-x, x)``, probabilities for their logarithm."""
    if not has_decision:
        shares = graph.node("Add", registry.probabilities(graph, scored), graph.number(1e-12))
        logits = curve(graph, "Log", shares, classes)
    else:
        raw = registry.decision(graph, scored)
        logits = graph.beside([graph.node("Neg", raw), raw]) if classes == 2 else raw
    beta = graph.number(fold.calibrators[0].beta_)
    return _not_above(graph, softmax(graph, graph.node("Mul", beta, logits), classes))


def _on_curve(graph: Graph, step: IsotonicRegression, raw: str, where: str) -> str:
    require(
        condition=step.out_of_bounds == "clip",
        where=where,
        what=f"out_of_bounds={step.out_of_bounds!r} is not emitted",
        hint="use out_of_bounds='clip'",
    )
    graph.flat = True
    x, y = np.asarray(step.X_thresholds_, dtype=np.float64), np.asarray(step.y_thresholds_, dtype=np.float64)
    if len(y) == 1:
        return graph.node("Add", graph.node("Mul", raw, graph.number(0.0)), graph.number(y[0]))
    like = Column(name="decision", tensor=raw, position=0, kind="number", origin=None)
    return interpolate(graph, graph.new_columns(raw, [like]), [(x, y)], where)


def _not_above(graph: Graph, shares: str) -> str:
    one = graph.number(1.0)
    hardly = graph.node(
        "And", graph.node("Greater", shares, one), graph.node("LessOrEqual", shares, graph.number(_HARDLY_ABOVE))
    )
    return graph.node("Where", hardly, one, shares)
