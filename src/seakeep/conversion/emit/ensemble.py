"""Tree classifiers of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from seakeep.conversion.emit.encode import encode
from seakeep.conversion.emit.graph import Graph, Table
from seakeep.conversion.emit.link import logistic
from seakeep.conversion.emit.registry import Scored, classifier, require, require_numbers
from seakeep.conversion.emit.tree import Forest, Tree, follow

TOLERANCE = 1e-12
"""Every row reaches the same leaves; what remains is the rounding of a sum and of ``exp``."""


@classifier(RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier)
def averaged(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The mean over trees of the leaf's share of the positive class."""
    estimators = [step] if isinstance(step, DecisionTreeClassifier) else list(step.estimators_)
    missing = bool(get_tags(estimators[0]).input_tags.allow_nan) and not table.sparse
    trees = tuple(_from_sklearn(each.tree_, each.tree_.value[:, 0, 1]) for each in estimators)
    forest = _single(graph, table, trees, missing=missing, where=where)
    total = follow(graph, forest, 0.0)
    mean = graph.node("Div", total, graph.constant(np.array(float(len(trees)))))
    return Scored(score=graph.settle(mean), tolerance=TOLERANCE, forest=forest)


@classifier(GradientBoostingClassifier)
def boosted(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of a constant and the trees' leaves times the learning rate."""
    require(
        condition=step.loss == "log_loss",
        where=where,
        what=f"loss={step.loss!r} is not emitted",
        hint="use the default loss, log_loss",
    )
    base = 0.0
    if step.init_ != "zero":
        require(
            condition=type(step.init_) is DummyClassifier and step.init_.strategy == "prior",
            where=where,
            what="an own init estimator is not emitted",
            hint="leave init at its default, or use init='zero'",
        )
        tiny = np.finfo(np.float64).eps
        share = np.clip(step.init_.class_prior_[1], tiny, 1 - tiny)
        base = float(step._loss.link.link(np.array([share]))[0])  # noqa: SLF001 -- the very bits of the start value; the proof checks them
    trees = tuple(
        _from_sklearn(each.tree_, step.learning_rate * each.tree_.value[:, 0, 0]) for each in step.estimators_[:, 0]
    )
    forest = _single(graph, table, trees, missing=False, where=where)
    raw = graph.settle(follow(graph, forest, base))
    return Scored(score=logistic(graph, raw), tolerance=TOLERANCE, forest=forest)


@classifier(HistGradientBoostingClassifier)
def histogram_boosted(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of the sum of the trees' leaves; values are compared in double and NaN is accepted."""
    columns = list(table.columns)
    if step.is_categorical_ is not None:
        mask = step.is_categorical_.tolist()
        encoder = step._preprocessor.named_transformers_["encoder"]  # noqa: SLF001 -- its categories are nowhere else; the proof checks them
        chosen = [column for column, categorical in zip(columns, mask, strict=True) if categorical]
        encoded = [
            encode(graph, column, _positions(categories), unknown=np.nan, where=where)
            for column, categories in zip(chosen, encoder.categories_, strict=True)
        ]
        columns = encoded + [column for column, categorical in zip(columns, mask, strict=True) if not categorical]
    require_numbers(Table(tuple(columns)), where)
    forest = Forest(
        trees=tuple(_from_predictor(predictor) for (predictor,) in step._predictors),  # noqa: SLF001 -- the trees are nowhere else; the proof checks them
        columns=tuple(columns),
        matrix=graph.matrix(columns),
        single=False,
        missing=True,
    )
    base = float(step._baseline_prediction.ravel()[0])  # noqa: SLF001 -- the start value is nowhere else; the proof checks it
    raw = graph.settle(follow(graph, forest, base))
    return Scored(score=logistic(graph, raw), tolerance=TOLERANCE, forest=forest)


def _single(graph: Graph, table: Table, trees: tuple[Tree, ...], *, missing: bool, where: str) -> Forest:
    """A forest that rounds to float32 and refuses what does not fit into it."""
    require_numbers(table, where)
    rounded = graph.node("Cast", graph.matrix(table.columns), to=TensorProto.FLOAT)
    matrix = graph.node("Cast", rounded, to=TensorProto.DOUBLE)
    if missing:
        graph.refuse_infinite(matrix)
    else:
        graph.refuse_nonfinite(matrix)
    return Forest(trees=trees, columns=table.columns, matrix=matrix, single=True, missing=missing)


def _from_sklearn(tree: Any, value: np.ndarray[Any, Any]) -> Tree:
    return Tree(
        column=np.asarray(tree.feature, dtype=np.int64),
        threshold=np.asarray(tree.threshold, dtype=np.float64),
        left=np.asarray(tree.children_left, dtype=np.int64),
        right=np.asarray(tree.children_right, dtype=np.int64),
        missing_left=np.asarray(tree.missing_go_to_left, dtype=bool),
        members={},
        value=np.asarray(value, dtype=np.float64),
    )


def _from_predictor(predictor: Any) -> Tree:
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
    )


def _members(bits: np.ndarray[Any, np.dtype[np.uint32]]) -> tuple[float, ...]:
    """The codes whose bit is set in eight words of 32 bits."""
    flags = np.unpackbits(bits.astype("<u4").view(np.uint8), bitorder="little")
    return tuple(np.flatnonzero(flags).astype(float).tolist())


def _positions(categories: np.ndarray[Any, Any]) -> dict[Any, float]:
    """Codes by category; NaN, if it is one, stays NaN."""
    return {key: np.nan if key != key else float(i) for i, key in enumerate(categories.tolist())}  # noqa: PLR0124 -- NaN, where strings may stand
