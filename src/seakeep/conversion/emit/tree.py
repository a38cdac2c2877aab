"""Decision trees as arrays, and the ONNX node that follows them.

References
----------
``TreeEnsemble``, ai.onnx.ml version 5, https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from seakeep.conversion.emit.graph import ML, Column, Graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LESS_OR_EQUAL = 0
_MEMBER = 6
_SUM = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One binary tree; all arrays have one element per node, the root is node 0.

    Attributes
    ----------
    column
        Index of the column an inner node looks at.
    threshold
        A row goes left when its value is at most this, compared in double.
    left, right
        Children; -1 in a leaf.
    missing_left
        Whether a row whose value is NaN goes left.
    members
        For nodes that test membership instead: the values that go left.
    value
        What a leaf contributes to the score.
    """

    column: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    members: dict[int, tuple[float, ...]]
    value: NDArray[np.float64]

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """Which nodes are leaves."""
        return self.left < 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """The trees a classifier follows, and the matrix they look at.

    Attributes
    ----------
    columns
        The matrix's columns.
    matrix
        Name of the tensor that holds the matrix, double ``(n, len(columns))``.
    single
        Whether values are rounded to float32 before they are compared.
    missing
        Whether the classifier accepts NaN.
    """

    trees: tuple[Tree, ...]
    columns: tuple[Column, ...]
    matrix: str
    single: bool
    missing: bool


def follow(graph: Graph, forest: Forest, base: float) -> str:
    """Emit ``base`` plus the leaf of every tree, added from first to last as the frameworks do; double ``(n, 1)``.

    The base is a first tree of one leaf, so that the sum is rounded in the frameworks' order and has their very bits.
    """
    nodes = _Nodes()
    nodes.add(_leaf(base))
    for tree in forest.trees:
        nodes.add(tree)
    return nodes.emit(graph, forest.matrix)


def _leaf(value: float) -> Tree:
    one = np.array([-1])
    return Tree(
        column=np.array([0]),
        threshold=np.array([0.0]),
        left=one,
        right=one,
        missing_left=np.array([False]),
        members={},
        value=np.array([value]),
    )


class _Nodes:
    """The node's attributes, grown tree by tree."""

    def __init__(self) -> None:
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
            n_targets=1,
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
            leaf_targetids=[0] * len(self.weights),
            leaf_weights=_doubles("weights", self.weights),
            **sets,
        )


def _doubles(name: str, values: list[float]) -> TensorProto:
    return helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values)
