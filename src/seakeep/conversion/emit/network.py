"""Multi-layer perceptrons.

Read from scikit-learn 1.9.1, ``neural_network/_multilayer_perceptron.py`` and ``_base.py``: products and activations in
double; rows with a missing or infinite number are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, logistic, softmax
from seakeep.conversion.emit.registry import ROUNDED, Scored, finite, predictor, require


@predictor(MLPClassifier)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of one output, or the softmax of several."""
    output, width = _forward(graph, step, table, where)
    require(
        condition=step.out_activation_ in {"logistic", "softmax"}
        and (width > 1) == (step.out_activation_ == "softmax"),
        where=where,
        what="it predicts several labels at once",
        hint="fit one classifier for each of the labels",
    )
    if width == 1:
        above = graph.node("Greater", output, graph.number(0.5))
        return Scored(tolerance=ROUNDED, positive=output, label=graph.double(above))
    return Scored(tolerance=ROUNDED, classes=width, probabilities=output)


@predictor(MLPRegressor)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The outputs, or their exponential (``loss="poisson"``)."""
    output, width = _forward(graph, step, table, where)
    return Scored(tolerance=ROUNDED, value=output, targets=width)


def _forward(graph: Graph, step: Any, table: Table, where: str) -> tuple[str, int]:
    layer, width = finite(graph, table, where), len(table.columns)
    last = len(step.coefs_) - 1
    for i, (weights, intercept) in enumerate(zip(step.coefs_, step.intercepts_, strict=True)):
        require(
            condition=weights.dtype == np.float64,
            where=where,
            what="it was fitted in float32",
            hint="fit on float64 numbers, as the frame has them",
        )
        layer, width = graph.node("Add", graph.product(layer, weights), graph.row(intercept)), weights.shape[1]
        layer = _activated(graph, layer, width, step.activation if i < last else step.out_activation_, where)
    return layer, width


def _activated(graph: Graph, layer: str, width: int, activation: str, where: str) -> str:
    if activation == "identity":
        return layer
    if activation == "relu":
        graph.flat = True
        return graph.node("Max", layer, graph.number(0.0))
    if activation == "tanh":
        return curve(graph, "Tanh", layer, width)
    if activation == "logistic":
        return logistic(graph, layer, width)
    if activation == "softmax":
        return softmax(graph, layer, width)
    require(
        condition=activation == "exp",
        where=where,
        what=f"the activation {activation!r} is not known",
        hint="use identity, relu, tanh or logistic",
    )
    return curve(graph, "Exp", layer, width)
