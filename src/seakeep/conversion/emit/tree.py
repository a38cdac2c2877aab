"""The ONNX nodes that follow trees.

References
----------
``TreeEnsemble``, ai.onnx.ml version 5, https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from seakeep.conversion.emit.column import Column
from seakeep.conversion.emit.forest import Forest, Tree, staircase, stump
from seakeep.conversion.emit.graph import ML, Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LESS_OR_EQUAL = 0
_MEMBER = 6
_SUM = 1


def follow(graph: Graph, forest: Forest, base: Sequence[float] = (0.0,)) -> str:
    """Emit ``base`` plus the leaf of every tree, added from first to last as the frameworks do; double ``(n, targets)``.

    The bases are first trees of one leaf, so that the sum is rounded in the frameworks' order and has their very bits.
    """
    nodes = _Nodes(len(base))
    for target, value in enumerate(base):
        nodes.add(dataclasses.replace(stump(value), target=target))
    for tree in forest.trees:
        nodes.add(tree)
    output = nodes.emit(graph, forest.matrix)
    graph.forests[output] = dataclasses.replace(forest, base=len(base), node=output)
    return output


def gather(graph: Graph, forest: Forest) -> str:
    """Emit the sum over trees of leaves that hold ``k`` numbers each, added from first to last; double ``(n, k)``.

    A node of ``TreeEnsemble`` has one number a leaf, so it gives the leaf of each tree and a table gives the numbers.
    """
    table = np.concatenate([tree.value[tree.is_leaf] for tree in forest.trees])
    constant = graph.constant(table)
    places = reached(graph, forest)
    probed = graph.forests.popitem()[1]  # the splits are tried once, with the leaves
    each = graph.node("Gather", constant, places, axis=0)
    axis = graph.constant(np.array([1], dtype=np.int64))
    alone = len(forest.trees) == 1
    output = graph.node("Squeeze", each, axis) if alone else graph.node("ReduceSum", each, axis, keepdims=0)
    graph.forests[output] = dataclasses.replace(probed, steps=False, table=constant)
    return output


def reached(graph: Graph, forest: Forest) -> str:
    """Emit the leaf that each row reaches in each tree, int64 ``(n, trees)``: its number among the leaves of all trees."""
    nodes = _Nodes(len(forest.trees))
    offset = 0
    for target, tree in enumerate(forest.trees):
        leaves = tree.is_leaf
        place = np.cumsum(leaves) - 1 + offset
        nodes.add(dataclasses.replace(tree, value=np.where(leaves, place, 0).astype(np.float64), target=target))
        offset += int(leaves.sum())
    output = nodes.emit(graph, forest.matrix)
    graph.forests[output] = dataclasses.replace(forest, steps=True)
    return graph.node("Cast", output, to=TensorProto.INT64)


def cut(
    graph: Graph,
    columns: Sequence[Column],
    steps: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    *,
    side: str,
) -> str:
    """For each column the value of the interval it lies in, double ``(n, len(columns))``; NaN lies in the last one.

    Parameters
    ----------
    steps
        For each column its edges, ascending ``(m,)``, and the intervals' values ``(m + 1,)``.
    side
        As of :func:`numpy.searchsorted`.
    """
    trees = tuple(
        staircase(edges, values, column=i, side=side) if len(edges) else dataclasses.replace(stump(values[0]), target=i)
        for i, (edges, values) in enumerate(steps)
    )
    matrix = graph.matrix(columns)
    forest = Forest(trees=trees, columns=tuple(columns), matrix=matrix, single=False, missing=False, steps=True)
    return follow(graph, forest, [0.0] * len(trees))


def stepped(column: Column, edges: NDArray[np.float64]) -> Column:
    """The column with an origin whose choices are the input's values at the edges and next to them."""
    origin = column.origin
    if origin is None or origin.choices or not len(edges):
        return column
    near = np.concatenate([np.nextafter(edges, -np.inf), edges, np.nextafter(edges, np.inf)])
    return dataclasses.replace(column, origin=origin.choosing(tuple(np.unique(origin.back(near)).tolist())))


class _Nodes:
    """The node's attributes, grown tree by tree."""

    def __init__(self, targets: int) -> None:
        self.target_count = targets
        self.targets: list[int] = []
        self.roots: list[int] = []
        self.columns: list[int] = []
        self.modes: list[int] = []
        self.splits: list[float] = []
        self.missing: list[int] = []
        self.members: list[float] = []
        self.true: list[int] = []
        self.true_is_leaf: list[int] = []
        self.false: list[int] = []
        self.false_is_leaf: list[int] = []
        self.weights: list[float] = []

    def add(self, tree: Tree) -> None:
        is_leaf = tree.is_leaf
        first_leaf = len(self.weights)
        self.weights += tree.value[is_leaf].tolist()
        self.targets += [tree.target] * (len(self.weights) - first_leaf)
        self.roots.append(len(self.columns))
        if is_leaf[0]:  # a tree without a split is written as a split with one and the same leaf on both sides
            self._split(0, 0.0, missing=False, true=(first_leaf, True), false=(first_leaf, True))
            return
        place = np.where(is_leaf, np.cumsum(is_leaf) - 1 + first_leaf, np.cumsum(~is_leaf) - 1 + len(self.columns))
        for node in np.flatnonzero(~is_leaf).tolist():
            left, right = int(tree.left[node]), int(tree.right[node])
            self._split(
                int(tree.column[node]),
                float(tree.threshold[node]),
                missing=bool(tree.missing_left[node]),
                true=(int(place[left]), bool(is_leaf[left])),
                false=(int(place[right]), bool(is_leaf[right])),
                members=tree.members.get(node),
            )

    def _split(
        self,
        column: int,
        threshold: float,
        *,
        missing: bool,
        true: tuple[int, bool],
        false: tuple[int, bool],
        members: Sequence[float] | None = None,
    ) -> None:
        self.columns.append(column)
        self.modes.append(_LESS_OR_EQUAL if members is None else _MEMBER)
        self.splits.append(threshold if members is None else 0.0)
        self.missing.append(int(missing))
        if members is not None:
            self.members += [*members, np.nan]  # sets are parted by NaN
        self.true.append(true[0])
        self.true_is_leaf.append(int(true[1]))
        self.false.append(false[0])
        self.false_is_leaf.append(int(false[1]))

    def emit(self, graph: Graph, matrix: str) -> str:
        count = len(self.columns)
        sets = {"membership_values": _doubles("members", self.members)} if self.members else {}
        return graph.node(
            "TreeEnsemble",
            matrix,
            domain=ML,
            n_targets=self.target_count,
            aggregate_function=_SUM,
            post_transform=0,
            tree_roots=self.roots,
            nodes_featureids=self.columns,
            nodes_modes=helper.make_tensor("modes", TensorProto.UINT8, [count], self.modes),
            nodes_splits=_doubles("splits", self.splits),
            nodes_missing_value_tracks_true=self.missing,
            nodes_truenodeids=self.true,
            nodes_trueleafs=self.true_is_leaf,
            nodes_falsenodeids=self.false,
            nodes_falseleafs=self.false_is_leaf,
            leaf_targetids=self.targets,
            leaf_weights=_doubles("weights", self.weights),
            **sets,
        )


def _doubles(name: str, values: list[float]) -> TensorProto:
    return helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values)
