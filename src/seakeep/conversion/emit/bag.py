"""Ensembles of alike estimators: bagging and AdaBoost.

Read from scikit-learn 1.9.1, ``ensemble/_bagging.py`` and ``_weight_boosting.py``. Members that are plain decision
trees become one ensemble of trees; others are emitted one by one. A member may have seen some columns and some classes
only. AdaBoost refuses missing and infinite numbers itself; with bagging each member refuses what it refuses.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.forest import Forest
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import softmax
from seakeep.conversion.emit.registry import EXACT, Scored, finite, predict, predictor, require
from seakeep.conversion.emit.tree import follow, gather
from seakeep.conversion.emit.trees import from_sklearn, single

_TREES = {DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor}


@predictor(BaggingClassifier)
def bagged_classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The mean of the members' probabilities, or of their votes if they have none."""
    classes, count = len(step.classes_), len(step.estimators_)
    if _all_trees(step):
        columns, matrix, missing = single(graph, table, step.estimators_[0], where, _seen(step))
        grown = tuple(
            from_sklearn(tree.tree_, _spread(tree.tree_.value[:, 0, : len(tree.classes_)], tree, classes), chosen)
            for tree, chosen in zip(step.estimators_, step.estimators_features_, strict=True)
        )
        forest = Forest(trees=grown, columns=columns, matrix=matrix, single=True, missing=missing)

        def second() -> str:
            trees = tuple(dataclasses.replace(tree, value=tree.value[:, 1]) for tree in forest.trees)
            total = follow(graph, dataclasses.replace(forest, trees=trees))
            return graph.node("Div", total, graph.number(count))

        return Scored(
            tolerance=EXACT,
            classes=classes,
            probabilities=lambda: graph.node("Div", gather(graph, forest), graph.number(count)),
            positive=second if classes == 2 else None,
        )
    parts, tolerance = [], 0.0
    for i, (inside, scored, member) in enumerate(_members(graph, step, table, where)):
        shares = (
            registry.probabilities(graph, scored)
            if hasattr(member, "predict_proba")
            else graph.double(graph.node("Equal", registry.label(graph, scored), graph.row(range(scored.classes))))
        )
        placed = np.zeros((scored.classes, classes))
        placed[np.arange(scored.classes), np.asarray(member.classes_, dtype=np.int64)] = 1.0
        require(
            condition=placed.sum() == scored.classes,
            where=inside,
            what=f"member {i} has other classes than the ensemble",
            hint="refit the ensemble",
        )
        whole = np.array_equal(placed, np.eye(classes))
        parts.append(shares if whole else graph.node("MatMul", shares, graph.constant(placed)))
        tolerance = max(tolerance, scored.tolerance)
    return Scored(tolerance=tolerance, classes=classes, probabilities=_averaged(graph, parts))


@predictor(BaggingRegressor)
def bagged_values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The mean of the members' values."""
    if _all_trees(step):
        columns, matrix, missing = single(graph, table, step.estimators_[0], where, _seen(step))
        grown = tuple(
            from_sklearn(tree.tree_, tree.tree_.value[:, 0, 0], chosen)
            for tree, chosen in zip(step.estimators_, step.estimators_features_, strict=True)
        )
        forest = Forest(trees=grown, columns=columns, matrix=matrix, single=True, missing=missing)
        total = follow(graph, forest)
        return Scored(tolerance=EXACT, value=graph.node("Div", total, graph.number(len(grown))))
    members = [scored for _, scored, _ in _members(graph, step, table, where)]
    values = [registry.value(graph, one) for one in members]
    return Scored(tolerance=max(one.tolerance for one in members), value=_averaged(graph, values))


