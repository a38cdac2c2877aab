"""Functions of single numbers, with bits that do not depend on the batch.

The engine computes ``exp`` and its like in vectors, and the elements left over at the ends of a tensor with another
routine that rounds differently; its own ``Sigmoid`` and ``Softmax`` do so too. A row would get other bits in another
batch. So each row is made wider on both sides: what is left over is never a number that counts.
"""

from __future__ import annotations

import math

import numpy as np

from seakeep.conversion.emit.graph import Graph

_MARGIN = 8
"""Elements of the longest vector: at most as many are left over at an end."""


def curve(graph: Graph, operator: str, matrix: str, width: int, *, sign: float = 1.0) -> str:
    """``Exp``, ``Log``, ``Tanh``, ``Sin`` or ``Cos`` of every element, times ``sign``, of a double tensor ``(n, width)``."""
    if width == 1:  # copies cost less than the margin's node
        lanes = graph.node("Mul", matrix, graph.constant(np.full((1, 2 * _MARGIN), sign)))
        return graph.take(graph.node(operator, lanes), [_MARGIN])
    matrix = matrix if sign == 1.0 else graph.node("Neg", matrix)
    pads = graph.constant(np.array([0, _MARGIN, 0, _MARGIN], dtype=np.int64))
    wide = graph.node("Pad", matrix, pads, graph.number(1.0), mode="constant")
    bounds = [graph.constant(np.array([value], dtype=np.int64)) for value in (_MARGIN, _MARGIN + width, 1)]
    return graph.node("Slice", graph.node(operator, wide), *bounds)


def logistic(graph: Graph, raw: str, width: int = 1) -> str:
    """``1 / (1 + exp(-raw))``."""
    one = graph.number(1.0)
    return graph.node("Div", one, graph.node("Add", curve(graph, "Exp", raw, width, sign=-1.0), one))


def softmax(graph: Graph, raw: str, width: int) -> str:
    """``exp(raw - max)`` over its sum, by row; as ``sklearn.utils.extmath.softmax``."""
    powers = curve(graph, "Exp", graph.node("Sub", raw, highest(graph, raw)), width)
    return graph.node("Div", powers, graph.total(powers, width))


def highest(graph: Graph, matrix: str) -> str:
    """The greatest element of each row, ``(n, 1)``."""
    return graph.node("ReduceMax", matrix, graph.constant(np.array([1], dtype=np.int64)), keepdims=1)


def log1p(graph: Graph, matrix: str, width: int) -> str:
    """``log(1 + x)``, accurate near 0.

    References
    ----------
    W. Kahan's formula, in D. Goldberg, What every computer scientist should know about floating-point arithmetic
    (1991), theorem 4.
    """
    one = graph.number(1.0)
    moved = graph.node("Add", matrix, one)
    away = graph.node("Sub", moved, one)
    whole = graph.node("Equal", away, graph.number(0.0))
    scaled = graph.node("Div", matrix, graph.node("Where", whole, one, away))
    logarithm = curve(graph, "Log", moved, width)
    infinite = graph.node("IsInf", matrix)
    near = graph.node("Where", whole, matrix, graph.node("Mul", logarithm, scaled))
    return graph.node("Where", infinite, logarithm, near)


def expm1(graph: Graph, matrix: str, width: int) -> str:
    """``exp(x) - 1``, accurate near 0.

    References
    ----------
    W. Kahan's formula, in N. Higham, Accuracy and Stability of Numerical Algorithms (2002), section 1.14.1.
    """
    one = graph.number(1.0)
    power = curve(graph, "Exp", matrix, width)
    less = graph.node("Sub", power, one)
    logarithm = curve(graph, "Log", power, width)
    # Near 0 exp(x) and its logarithm have the same rounding error, which cancels; far from 0 nothing is lost.
    near = graph.node("Less", graph.node("Abs", matrix), graph.number(0.5))
    whole = graph.node("Equal", power, one)
    scaled = graph.node("Div", matrix, graph.node("Where", whole, one, logarithm))
    close = graph.node("Where", whole, matrix, graph.node("Mul", less, scaled))
    return graph.node("Where", near, close, less)


def power(graph: Graph, matrix: str, exponent: float) -> str:
    """``x ** exponent``; the engine computes it one by one."""
    return graph.node("Pow", matrix, graph.number(exponent))


def log_scaled(graph: Graph, matrix: str, width: int, base: float) -> str:
    """The logarithm to another base."""
    return graph.node("Div", curve(graph, "Log", matrix, width), graph.number(math.log(base)))
