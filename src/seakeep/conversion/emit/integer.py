"""Networks with hidden layers of 8-bit integers: ours, see :mod:`seakeep.conversion.int8`.

Values are divided by their scale, rounded to the nearest, half to even, and held between -127 and 127; the engine's
integer product is exact, so bits are those of the estimator up to the last layer. Rows with a missing or infinite
number are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import logistic, softmax
from seakeep.conversion.emit.registry import ROUNDED, Scored, finite, predictor
from seakeep.conversion.int8 import CLASSIFIER, INPUT_STEPS, LARGEST, REGRESSOR

_ZERO = 128
"""The engine's integers are 0 to 255: this one stands for 0."""


@predictor(CLASSIFIER)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of the one output, or the softmax of several."""
    output, width = _output(graph, step, table, where), len(step.last_intercept_)
    if width > 1:
        return Scored(tolerance=ROUNDED, classes=width, probabilities=softmax(graph, output, width))
    return Scored(tolerance=ROUNDED, positive=logistic(graph, output))


@predictor(REGRESSOR)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The one output."""
    return Scored(tolerance=ROUNDED, value=_output(graph, step, table, where))


def _output(graph: Graph, step: Any, table: Table, where: str) -> str:
    graph.flat = True
    layer = finite(graph, table, where)
    for place, weights in enumerate(step.weights_):
        scale = graph.number(step.input_scales_[place]) if step.input_scales_ else _own_scale(graph, layer)
        steps = graph.node("Round", graph.node("Div", layer, scale))
        steps = graph.node("Max", graph.node("Min", steps, graph.number(INPUT_STEPS)), graph.number(-INPUT_STEPS))
        coded = graph.node("Cast", graph.node("Add", steps, graph.number(_ZERO)), to=TensorProto.UINT8)
        zero, none = graph.constant(np.array(_ZERO, dtype=np.uint8)), graph.constant(np.array(0, dtype=np.int8))
        total = graph.double(graph.node("MatMulInteger", coded, graph.constant(weights), zero, none))
        scaled = graph.node("Mul", graph.node("Mul", total, scale), graph.row(step.weight_scales_[place]))
        layer = graph.node("Add", scaled, graph.row(step.intercepts_[place]))
        if step.activation == "relu":
            layer = graph.node("Max", layer, graph.number(0.0))
    return graph.node("Add", graph.product(layer, step.last_weights_), graph.row(step.last_intercept_))


def _own_scale(graph: Graph, layer: str) -> str:
    """Each row's own, ``(n, 1)``."""
    axis = graph.constant(np.array([1], dtype=np.int64))
    largest = graph.node("ReduceMax", graph.node("Abs", layer), axis, keepdims=1)
    largest = graph.node("Min", largest, graph.number(LARGEST))
    scale = graph.node("Div", largest, graph.number(INPUT_STEPS))
    return graph.node("Where", graph.node("Greater", largest, graph.number(0.0)), scale, graph.number(1.0))
