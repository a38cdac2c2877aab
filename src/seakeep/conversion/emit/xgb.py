"""XGBoost.

Read from XGBoost's source before 3.5.0, ``src/predictor/predict_fn.h``, ``src/common/categorical.h``, ``src/common/math.h``,
``src/objective/`` and ``python-package/xgboost/sklearn.py``; held against 3.2.0. Numbers become float32; a value goes left
if it is less than the threshold, also float32. NaN and what equals ``missing`` goes where ``default_left`` says; infinite
numbers are accepted. A categorical split cuts the code off to a whole number and sends the codes it names to the right;
negative and unknown ones go left. Trees after the best iteration are left out. XGBoost adds leaves up in float32, this
model in double: scores agree to :data:`SINGLE`.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from onnx import TensorProto
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier, XGBRFRegressor

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.forest import Forest, Tree
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, logistic, softmax
from seakeep.conversion.emit.registry import Scored, predictor, require, require_dense, require_numbers
from seakeep.conversion.emit.tree import follow

SINGLE = 1e-5
"""Thousands of leaves added up in float32, of which each sum is rounded to one part in 2 ** 24."""
_LOGISTIC = {"binary:logistic", "reg:logistic"}
_SOFTMAX = {"multi:softprob", "multi:softmax"}
_EXPONENTIAL = {"count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"}
_IDENTITY = {
    "binary:logitraw", "rank:map", "rank:ndcg", "rank:pairwise", "reg:absoluteerror", "reg:pseudohubererror",
    "reg:quantileerror", "reg:squarederror", "reg:squaredlogerror",
}  # fmt: skip


@predictor(XGBClassifier, XGBRFClassifier)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of the margin, or the softmax of several."""
    raw, outputs, objective = _margin(graph, step, table, where)
    require(
        condition=objective in _LOGISTIC | _SOFTMAX,
        where=where,
        what=f"objective={objective!r} gives no probabilities",
        hint="use binary:logistic or multi:softprob",
    )
    if objective in _SOFTMAX:
        return Scored(tolerance=SINGLE, classes=outputs, probabilities=softmax(graph, raw, outputs))
    score = logistic(graph, raw)
    above = graph.double(graph.node("Greater", score, graph.number(0.5)))
    return Scored(tolerance=SINGLE, positive=score, label=above)


