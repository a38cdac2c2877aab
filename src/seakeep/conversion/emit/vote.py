"""Ensembles of unlike estimators: votes and stacks.

Read from scikit-learn 1.9.1, ``ensemble/_voting.py`` and ``_stacking.py``. The members get the inputs as they are, and
each refuses what it refuses; a row that one refuses is refused.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import Scored, predict, predictor


@predictor(VotingClassifier)
def voted_classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The weighted mean of probabilities (``soft``), or the class with the greatest weight of votes (``hard``)."""
    members = _members(graph, step, table, where)
    classes, weights = len(step.classes_), _weights(step)
    tolerance = max(one.tolerance for one in members)
    if step.voting == "hard":
        votes = [graph.node("Equal", registry.label(graph, one), graph.row(range(classes))) for one in members]
        counted = _summed(graph, [graph.double(one) for one in votes], weights)
        return Scored(tolerance=tolerance, classes=classes, label=registry.first_highest(graph, counted))
    return Scored(
        tolerance=tolerance,
        classes=classes,
        probabilities=lambda: _mean(graph, [registry.probabilities(graph, one) for one in members], weights),
        positive=(lambda: _mean(graph, [registry.positive(graph, one) for one in members], weights))
        if classes == 2
        else None,
        label=lambda: registry.first_highest(
            graph, _mean(graph, [registry.probabilities(graph, one) for one in members], weights)
        ),
    )


@predictor(VotingRegressor)
def voted_values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The weighted mean of values."""
    members = _members(graph, step, table, where)
    values = [registry.value(graph, one) for one in members]
    return Scored(tolerance=max(one.tolerance for one in members), value=_mean(graph, values, _weights(step)))


@predictor(StackingClassifier, StackingRegressor)
def stacked(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The final estimator's answer to the members' answers, and to the inputs if they are passed through.

    Of two classes only the second's probability is handed on. A class that is handed on itself is its position.
    """
    columns: list[Column] = []
    tolerance = 0.0
    for (name, _), fitted, method in zip(
        [one for one in step.estimators if one[1] != "drop"],
        [one for one in step.estimators_ if one != "drop"],
        step.stack_method_,
        strict=True,
    ):
        scored = predict(graph, fitted, table, f"{where}.{name}")
        tensor, width = _handed_on(graph, scored, fitted, method)
        like = Column(name=name, tensor="", position=0, kind="number", origin=None)
        columns += graph.new_columns(tensor, [dataclasses.replace(like, name=f"{name} {i}") for i in range(width)])
        tolerance = max(tolerance, scored.tolerance)
    if step.passthrough:
        columns += table.columns
    handed = Table(tuple(columns), sparse=table.sparse and step.passthrough)
    final = predict(graph, step.final_estimator_, handed, f"{where}.final_estimator")
    return dataclasses.replace(final, tolerance=max(final.tolerance, tolerance))


def _handed_on(graph: Graph, scored: Scored, fitted: Any, method: str) -> tuple[str, int]:
    if method == "predict_proba":
        if scored.classes == 2:
            return registry.positive(graph, scored), 1
        return registry.probabilities(graph, scored), scored.classes
    if method == "decision_function":
        return registry.decision(graph, scored), 1 if scored.classes == 2 else scored.classes
    if hasattr(fitted, "classes_"):
        return registry.label(graph, scored), 1
    return registry.value(graph, scored), scored.targets


def _members(graph: Graph, step: Any, table: Table, where: str) -> list[Scored]:
    names = [name for name, one in step.estimators if one != "drop"]
    fitted = zip(names, step.estimators_, strict=True)
    return [predict(graph, one, table, f"{where}.{name}") for name, one in fitted]


def _weights(step: Any) -> list[float] | None:
    weights = step._weights_not_none  # noqa: SLF001 -- it leaves out those of dropped members; the proof checks it
    return None if weights is None else [float(weight) for weight in weights]


def _summed(graph: Graph, tensors: list[str], weights: list[float] | None) -> str:
    if weights is not None:
        tensors = [
            graph.node("Mul", tensor, graph.number(weight)) for tensor, weight in zip(tensors, weights, strict=True)
        ]
    total = tensors[0]
    for tensor in tensors[1:]:
        total = graph.node("Add", total, tensor)
    return total


def _mean(graph: Graph, tensors: list[str], weights: list[float] | None) -> str:
    count = len(tensors) if weights is None else float(np.sum(weights))
    return graph.node("Div", _summed(graph, tensors, weights), graph.number(count))
