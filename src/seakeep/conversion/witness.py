"""Which row comes by which node: so that a split is tried with a row that meets it, and to which it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.emit.forest import Tree


class Walk:
    """Walks rows down one tree.

    Parameters
    ----------
    tree
        The tree.
    matrix
        What the tree looks at, ``(n, columns)``, already rounded if the tree rounds.
    """

    def __init__(self, tree: Tree, matrix: NDArray[np.float64]) -> None:
        self._tree = tree
        self._matrix = matrix
        self._is_leaf = tree.is_leaf
        self._line = np.full(len(tree.left), -1, dtype=np.int64)  # of ``_member``, by node
        most = int(max((max(codes, default=0) for codes in tree.members.values()), default=0))
        self._member = np.zeros((len(tree.members), most + 2), dtype=bool)  # whether a code goes left
        for line, (node, codes) in enumerate(tree.members.items()):
            self._line[node] = line
            self._member[line, np.array(codes, dtype=np.int64)] = True

    def witnesses(self) -> NDArray[np.int64]:
        """The first row that comes by each node, or -1; ``(nodes,)``."""
        first = np.full(len(self._tree.left), -1, dtype=np.int64)
        rows = np.arange(len(self._matrix))
        node = np.zeros(len(rows), dtype=np.int64)
        while len(rows):
            first[node[::-1]] = rows[::-1]  # of several rows at one node the last to be written is the first
            inner = ~self._is_leaf[node]
            rows, node = rows[inner], node[inner]
            node = self._children(node, self._matrix[rows, self._tree.column[node]])
        return first

    def telling(self, met: NDArray[np.int64], *, missing: bool = False) -> NDArray[np.int64]:
        """For each node the row to which its decision matters most; or -1.

        Two leaves may hold the same value, so a row can meet a split and score the same on either side. Of the rows
        that stand for the leaves below a node, this takes the one whose two sides differ most when its value at the
        node is the threshold.

        Parameters
        ----------
        met
            The rows to choose from, as :meth:`witnesses` gives them.
        missing
            Let the value at the node be NaN instead.
        """
        tree = self._tree
        candidates, nodes = self._paths(met[self._is_leaf & (met >= 0)])
        column = np.where(self._line[nodes] >= 0, -1, tree.column[nodes])
        value = np.full(len(nodes), np.nan) if missing else tree.threshold[nodes]
        sides = [self._leaf_value(child[nodes], candidates, column, value) for child in (tree.left, tree.right)]
        apart = np.abs(sides[0] - sides[1])
        if apart.ndim > 1:
            apart = apart.max(axis=1)
        order = np.lexsort((-candidates, apart, nodes))
        best = met.copy()
        best[nodes[order]] = candidates[order]  # of several rows for one node the last to be written tells most
        return best

    def _paths(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of one of ``rows`` and an inner node it comes by."""
        node = np.zeros(len(rows), dtype=np.int64)
        pairs = [(rows[:0], node[:0])]
        while len(rows):
            inner = ~self._is_leaf[node]
            rows, node = rows[inner], node[inner]
            pairs.append((rows, node))
            node = self._children(node, self._matrix[rows, self._tree.column[node]])
        return np.concatenate([row for row, _ in pairs]), np.concatenate([at for _, at in pairs])

    def _leaf_value(
        self, node: NDArray[np.int64], rows: NDArray[np.int64], column: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Values, one or several, of the leaves that rows reach from ``node``, with ``value`` in ``column`` of each (-1: unchanged)."""
        node = node.copy()
        walking = np.flatnonzero(~self._is_leaf[node])
        while len(walking):
            at = node[walking]
            looked_at = self._tree.column[at]
            own = self._matrix[rows[walking], looked_at]
            node[walking] = self._children(at, np.where(looked_at == column[walking], value[walking], own))
            walking = walking[~self._is_leaf[node[walking]]]
        return self._tree.value[node]

    def _children(self, node: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.int64]:
        """Where rows with these values at these inner nodes go."""
        tree = self._tree
        missing = np.isnan(value)
        left = np.where(missing, tree.missing_left[node], value <= tree.threshold[node])
        sets = (self._line[node] >= 0) & ~missing
        beyond = self._member.shape[1] - 1  # no code: what is negative or too large
        code = np.where((value[sets] < 0) | (value[sets] > beyond), beyond, value[sets]).astype(np.int64)
        left[sets] = self._member[self._line[node[sets]], code]
        return np.where(left, tree.left[node], tree.right[node])
