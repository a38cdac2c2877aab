"""Regressors of a transformed target.

Read from scikit-learn 1.9.1, ``compose/_target.py``: the prediction goes through the transformer's inverse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.function import KNOWN
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import Scored, predict, predictor, require


@predictor(TransformedTargetRegressor)
def transformed(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The inner regressor's value, transformed back."""
    scored = predict(graph, step.regressor_, table, f"{where}.regressor")
    inverse = _INVERSES.get(type(step.transformer_))
    require(
        condition=inverse is not None,
        where=where,
        what=f"the inverse of {type(step.transformer_).__name__} is not emitted",
        hint="use a scaler, or NumPy functions of one number such as numpy.log1p and numpy.expm1",
    )
    assert inverse is not None  # noqa: S101 -- told to the type checker; required above
    value = inverse(graph, step.transformer_, registry.value(graph, scored), f"{where}.transformer")
    return Scored(tolerance=scored.tolerance, value=value, targets=scored.targets)


def _function(graph: Graph, step: Any, raw: str, where: str) -> str:
    if step.validate:
        graph.refuse_nonfinite(raw)
    if step.inverse_func is None:
        return raw
    known = None if step.inv_kw_args else KNOWN.get(step.inverse_func)
    require(
        condition=known is not None,
        where=where,
        what=f"inverse_func {getattr(step.inverse_func, '__qualname__', repr(step.inverse_func))} is not emitted",
        hint="use a NumPy function of one number such as numpy.expm1",
    )
    assert known is not None  # noqa: S101 -- told to the type checker; required above
    return known.write(graph, raw, 1)


def _affine(scale: Any, shift: Any) -> Callable[[Graph, Any, str, str], str]:
    def write(graph: Graph, step: Any, raw: str, where: str) -> str:  # noqa: ARG001 -- as its siblings
        by, plus = scale(step), shift(step)
        raw = raw if by is None else graph.node("Mul", raw, graph.row(by))
        return raw if plus is None else graph.node("Add", raw, graph.row(plus))

    return write


def _unstretched(graph: Graph, step: Any, raw: str, where: str) -> str:  # noqa: ARG001 -- as its siblings
    away = graph.node("Sub", raw, graph.row(np.asarray(step.min_)))
    return graph.node("Div", away, graph.row(np.asarray(step.scale_)))


_INVERSES: dict[type, Callable[[Graph, Any, str, str], str]] = {
    FunctionTransformer: _function,
    MaxAbsScaler: _affine(lambda step: step.scale_, lambda _: None),
    MinMaxScaler: _unstretched,
    RobustScaler: _affine(
        lambda step: step.scale_ if step.with_scaling else None,
        lambda step: step.center_ if step.with_centering else None,
    ),
    StandardScaler: _affine(
        lambda step: step.scale_ if step.with_std else None, lambda step: step.mean_ if step.with_mean else None
    ),
}
