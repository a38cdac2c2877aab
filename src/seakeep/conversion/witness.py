"""Which row comes by which node: so that a split is tried with a row that really meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.emit.tree import Tree


def witnesses(tree: Tree, matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first row that comes by each node, or -1.

    Parameters
    ----------
    tree
        The tree.
    matrix
        What the tree looks at, ``(n, columns)``, already rounded if the tree rounds.

    Returns
    -------
    ndarray
        ``(nodes,)``; a position in ``matrix`` per node.
    """
    first = np.full(len(tree.left), -1, dtype=np.int64)
    rows = np.arange(len(matrix))
    node = np.zeros(len(matrix), dtype=np.int64)
    is_leaf, (slots, member) = tree.is_leaf, _membership(tree)
    while len(rows):
        first[node[::-1]] = rows[::-1]  # of several rows at one node the last to be written is the first
        inner = ~is_leaf[node]
        rows, node = rows[inner], node[inner]
        value = matrix[rows, tree.column[node]]
        missing = np.isnan(value)
        left = np.where(missing, tree.missing_left[node], value <= tree.threshold[node])
        sets = (slots[node] >= 0) & ~missing
        left[sets] = member[slots[node[sets]], value[sets].astype(np.int64)]
        node = np.where(left, tree.left[node], tree.right[node])
    return first


def _membership(tree: Tree) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each node its line of the second array, or -1; and by line and code, whether the code goes left."""
    slots = np.full(len(tree.left), -1, dtype=np.int64)
    member = np.zeros((len(tree.members), 256), dtype=bool)
    for line, (node, codes) in enumerate(tree.members.items()):
        slots[node] = line
        member[line, np.array(codes, dtype=np.int64)] = True
    return slots, member