@predictor(XGBRegressor, XGBRFRegressor)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The margin through the inverse link of the objective."""
    raw, outputs, objective = _margin(graph, step, table, where)
    require(
        condition=objective in _LOGISTIC | _EXPONENTIAL | _IDENTITY,
        where=where,
        what=f"objective={objective!r} is not known",
        hint=f"use one of {', '.join(sorted(_IDENTITY | _EXPONENTIAL))}",
    )
    if objective in _LOGISTIC:
        raw = logistic(graph, raw, outputs)
    elif objective in _EXPONENTIAL:
        raw = curve(graph, "Exp", raw, outputs)
    return Scored(tolerance=SINGLE, value=raw, targets=outputs)


def _margin(graph: Graph, step: Any, table: Table, where: str) -> tuple[str, int, str]:
    """The sum of leaves ``(n, outputs)``, how many outputs there are, and the objective."""
    require_dense(table, where)
    require_numbers(table, where)
    require(
        condition=not callable(step.objective),
        where=where,
        what="an objective of one's own is opaque",
        hint="use one of XGBoost's objectives",
    )
    booster = step.get_booster()
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = learner["objective"]["name"]
    trees, outputs = _trees(learner, where)
    matrix = _matrix(graph, step, table, trees)
    base = _base(learner["learner_model_param"]["base_score"], objective, outputs)
    forest = Forest(trees=trees, columns=table.columns, matrix=matrix, single=True, missing=True)
    return follow(graph, forest, base), outputs, objective


def _trees(learner: dict[str, Any], where: str) -> tuple[tuple[Tree, ...], int]:
    booster = learner["gradient_booster"]
    weights: list[float] | None = None
    if booster["name"] == "dart":
        weights, booster = booster["weight_drop"], booster["gbtree"]
    model = booster.get("model", {})
    require(
        condition="trees" in model,
        where=where,
        what=f"booster={booster['name']!r} has no trees",
        hint="use booster='gbtree' or 'dart', or scikit-learn's linear models",
    )
    require(
        condition=not (model.get("cats") or {}).get("enc") and all(_plain(one) for one in model["trees"]),
        where=where,
        what="it was fitted on a data frame's own categories, or on trees with several numbers a leaf",
        hint="encode categories with OrdinalEncoder and name them in feature_types; keep multi_strategy at its default",
    )
    held = learner["learner_model_param"]
    outputs = max(1, int(held["num_class"]), int(held.get("num_target", 1)))
    grown = model["trees"][: _kept(learner, model, outputs)]
    targets = model["tree_info"]
    return tuple(_tree(one, targets[i], 1.0 if weights is None else weights[i]) for i, one in enumerate(grown)), outputs


def _plain(tree: dict[str, Any]) -> bool:
    return int(tree["tree_param"]["size_leaf_vector"]) <= 1


def _kept(learner: dict[str, Any], model: dict[str, Any], outputs: int) -> int:
    """How many trees count: those up to the best iteration, if training stopped early."""
    best = learner["attributes"].get("best_iteration")
    if best is None:
        return len(model["trees"])
    ends = model.get("iteration_indptr")
    parallel = max(1, int(model["gbtree_model_param"]["num_parallel_tree"]))
    count = int(best) + 1
    return int(ends[count]) if ends else count * outputs * parallel


def _tree(tree: dict[str, Any], target: int, weight: float) -> Tree:
    left, right = (np.asarray(tree[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
    numbers = np.asarray(tree["split_conditions"], dtype=np.float32)
    missing = np.asarray(tree["default_left"], dtype=np.int64) != 0
    inner = left >= 0
    members = _members(tree)
    swapped = np.isin(np.arange(len(left)), list(members))  # the codes named go right there, left here
    with np.errstate(over="ignore"):
        # "less than" is "at most the float32 below".
        below = np.nextafter(numbers, np.float32(-np.inf)).astype(np.float64)
    return Tree(
        column=np.asarray(tree["split_indices"], dtype=np.int64),
        threshold=np.where(inner & ~swapped, below, 0.0),
        left=np.where(swapped, right, left),
        right=np.where(swapped, left, right),
        missing_left=np.where(swapped, ~missing, missing),
        members=members,
        value=np.where(inner, 0.0, numbers.astype(np.float64) * np.float64(np.float32(weight))),
        target=int(target),
    )


def _members(tree: dict[str, Any]) -> dict[int, tuple[float, ...]]:
    nodes, starts, sizes = (tree[f"categories_{part}"] for part in ("nodes", "segments", "sizes"))
    codes = tree["categories"]
    return {
        int(node): tuple(float(code) for code in codes[start : start + size])
        for node, start, size in zip(nodes, starts, sizes, strict=True)
    }


def _matrix(graph: Graph, step: Any, table: Table, trees: tuple[Tree, ...]) -> str:
    """Numbers in float32, missing ones NaN, codes cut off to whole numbers, -1 if negative."""
    matrix = graph.double(graph.node("Cast", graph.matrix(table.columns), to=TensorProto.FLOAT))
    missing = getattr(step, "missing", np.nan)
    if missing is not None and not np.isnan(missing):
        absent = graph.node("Equal", matrix, graph.number(float(np.float32(missing))))
        matrix = graph.node("Where", absent, graph.number(np.nan), matrix)
    coded = np.zeros((1, len(table.columns)), dtype=bool)
    for tree in trees:
        coded[0, tree.column[list(tree.members)]] = True
    if coded.any():
        negative = graph.node("Less", matrix, graph.number(0.0))
        whole = graph.node("Where", negative, graph.number(-1.0), graph.node("Floor", matrix))
        matrix = graph.node("Where", graph.constant(coded), whole, matrix)
    return matrix


def _base(told: str, objective: str, outputs: int) -> list[float]:
    """The start of the sum, brought from the scale of predictions to that of margins; in float32 as XGBoost does."""
    scores = np.broadcast_to(np.asarray(json.loads(told), dtype=np.float32).ravel(), (outputs,)).tolist()
    if objective in _LOGISTIC:
        scores = [-math.log(1 / score - 1) for score in scores]
    elif objective in _EXPONENTIAL:
        scores = [math.log(score) for score in scores]
    return [float(np.float32(score)) for score in scores]
