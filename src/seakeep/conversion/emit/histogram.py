"""Gradient boosting over binned features.

Read from scikit-learn 1.9.1, ``ensemble/_hist_gradient_boosting/gradient_boosting.py`` and ``_predictor.pyx``. Values
are compared in double with ``<=``; infinite numbers are accepted. A missing value goes where ``missing_go_to_left``
says. Categories are coded by an ordinal encoder, which puts their columns first; a split holds the codes that go left
as a bit set; an unknown category is a missing value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.encode import encode
from seakeep.conversion.emit.forest import Forest, Tree
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, logistic, softmax
from seakeep.conversion.emit.registry import EXACT, Scored, predictor, require, require_dense, require_numbers
from seakeep.conversion.emit.tree import follow

COMPARES_ALONE = frozenset({
    DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreesClassifier, ExtraTreesRegressor,
    HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor,
})  # fmt: skip
"""Estimators that only compare their inputs, so that inputs rounded to float32 do not make them compute in float32."""


@predictor(HistGradientBoostingClassifier)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of the sum of the trees' leaves, or the softmax of several."""
    raw, outputs = _raw(graph, step, table, where)
    if outputs > 1:
        return Scored(
            tolerance=EXACT, classes=outputs, decision=raw, probabilities=lambda: softmax(graph, raw, outputs)
        )
    return Scored(tolerance=EXACT, decision=raw, positive=lambda: logistic(graph, raw))


@predictor(HistGradientBoostingRegressor)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The sum of the trees' leaves, or its exponential (``poisson`` and ``gamma``)."""
    raw, _ = _raw(graph, step, table, where)
    link = type(step._loss.link).__name__  # noqa: SLF001 -- which inverse link a loss has is nowhere else; the proof checks it
    require(
        condition=link in {"IdentityLink", "LogLink"},
        where=where,
        what=f"the link of loss={step.loss!r} is not known",
        hint="use squared_error, absolute_error, quantile, poisson or gamma",
    )
    return Scored(tolerance=EXACT, value=raw if link == "IdentityLink" else curve(graph, "Exp", raw, 1))


def _raw(graph: Graph, step: Any, table: Table, where: str) -> tuple[str, int]:
    require_dense(table, where)
    columns = list(table.columns)
    if step.is_categorical_ is not None:
        columns = _coded(graph, step, columns, where)
    require_numbers(Table(tuple(columns)), where)
    grown = tuple(
        _from_predictor(each, target)
        for iteration in step._predictors  # noqa: SLF001 -- the trees are nowhere else; the proof checks them
        for target, each in enumerate(iteration)
    )
    forest = Forest(trees=grown, columns=tuple(columns), matrix=graph.matrix(columns), single=False, missing=True)
    base = np.ravel(step._baseline_prediction).tolist()  # noqa: SLF001 -- the start value is nowhere else; the proof checks it
    return follow(graph, forest, base), len(base)


def _coded(graph: Graph, step: Any, columns: list[Column], where: str) -> list[Column]:
    mask = step.is_categorical_.tolist()
    encoder = step._preprocessor.named_transformers_["encoder"]  # noqa: SLF001 -- its categories are nowhere else; the proof checks them
    chosen = [column for column, categorical in zip(columns, mask, strict=True) if categorical]
    encoded = [
        encode(graph, column, _positions(categories), unknown=np.nan, where=where)
        for column, categories in zip(chosen, encoder.categories_, strict=True)
    ]
    return encoded + [column for column, categorical in zip(columns, mask, strict=True) if not categorical]


def _from_predictor(predictor: Any, target: int) -> Tree:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    members = {
        int(i): _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][i]])
        for i in np.flatnonzero(inner & (nodes["is_categorical"] != 0))
    }
    return Tree(
        column=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=np.where(inner, nodes["left"].astype(np.int64), -1),
        right=np.where(inner, nodes["right"].astype(np.int64), -1),
        missing_left=nodes["missing_go_to_left"] != 0,
        members=members,
        value=nodes["value"].astype(np.float64),
        target=target,
    )


def _members(bits: np.ndarray[Any, np.dtype[np.uint32]]) -> tuple[float, ...]:
    """The codes whose bit is set in eight words of 32 bits."""
    flags = np.unpackbits(bits.astype("<u4").view(np.uint8), bitorder="little")
    return tuple(np.flatnonzero(flags).astype(float).tolist())


def _positions(categories: np.ndarray[Any, Any]) -> dict[Any, float]:
    """Codes by category; NaN, if it is one, stays NaN."""
    return {key: np.nan if key != key else float(i) for i, key in enumerate(categories.tolist())}  # noqa: PLR0124 -- NaN, where strings may stand
