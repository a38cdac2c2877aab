"""Decision trees and the forests that average them.

Read from scikit-learn 1.9.1, ``tree/_classes.py``, ``tree/_tree.pyx``, ``ensemble/_forest.py`` and
``ensemble/_iforest.py``. Values are rounded to float32 (``DTYPE``), then compared as doubles with ``<=``. A missing
value goes where ``missing_go_to_left`` says, if the tree accepts it at all: one that was fitted without missing values
sends it to the child with more rows. What is infinite after the rounding is refused, and a sparse matrix with a
missing value. Unknown categories do not occur: the columns are numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._iforest import _average_path_length
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.utils import get_tags

from seakeep.conversion.emit.column import Column, Table
from seakeep.conversion.emit.forest import Forest, Tree
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import EXACT, Scored, first_highest, predictor, require_dense, require_numbers
from seakeep.conversion.emit.tree import follow, gather


@predictor(RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier, ExtraTreeClassifier)
def averaged_classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The mean over trees of the leaf's shares of the classes."""
    trees = _estimators(step)
    classes = int(step.n_classes_)
    columns, matrix, missing = single(graph, table, trees[0], where)

    def mean(shares: slice | int) -> str:
        grown = tuple(from_sklearn(each.tree_, each.tree_.value[:, 0, shares]) for each in trees)
        forest = Forest(trees=grown, columns=columns, matrix=matrix, single=True, missing=missing)
        total = follow(graph, forest) if isinstance(shares, int) else gather(graph, forest)
        return _divided(graph, total, len(trees))

    return Scored(
        tolerance=EXACT,
        classes=classes,
        probabilities=lambda: mean(slice(0, classes)),
        positive=(lambda: mean(1)) if classes == 2 else None,
        label=lambda: first_highest(graph, mean(slice(0, classes))),
    )


@predictor(RandomForestRegressor, ExtraTreesRegressor, DecisionTreeRegressor, ExtraTreeRegressor)
def averaged_values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The mean over trees of the leaf's values."""
    trees = _estimators(step)
    targets = int(trees[0].n_outputs_)
    columns, matrix, missing = single(graph, table, trees[0], where)
    values = [each.tree_.value[:, 0, 0] if targets == 1 else each.tree_.value[:, :, 0] for each in trees]
    grown = tuple(from_sklearn(each.tree_, value) for each, value in zip(trees, values, strict=True))
    forest = Forest(trees=grown, columns=columns, matrix=matrix, single=True, missing=missing)
    total = follow(graph, forest) if targets == 1 else gather(graph, forest)
    return Scored(tolerance=EXACT, value=_divided(graph, total, len(trees)), targets=targets)


@predictor(IsolationForest)
def isolation(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """``-2 ** (-depth / expected) - offset``; below 0 an outlier.

    Each tree looks at its own columns. A leaf's depth is the number of nodes on the way plus the expected rest.
    Infinite numbers are accepted (``score_samples`` validates with ``ensure_all_finite=False``).
    """
    require_dense(table, where)
    require_numbers(table, where)
    matrix = graph.double(graph.node("Cast", graph.matrix(table.columns), to=TensorProto.FLOAT))
    depths = zip(step._decision_path_lengths, step._average_path_length_per_tree, strict=True)  # noqa: SLF001 -- nowhere else; the proof checks them
    grown = tuple(
        from_sklearn(tree.tree_, path + rest - 1.0, chosen)
        for tree, chosen, (path, rest) in zip(step.estimators_, step.estimators_features_, depths, strict=True)
    )
    forest = Forest(trees=grown, columns=table.columns, matrix=matrix, single=True, missing=True)
    total = follow(graph, forest)
    expected = len(grown) * float(_average_path_length([step._max_samples])[0])  # noqa: SLF001 -- as above
    ratio = graph.node("Div", total, graph.number(-expected)) if expected else graph.constant(np.array([[-1.0]]))
    score = graph.node("Neg", graph.node("Pow", graph.number(2.0), ratio))
    return Scored(tolerance=EXACT, decision=graph.node("Sub", score, graph.number(step.offset_)))


def single(
    graph: Graph, table: Table, tree: Any, where: str, seen: Sequence[int] | None = None
) -> tuple[tuple[Column, ...], str, bool]:
    """The columns and their matrix rounded to float32, and whether missing values are accepted; others are refused.

    Parameters
    ----------
    seen
        The columns that are checked, if not all are.
    """
    require_numbers(table, where)
    missing = bool(get_tags(tree).input_tags.allow_nan) and not table.sparse
    rounded = graph.node("Cast", graph.matrix(table.columns), to=TensorProto.FLOAT)
    matrix = graph.double(rounded)
    checked = matrix if seen is None or len(seen) == len(table.columns) else graph.take(matrix, seen)
    if missing:
        graph.refuse_infinite(checked)
    else:
        graph.refuse_nonfinite(checked)
    return table.columns, matrix, missing


def from_sklearn(tree: Any, value: np.ndarray[Any, Any], columns: np.ndarray[Any, Any] | None = None) -> Tree:
    """A fitted ``Tree`` with other values of its leaves; ``columns`` says which ones the tree's own numbers mean."""
    looked_at = np.asarray(tree.feature, dtype=np.int64)
    return Tree(
        column=looked_at if columns is None else np.where(looked_at >= 0, np.asarray(columns)[looked_at], 0),
        threshold=np.asarray(tree.threshold, dtype=np.float64),
        left=np.asarray(tree.children_left, dtype=np.int64),
        right=np.asarray(tree.children_right, dtype=np.int64),
        missing_left=np.asarray(tree.missing_go_to_left, dtype=bool),
        members={},
        value=np.asarray(value, dtype=np.float64),
    )


def _estimators(step: Any) -> list[Any]:
    return list(step.estimators_) if hasattr(step, "estimators_") else [step]


def _divided(graph: Graph, total: str, count: int) -> str:
    return total if count == 1 else graph.node("Div", total, graph.number(count))
