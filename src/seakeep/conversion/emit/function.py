"""Functions of single numbers: NumPy's own, known by identity; everything else is opaque.

Read from scikit-learn 1.9.1, ``preprocessing/_function_transformer.py``: the function gets the numbers as they are;
with ``validate=True`` rows with a missing or infinite number are refused first. A missing number stays missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, expm1, log1p
from seakeep.conversion.emit.registry import finite, require, require_dense, require_numbers, transformer
from seakeep.conversion.emit.scale import clipped

Undo = Callable[[Any], Any]
Write = Callable[[Graph, str, int], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A function that can be written, and for a curve that rises or falls everywhere what undoes it."""

    write: Write
    undo: Undo | None = None


def _engine(operator: str) -> Write:
    """An operator whose bits do not depend on the batch and which passes NaN on."""
    return lambda graph, matrix, _: graph.node(operator, matrix)


def _vector(operator: str) -> Write:
    return lambda graph, matrix, width: curve(graph, operator, matrix, width)


def _log(base: float) -> Write:
    return lambda graph, matrix, width: graph.node("Div", curve(graph, "Log", matrix, width), graph.number(base))


def _times(factor: float) -> Known:
    return Known(lambda graph, matrix, _: graph.node("Mul", matrix, graph.number(factor)), lambda v: v / factor)


def _sign(graph: Graph, matrix: str, _: int) -> str:
    return graph.node("Where", graph.node("IsNaN", matrix), matrix, graph.node("Sign", matrix))


def _truncated(graph: Graph, matrix: str, _: int) -> str:
    negative = graph.node("Less", matrix, graph.number(0.0))
    return graph.node("Where", negative, graph.node("Ceil", matrix), graph.node("Floor", matrix))


def _inverse(graph: Graph, matrix: str, _: int) -> str:
    return graph.node("Div", graph.number(1.0), matrix)


KNOWN: dict[Any, Known] = {
    np.abs: Known(_engine("Abs")),
    np.ceil: Known(_engine("Ceil")),
    np.cos: Known(_vector("Cos")),
    np.deg2rad: _times(math.pi / 180),
    np.exp: Known(_vector("Exp"), np.log),
    np.expm1: Known(expm1, np.log1p),
    np.fabs: Known(_engine("Abs")),
    np.floor: Known(_engine("Floor")),
    np.log: Known(_vector("Log"), np.exp),
    np.log10: Known(_log(math.log(10)), lambda v: np.power(10.0, v)),
    np.log1p: Known(log1p, np.expm1),
    np.log2: Known(_log(math.log(2)), np.exp2),
    np.negative: Known(_engine("Neg"), np.negative),
    np.positive: Known(lambda _graph, matrix, _width: matrix, np.positive),
    np.rad2deg: _times(180 / math.pi),
    np.reciprocal: Known(_inverse),
    np.rint: Known(_engine("Round")),
    np.sign: Known(_sign),
    np.sin: Known(_vector("Sin")),
    np.sqrt: Known(_engine("Sqrt"), np.square),
    np.square: Known(lambda graph, matrix, _: graph.node("Mul", matrix, matrix)),
    np.tanh: Known(_vector("Tanh"), np.arctanh),
    np.trunc: Known(_truncated),
}
_CONSTANT_IN_PLACES = {np.ceil, np.floor, np.rint, np.sign, np.trunc}


@transformer(FunctionTransformer)
def apply(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """The identity, one of NumPy's functions of one number, or ``numpy.clip`` between two numbers."""
    if step.func is None and not step.validate:
        return table
    if step.validate:
        finite(graph, table, where)
    if step.func is None:
        return table
    require_numbers(table, where)
    require_dense(table, where)
    given = dict(step.kw_args or {})
    if step.func is np.clip and set(given) in ({"a_min", "a_max"}, {"min", "max"}):
        low, high = (given.get(f"a_{end}", given.get(end)) for end in ("min", "max"))
        return clipped(graph, table, -np.inf if low is None else float(low), np.inf if high is None else float(high))
    known = None if given else _lookup(step.func)
    require(
        condition=known is not None,
        where=where,
        what=f"FunctionTransformer with {getattr(step.func, '__qualname__', repr(step.func))} is not emitted",
        hint="use a NumPy function of one number such as numpy.log1p, or compute it as a feature of the project, "
        "where it is also proved to be equal online and offline",
    )
    assert known is not None  # noqa: S101 -- told to the type checker; required above
    graph.flat |= step.func in _CONSTANT_IN_PLACES
    width = len(table.columns)
    return Table(graph.new_columns(known.write(graph, graph.matrix(table.columns), width), bent(table, known.undo)))


def bent(table: Table, undo: Undo | None) -> list[Column]:
    """The columns with origins that ``undo`` leads back to; without it their origins are lost."""
    return [
        dataclasses.replace(column, origin=column.origin.bent(undo) if column.origin and undo else None)
        for column in table.columns
    ]


def _lookup(function: Any) -> Known | None:
    try:
        return KNOWN.get(function)
    except TypeError:  # what cannot be hashed is none of NumPy's
        return None
