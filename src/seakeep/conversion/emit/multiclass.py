"""Several classes by several binary classifiers.

Read from scikit-learn 1.9.1, ``multiclass.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, _ConstantPredictor

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import EXACT, Scored, predict, predictor, require


@predictor(OneVsRestClassifier)
def one_vs_rest(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Each class's probability or decision by its own classifier; probabilities are divided by their sum, if not 0."""
    require(
        condition=not step.multilabel_,
        where=where,
        what="it predicts several labels at once",
        hint="fit one classifier for each of the labels",
    )
    members = [predict(graph, one, table, f"{where}.{i}") for i, one in enumerate(step.estimators_)]
    tolerance, classes = max(one.tolerance for one in members), len(step.classes_)
    if classes == 2:
        return Scored(
            tolerance=tolerance,
            positive=members[0].positive or (lambda: registry.positive(graph, members[0])),
            decision=members[0].decision,
            label=lambda: registry.label(graph, members[0]),
        )

    def shares() -> str:
        each = graph.beside([registry.positive(graph, one) for one in members])
        total = graph.total(each, classes)
        nothing = graph.node("Equal", total, graph.number(0.0))
        return graph.node("Div", each, graph.node("Where", nothing, graph.number(1.0), total))

    decided = hasattr(step, "decision_function")
    return Scored(
        tolerance=tolerance,
        classes=classes,
        probabilities=shares if hasattr(step, "predict_proba") else None,
        decision=(lambda: graph.beside([registry.decision(graph, one) for one in members])) if decided else None,
        # Without decisions the unnormalised probabilities are compared.
        label=None
        if decided
        else lambda: registry.first_highest(graph, graph.beside([registry.positive(graph, one) for one in members])),
    )


@predictor(OneVsOneClassifier)
def one_vs_one(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Votes of every pair's classifier, ties broken by the sum of their decisions."""
    require(
        condition=step.pairwise_indices_ is None,
        where=where,
        what="its members take precomputed kernels",
        hint="use a kernel that is computed",
    )
    classes = len(step.classes_)
    members = [predict(graph, one, table, f"{where}.{i}") for i, one in enumerate(step.estimators_)]
    tolerance = max(one.tolerance for one in members)
    if classes == 2:
        return Scored(
            tolerance=tolerance, decision=members[0].decision, label=lambda: registry.label(graph, members[0])
        )
    decided = graph.beside([
        registry.decision(graph, scored) if hasattr(one, "decision_function") else registry.positive(graph, scored)
        for one, scored in zip(step.estimators_, members, strict=True)
    ])  # fmt: skip
    labels = graph.beside([registry.label(graph, one) for one in members])
    return Scored(tolerance=tolerance, classes=classes, decision=pairwise(graph, labels, decided, classes))


@predictor(_ConstantPredictor)
def constant(graph: Graph, step: Any, table: Table, where: str) -> Scored:  # noqa: ARG001 -- an emitter's signature
    """What a class gets that every row had, or none."""
    value = graph.node("Expand", graph.constant(np.array([[float(np.ravel(step.y_)[0])]])), graph.rows(1))
    return Scored(tolerance=EXACT, positive=value, decision=value)


def pairwise(graph: Graph, second: str, confidence: str, classes: int) -> str:
    """Votes plus their confidence, squeezed to less than one vote; see ``_ovr_decision_function``.

    Parameters
    ----------
    second
        For each pair ``i < j`` of classes 1 where ``j`` was chosen, 0 where ``i`` was.
    confidence
        How much speaks for ``j``.
    """
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    signs, seconds, firsts = (np.zeros((len(pairs), classes)) for _ in range(3))
    for k, (i, j) in enumerate(pairs):
        signs[k, [i, j]] = -1.0, 1.0
        firsts[k, i] = seconds[k, j] = 1.0
    total = graph.node("MatMul", confidence, graph.constant(signs))
    first = graph.node("Sub", graph.number(1.0), second)
    votes = graph.node(
        "Add",
        graph.node("MatMul", first, graph.constant(firsts)),
        graph.node("MatMul", second, graph.constant(seconds)),
    )
    size = graph.node("Add", graph.node("Abs", total), graph.number(1.0))
    squeezed = graph.node("Div", total, graph.node("Mul", graph.number(3.0), size))
    return graph.node("Add", votes, squeezed)
