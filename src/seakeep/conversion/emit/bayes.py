"""Naive Bayes and quadratic discriminants.

Read from scikit-learn 1.9.1, ``naive_bayes.py`` and ``discriminant_analysis.py``: a joint log likelihood of each class,
whose exponentials divided by their sum are the probabilities. Missing and infinite numbers are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, highest
from seakeep.conversion.emit.registry import ROUNDED, Scored, finite, predictor, require_dense
from seakeep.conversion.emit.scale import binarise


@predictor(GaussianNB)
def gaussian(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Independent normal distributions."""
    require_dense(table, where)
    matrix, parts = finite(graph, table, where), []
    for prior, mean, variance in zip(step.class_prior_, step.theta_, step.var_, strict=True):
        away = graph.node("Sub", matrix, graph.row(mean))
        squares = graph.node("Div", graph.node("Mul", away, away), graph.row(variance))
        constant = -0.5 * np.sum(np.log(2.0 * np.pi * variance))
        half = graph.product(squares, np.full((len(mean), 1), 0.5))
        parts.append(graph.node("Add", graph.number(np.log(prior)), graph.node("Sub", graph.number(constant), half)))
    return _likely(graph, graph.beside(parts), len(parts))


@predictor(QuadraticDiscriminantAnalysis)
def quadratic(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Normal distributions, each with its own covariance."""
    require_dense(table, where)
    matrix, parts = finite(graph, table, where), []
    fitted = zip(step.means_, step.rotations_, step.scalings_, step.priors_, strict=True)
    for mean, rotation, scaling, prior in fitted:
        turned = graph.product(graph.node("Sub", matrix, graph.row(mean)), rotation * scaling ** (-0.5))
        norm = graph.total(graph.node("Mul", turned, turned), rotation.shape[1])
        sized = graph.node("Add", norm, graph.number(np.sum(np.log(scaling))))
        parts.append(graph.node("Add", graph.node("Mul", graph.number(-0.5), sized), graph.number(np.log(prior))))
    joint = graph.beside(parts)
    scored = _likely(graph, joint, len(parts))
    if len(parts) > 2:
        return Scored(
            tolerance=ROUNDED,
            classes=len(parts),
            probabilities=scored.probabilities,
            decision=joint,
            label=scored.label,
        )
    ratio = graph.node("Sub", parts[1], parts[0])
    return Scored(tolerance=ROUNDED, probabilities=scored.probabilities, decision=ratio)


@predictor(MultinomialNB, ComplementNB)
def counted(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Counts of features; the complement's has no prior, unless there is one class alone."""
    matrix = finite(graph, table, where)
    joint = graph.product(matrix, np.asarray(step.feature_log_prob_).T)
    if isinstance(step, MultinomialNB) or len(step.classes_) == 1:
        joint = graph.node("Add", joint, graph.row(step.class_log_prior_))
    return _likely(graph, joint, len(step.classes_))


@predictor(BernoulliNB)
def flagged(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Features that are there or not: those above ``binarize``."""
    matrix = finite(graph, table, where)
    if step.binarize is not None:
        cut = binarise(graph, _At(step.binarize), table, where)
        matrix = graph.matrix(cut.columns)
    present = np.asarray(step.feature_log_prob_, dtype=np.float64)
    absent = np.log(1 - np.exp(present))
    joint = graph.product(matrix, (present - absent).T)
    joint = graph.node("Add", joint, graph.row(step.class_log_prior_ + absent.sum(axis=1)))
    return _likely(graph, joint, len(step.classes_))


@predictor(CategoricalNB)
def categorical(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Codes 0, 1, 2 …, cut off to whole numbers; a negative or unknown one is refused."""
    require_dense(table, where)
    matrix = finite(graph, table, where)
    joint = ""
    for i, shares in enumerate(step.feature_log_prob_):
        code = graph.take(matrix, [i])
        count = shares.shape[1]
        wrong = graph.node(
            "Or",
            graph.node("Not", graph.node("Greater", code, graph.number(-1.0))),
            graph.node("GreaterOrEqual", code, graph.number(count)),
        )
        graph.refuse(graph.node("Where", wrong, graph.number(np.nan), graph.number(0.0)))
        safe = graph.node("Cast", graph.node("Where", wrong, graph.number(0.0), code), to=TensorProto.INT64)
        part = graph.node("Gather", graph.constant(np.ascontiguousarray(shares.T)), graph.shape(safe, -1), axis=0)
        joint = graph.node("Add", joint, part) if joint else part
    return _likely(graph, graph.node("Add", joint, graph.row(step.class_log_prior_)), len(step.classes_))


class _At:
    """What :func:`binarise` reads of a binarizer."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold


def _likely(graph: Graph, joint: str, classes: int) -> Scored:
    """``exp(joint - log(sum(exp(joint))))``."""

    def shares() -> str:
        top = highest(graph, joint)
        powers = curve(graph, "Exp", graph.node("Sub", joint, top), classes)
        total = graph.node("Add", curve(graph, "Log", graph.total(powers, classes), 1), top)
        return curve(graph, "Exp", graph.node("Sub", joint, total), classes)

    return Scored(
        tolerance=ROUNDED,
        classes=classes,
        probabilities=shares,
        label=lambda: registry.first_highest(graph, joint),
    )
