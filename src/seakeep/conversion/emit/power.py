"""Transformations of single columns towards a normal or a uniform distribution.

Read from scikit-learn 1.9.1, ``preprocessing/_data.py``, and SciPy 1.17.1, ``stats/_morestats.py``
(``_yeojohnson_transform``) and ``special`` (``boxcox``, ``ndtri``). Missing numbers pass, infinite ones are refused; Box
and Cox's refuses what is not above 0.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from onnx import TensorProto
from scipy import special, stats
from sklearn.preprocessing import PowerTransformer, QuantileTransformer
from sklearn.preprocessing._data import BOUNDS_THRESHOLD

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, expm1, log1p
from seakeep.conversion.emit.registry import not_infinite, require, require_dense, transform, transformer
from seakeep.conversion.emit.tree import cut

_EPS = float(np.finfo(np.float64).eps)


@transformer(PowerTransformer)
def power(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """``expm1(lambda log1p(x)) / lambda`` and its like, then standardised."""
    require_dense(table, where)
    matrix = not_infinite(graph, table, where)
    width = len(table.columns)
    lambdas = np.asarray(step.lambdas_, dtype=np.float64)
    if step.method == "box-cox":
        wrong = graph.node("LessOrEqual", matrix, graph.number(0.0))
        graph.refuse(graph.node("Where", wrong, graph.number(np.nan), graph.number(0.0)))
        made = _raised(graph, curve(graph, "Log", matrix, width), lambdas, limit=0.0)
        undo = special.inv_boxcox
    else:
        positive = graph.node("GreaterOrEqual", matrix, graph.number(0.0))
        above = _raised(graph, log1p(graph, graph.node("Abs", matrix), width), lambdas, limit=_EPS)
        below = _raised(graph, log1p(graph, graph.node("Abs", matrix), width), 2.0 - lambdas, limit=_EPS)
        made = graph.node("Where", positive, above, graph.node("Neg", below))
        made = graph.node("Where", graph.node("IsNaN", matrix), matrix, made)
        undo = _undo_yeo_johnson
    columns = [_bent(column, undo, value) for column, value in zip(table.columns, lambdas.tolist(), strict=True)]
    moved = Table(graph.new_columns(made, columns))
    return transform(graph, step._scaler, moved, where) if step.standardize else moved  # noqa: SLF001 -- nowhere else; the proof checks it


def _raised(graph: Graph, logarithm: str, exponents: np.ndarray[Any, Any], *, limit: float) -> str:
    """``expm1(exponent * logarithm) / exponent``, and the logarithm itself where the exponent is 0."""
    nought = np.abs(exponents) <= limit
    safe = np.where(nought, 1.0, exponents)
    raised = expm1(graph, graph.node("Mul", logarithm, graph.row(safe)), len(exponents))
    raised = graph.node("Div", raised, graph.row(safe))
    return graph.node("Where", graph.constant(nought.reshape(1, -1)), logarithm, raised)


def _undo_yeo_johnson(value: Any, exponent: float) -> Any:
    above = special.inv_boxcox1p(np.maximum(value, 0.0), exponent)
    return np.where(np.asarray(value) >= 0, above, -special.inv_boxcox1p(np.maximum(-value, 0.0), 2.0 - exponent))


def _bent(column: Column, undo: Any, exponent: float) -> Column:
    origin = column.origin
    return dataclasses.replace(column, origin=origin and origin.bent(lambda value: undo(value, exponent)))


@transformer(QuantileTransformer)
def quantile(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """The mean of two interpolations between the fitted quantiles, from below and from above; then the normal quantile.

    Two, because equal quantiles stand for a mass of probability whose middle is wanted.
    """
    require_dense(table, where)
    matrix = not_infinite(graph, table, where)
    quantiles, references = np.asarray(step.quantiles_, dtype=np.float64), np.asarray(step.references_)
    rising = [(quantiles[:, i], references) for i in range(len(table.columns))]
    falling = [(-quantiles[::-1, i], -references[::-1]) for i in range(len(table.columns))]
    negative = Table(graph.new_columns(graph.node("Neg", matrix), _mirrored(table)))
    one = interpolate(graph, table.columns, rising, where)
    other = interpolate(graph, negative.columns, falling, where)
    made = graph.node("Mul", graph.number(0.5), graph.node("Sub", one, other))
    lowest, highest = graph.row(quantiles[0]), graph.row(quantiles[-1])
    normal = step.output_distribution == "normal"
    if normal:
        bound = graph.number(BOUNDS_THRESHOLD)
        high = graph.node("Greater", graph.node("Add", matrix, bound), highest)
        low = graph.node("Less", graph.node("Sub", matrix, bound), lowest)
    else:
        high, low = graph.node("Equal", matrix, highest), graph.node("Equal", matrix, lowest)
    made = graph.node("Where", high, graph.number(1.0), made)
    made = graph.node("Where", low, graph.number(0.0), made)
    if normal:
        made = _normal_quantile(graph, made, len(table.columns))
        ends = stats.norm.ppf([BOUNDS_THRESHOLD - np.spacing(1), 1 - (BOUNDS_THRESHOLD - np.spacing(1))])
        made = graph.node("Max", graph.node("Min", made, graph.number(ends[1])), graph.number(ends[0]))
    made = graph.node("Where", graph.node("IsNaN", matrix), matrix, made)
    graph.flat = True
    columns = [
        _bent_quantile(column, quantiles[:, i], references, normal=normal) for i, column in enumerate(table.columns)
    ]
    return Table(graph.new_columns(made, columns))


def interpolate(
    graph: Graph, columns: Any, points: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]], where: str
) -> str:
    """:func:`numpy.interp` of each column between its own points ``(x, y)``, x ascending.

    In the interval after ``x[j]`` it is ``slope[j] * (x - x[j]) + y[j]``; beyond the ends it is constant.
    """
    steps, slopes, starts, values = [], [], [], []
    offset = 0
    for x, y in points:
        with np.errstate(all="ignore"):
            slope = np.diff(y) / np.diff(x)
        # Of equal points the last counts, so the slope between them is never used.
        slope[np.diff(x) == 0] = 0.0
        require(
            condition=bool(np.isfinite(slope).all()),
            where=where,
            what="two quantiles are so close that the slope between them is infinite",
            hint="use fewer quantiles, or scale the column first",
        )
        steps.append((x, offset + np.arange(len(x) + 1, dtype=np.float64)))
        slopes.append(np.concatenate([[0.0], slope, [0.0]]))
        starts.append(np.concatenate([[0.0], x[:-1], [0.0]]))
        values.append(np.concatenate([[y[0]], y[:-1], [y[-1]]]))
        offset += len(x) + 1
    interval = graph.node("Cast", cut(graph, columns, steps, side="right"), to=TensorProto.INT64)
    rise, start, value = (
        graph.node("Gather", graph.constant(np.concatenate(part)), interval, axis=0)
        for part in (slopes, starts, values)
    )
    away = graph.node("Sub", graph.matrix(columns), start)
    return graph.node("Add", graph.node("Mul", rise, away), value)


def _mirrored(table: Table) -> list[Column]:
    return [
        dataclasses.replace(column, origin=column.origin and column.origin.scaled(-1.0, 0.0))
        for column in table.columns
    ]


def _bent_quantile(column: Column, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], *, normal: bool) -> Column:
    def undo(value: Any) -> Any:
        return np.interp(special.ndtr(value) if normal else value, y, x)

    return dataclasses.replace(column, origin=column.origin and column.origin.bent(undo))


_CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
     3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_NEAR = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1, 1.48103976427480074590e-1,
     1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_FAR = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, 7.86869131145613259100e-4,
     1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


def _normal_quantile(graph: Graph, shares: str, width: int) -> str:
    """The standard normal quantile function, to about one part in 1e16; infinite at 0 and 1.

    References
    ----------
    M. J. Wichura, Algorithm AS 241: The percentage points of the normal distribution, Applied Statistics 37 (1988),
    routine PPND16.
    """
    middle = graph.node("Sub", shares, graph.number(0.5))
    inner = graph.node("Sub", graph.number(0.425**2), graph.node("Mul", middle, middle))
    centre = graph.node("Mul", middle, _ratio(graph, inner, _CENTRE))
    smaller = graph.node("Min", shares, graph.node("Sub", graph.number(1.0), shares))
    tail = graph.node("Sqrt", graph.node("Neg", curve(graph, "Log", smaller, width)))
    near = _ratio(graph, graph.node("Sub", tail, graph.number(1.6)), _NEAR)
    far = _ratio(graph, graph.node("Sub", tail, graph.number(5.0)), _FAR)
    outer = graph.node("Where", graph.node("LessOrEqual", tail, graph.number(5.0)), near, far)
    outer = graph.node("Where", graph.node("IsInf", tail), tail, outer)
    outer = graph.node("Where", graph.node("Less", middle, graph.number(0.0)), graph.node("Neg", outer), outer)
    is_centre = graph.node("LessOrEqual", graph.node("Abs", middle), graph.number(0.425))
    return graph.node("Where", is_centre, centre, outer)


def _ratio(graph: Graph, value: str, polynomials: tuple[tuple[float, ...], tuple[float, ...]]) -> str:
    top, bottom = (_polynomial(graph, value, coefficients) for coefficients in polynomials)
    return graph.node("Div", top, bottom)


def _polynomial(graph: Graph, value: str, coefficients: tuple[float, ...]) -> str:
    made = graph.number(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        made = graph.node("Add", graph.node("Mul", made, value), graph.number(coefficient))
    return made