@predictor(AdaBoostClassifier)
def boosted_classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Weighted votes: a member adds its weight to its class and takes ``weight / (classes - 1)`` from the others."""
    finite(graph, table, where)
    classes, weights = len(step.classes_), np.asarray(step.estimator_weights_, dtype=np.float64)
    weights = weights[: len(step.estimators_)]
    tolerance = EXACT
    if all(type(member) in _TREES for member in step.estimators_):
        columns, matrix, _ = single(graph, table, step.estimators_[0], where)
        grown = tuple(
            from_sklearn(member.tree_, _votes(_predicted(step, member), weight, classes))
            for member, weight in zip(step.estimators_, weights, strict=True)
        )
        total = gather(graph, Forest(trees=grown, columns=columns, matrix=matrix, single=True, missing=False))
    else:
        parts = []
        for i, (member, weight) in enumerate(zip(step.estimators_, weights, strict=True)):
            scored = predict(graph, member, table, f"{where}.{i}")
            tolerance = max(tolerance, scored.tolerance)
            known = np.searchsorted(step.classes_, member.classes_)
            rows = graph.constant(_votes(known, weight, classes))
            chosen = graph.node("Cast", registry.label(graph, scored), to=7)
            parts.append(graph.shape(graph.node("Gather", rows, chosen, axis=0), -1, classes))
        total = parts[0]
        for part in parts[1:]:
            total = graph.node("Add", total, part)
    total = graph.node("Div", total, graph.number(step.estimator_weights_.sum()))
    if classes == 2:
        raw = graph.node("Sub", graph.take(total, [1]), graph.take(total, [0]))
        halves = graph.node("Div", graph.beside([graph.node("Neg", raw), raw]), graph.number(2.0))
        return Scored(tolerance=tolerance, decision=raw, probabilities=lambda: softmax(graph, halves, 2))
    shares = graph.node("Div", total, graph.number(classes - 1))
    return Scored(
        tolerance=tolerance,
        classes=classes,
        decision=total,
        probabilities=lambda: softmax(graph, shares, classes),
    )


@predictor(AdaBoostRegressor)
def boosted_values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The weighted median of the members' values."""
    finite(graph, table, where)
    weights = np.asarray(step.estimator_weights_, dtype=np.float64)[: len(step.estimators_)]
    tolerance = EXACT
    if all(type(member) in _TREES for member in step.estimators_):
        columns, matrix, _ = single(graph, table, step.estimators_[0], where)
        grown = tuple(
            dataclasses.replace(from_sklearn(member.tree_, member.tree_.value[:, 0, 0]), target=i)
            for i, member in enumerate(step.estimators_)
        )
        forest = Forest(trees=grown, columns=columns, matrix=matrix, single=True, missing=False)
        values = follow(graph, forest, [0.0] * len(grown))
    else:
        members = [predict(graph, member, table, f"{where}.{i}") for i, member in enumerate(step.estimators_)]
        tolerance = max(one.tolerance for one in members)
        values = graph.beside([registry.value(graph, one) for one in members])
    return Scored(tolerance=tolerance, value=_weighted_median(graph, values, weights))


def _weighted_median(graph: Graph, values: str, weights: np.ndarray[Any, Any]) -> str:
    count, one = graph.constant(np.array([len(weights)], dtype=np.int64)), graph.constant(np.array([1], dtype=np.int64))
    ordered, places = graph.nodes("TopK", 2, values, count, axis=1, largest=0, sorted=1)
    heaped = graph.node("CumSum", graph.node("Gather", graph.constant(weights), places, axis=0), one)
    half = graph.node("Mul", graph.number(0.5), graph.take(heaped, [len(weights) - 1]))
    reached = graph.node("Cast", graph.node("GreaterOrEqual", heaped, half), to=7)
    first = graph.node("ArgMax", reached, axis=1, keepdims=1, select_last_index=0)
    graph.flat = True
    return graph.node("GatherElements", ordered, first, axis=1)


def _seen(step: Any) -> list[int]:
    """The columns that some member looks at: nobody refuses what is in the others."""
    seen: list[int] = np.unique(np.concatenate(step.estimators_features_)).tolist()
    return seen


def _all_trees(step: Any) -> bool:
    return all(type(member) in _TREES for member in step.estimators_)


def _members(graph: Graph, step: Any, table: Table, where: str) -> list[tuple[str, Scored, Any]]:
    found = []
    for i, (member, chosen) in enumerate(zip(step.estimators_, step.estimators_features_, strict=True)):
        columns = tuple(table.columns[k] for k in np.asarray(chosen).tolist())
        inside = f"{where}.{i}"
        found.append((inside, predict(graph, member, Table(columns, sparse=table.sparse), inside), member))
    return found


def _averaged(graph: Graph, parts: list[str]) -> str:
    total = parts[0]
    for part in parts[1:]:
        total = graph.node("Add", total, part)
    return graph.node("Div", total, graph.number(len(parts)))


def _spread(shares: np.ndarray[Any, Any], tree: Any, classes: int) -> np.ndarray[Any, Any]:
    """A tree's shares of its own classes, as shares of all."""
    spread = np.zeros((len(shares), classes))
    spread[:, np.asarray(tree.classes_, dtype=np.int64)] = shares
    return spread


def _predicted(step: Any, member: Any) -> np.ndarray[Any, Any]:
    """The position among the ensemble's classes that each node of a member predicts."""
    own = member.tree_.value[:, 0, : len(member.classes_)].argmax(axis=1)
    places: np.ndarray[Any, Any] = np.searchsorted(step.classes_, member.classes_.take(own))
    return places


def _votes(predicted: np.ndarray[Any, Any], weight: float, classes: int) -> np.ndarray[Any, Any]:
    return np.where(predicted[:, None] == np.arange(classes), weight, -1 / (classes - 1) * weight)
