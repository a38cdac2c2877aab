"""Holds a proof to account: a model in which one leaf or coefficient was changed a little must not pass it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.conversion.rows import Rows, spread
from seakeep.conversion.session import ScoringSession
from seakeep.conversion.witness import Walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.emit.model import Emission
    from seakeep.conversion.emit.tree import Forest

CHANGES = 8
"""Leaves that are changed, one at a time, in trees evenly spread over the model; or coefficients."""
CHANGE = 1e-6
"""What is added to a leaf, or to the product of a coefficient and its input."""
CERTAIN = 1e-3
"""A score this close to 0 or 1 may hide a change."""


def mutants(emission: Emission, row: Rows) -> Iterator[ScoringSession]:
    """The model with one change that ``row`` shows: of a leaf that it reaches, or of a coefficient that it weighs.

    Parameters
    ----------
    row
        One row.
    """
    from onnx import load_from_string

    if not emission.matrix:
        return
    matrix = ScoringSession(emission.matrix).score(row.numbers, row.categories)
    forest = emission.forest
    changes = _leaves(forest, matrix) if forest else _coefficients(matrix[0])
    for position, change in changes:
        model = load_from_string(emission.model)
        (_change_leaf if forest else _change_coefficient)(model.graph, position, change)
        yield ScoringSession(model.SerializeToString())


def _leaves(forest: Forest, matrix: NDArray[np.float64]) -> Iterator[tuple[int, float]]:
    trees = forest.trees
    # The model's first leaf is the base that the trees are added to.
    first = 1 + np.cumsum([0, *(int(tree.is_leaf.sum()) for tree in trees)])
    for index in spread(len(trees), CHANGES).tolist():
        tree = trees[index]
        reached = int(np.flatnonzero((Walk(tree, matrix).witnesses() >= 0) & tree.is_leaf)[0])
        yield int(first[index] + tree.is_leaf[:reached].sum()), CHANGE


def _coefficients(values: NDArray[np.float64]) -> Iterator[tuple[int, float]]:
    weighed = np.flatnonzero(values)
    for position in weighed[spread(len(weighed), CHANGES)].tolist():
        yield position, CHANGE / float(values[position])


def _change_leaf(graph: Any, position: int, change: float) -> None:
    from onnx import numpy_helper

    node = next(one for one in graph.node if one.op_type == "TreeEnsemble")
    leaves = next(one for one in node.attribute if one.name == "leaf_weights")
    values = numpy_helper.to_array(leaves.t).copy()
    values[position] += change
    leaves.t.CopyFrom(numpy_helper.from_array(values, leaves.t.name))


def _change_coefficient(graph: Any, position: int, change: float) -> None:
    """Give the product other coefficients; those of the model may serve as constants elsewhere too."""
    from onnx import numpy_helper

    node = next(one for one in graph.node if one.op_type == "MatMul")
    weights = next(one for one in graph.initializer if one.name == node.input[1])
    values = numpy_helper.to_array(weights).copy()
    values[position] += change
    graph.initializer.append(numpy_helper.from_array(values, "changed"))
    node.input[1] = "changed"
