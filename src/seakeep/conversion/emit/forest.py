"""Decision trees as arrays."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.conversion.emit.column import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
        What a leaf contributes: a number to output ``target``, ``(nodes,)``, or one to every output, ``(nodes, k)``.
    """

    column: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    members: dict[int, tuple[float, ...]]
    value: NDArray[np.float64]
    target: int = 0

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """Which nodes are leaves."""
        return self.left < 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Trees, and the matrix they look at.

    Attributes
    ----------
    columns
        The matrix's columns.
    matrix
        Name of the tensor that holds the matrix, double ``(n, len(columns))``.
    single
        Whether values are rounded to float32 before they are compared.
    missing
        Whether NaN is accepted.
    base
        How many leaves the model holds before those of the first tree.
    node
        The tensor that the node gives which holds the leaves.
    table
        Name of the constant ``(leaves, k)`` that holds them instead.
    steps
        Whether the trees only cut columns into intervals: their splits count, their leaves are not fitted.
    """

    trees: tuple[Tree, ...]
    columns: tuple[Column, ...]
    matrix: str
    single: bool
    missing: bool
    base: int = 0
    node: str = ""
    table: str = ""
    steps: bool = False


def stump(value: Any) -> Tree:
    """A tree of one leaf."""
    one = np.array([-1])
    return Tree(
        column=np.array([0]),
        threshold=np.array([0.0]),
        left=one,
        right=one,
        missing_left=np.array([False]),
        members={},
        value=np.array([value], dtype=np.float64),
    )


def staircase(edges: NDArray[np.float64], values: NDArray[np.float64], *, column: int, side: str) -> Tree:
    """A balanced tree that gives ``values[np.searchsorted(edges, x, side)]``, which is target ``column``.

    Parameters
    ----------
    edges
        Ascending, ``(m,)``, ``m >= 1``.
    values
        ``(m + 1,)``.
    side
        As of :func:`numpy.searchsorted`: with ``"right"`` a value equal to an edge lies above it.
    """
    thresholds = np.nextafter(edges, -np.inf) if side == "right" else edges
    count = len(edges)
    left, right = np.full(2 * count + 1, -1), np.full(2 * count + 1, -1)
    at = np.zeros(2 * count + 1, dtype=np.int64)  # an inner node's edge, a leaf's interval
    pending, used = [(0, 0, count)], 1
    while pending:
        node, low, high = pending.pop()
        if low == high:
            at[node] = low
            continue
        middle = (low + high) // 2
        at[node], left[node], right[node] = middle, used, used + 1
        pending += [(used, low, middle), (used + 1, middle + 1, high)]
        used += 2
    inner = left >= 0
    return Tree(
        column=np.full(len(left), column),
        threshold=np.where(inner, thresholds[np.minimum(at, count - 1)], 0.0),
        left=left,
        right=right,
        missing_left=np.zeros(len(left), dtype=bool),
        members={},
        value=np.where(inner, 0.0, values[at]),
        target=column,
    )
