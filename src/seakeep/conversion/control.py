"""Holds a proof to account: a model in which one leaf was changed a little must not pass it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from seakeep.conversion.rows import Rows, spread
from seakeep.conversion.session import ScoringSession
from seakeep.conversion.witness import Walk

if TYPE_CHECKING:
    from seakeep.conversion.emit.model import Emission

LEAVES = 8
"""Leaves that are changed, one at a time, in trees evenly spread over the model."""
CHANGE = 1e-6
"""What is added to a leaf."""
CERTAIN = 1e-3
"""A score this close to 0 or 1 may hide a changed leaf."""


def mutants(emission: Emission, row: Rows) -> Iterator[ScoringSession]:
    """The model with one leaf changed that ``row`` reaches; none without trees.

    Parameters
    ----------
    row
        One row.
    """
    from onnx import load_from_string, numpy_helper

    if emission.forest is None:
        return
    trees = emission.forest.trees
    matrix = ScoringSession(emission.forest_inputs).score(row.numbers, row.categories)
    # The model's first leaf is the base that the trees are added to.
    first = 1 + np.cumsum([0, *(int(tree.is_leaf.sum()) for tree in trees)])
    for index in spread(len(trees), LEAVES).tolist():
        tree = trees[index]
        reached = int(np.flatnonzero((Walk(tree, matrix).witnesses() >= 0) & tree.is_leaf)[0])
        position = first[index] + tree.is_leaf[:reached].sum()
        model = load_from_string(emission.model)
        node = next(one for one in model.graph.node if one.op_type == "TreeEnsemble")
        leaves = next(one for one in node.attribute if one.name == "leaf_weights")
        values = numpy_helper.to_array(leaves.t).copy()
        values[position] += CHANGE
        leaves.t.CopyFrom(numpy_helper.from_array(values, leaves.t.name))
        yield ScoringSession(model.SerializeToString())
