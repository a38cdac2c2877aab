"""The logistic function, with bits that do not depend on the batch."""

from __future__ import annotations

import numpy as np

from seakeep.conversion.emit.graph import Graph

_LANES = 16
_MIDDLE = 8


def logistic(graph: Graph, raw: str) -> str:
    """``1 / (1 + exp(-raw))`` of a double tensor ``(n, 1)``.

    The engine computes ``exp`` in vectors, and the elements left over at the ends with another routine that rounds
    differently; its own ``Sigmoid`` does so too. A row would get other bits in another batch. So ``exp`` runs over
    sixteen copies of each row and one from the middle is taken, which always lies inside a whole vector of up to eight.
    """
    one = graph.constant(np.array(1.0))
    lanes = graph.constant(np.full((1, _LANES), -1.0))
    powers = graph.node("Exp", graph.node("Mul", raw, lanes))
    middle = graph.node("Gather", powers, graph.constant(np.array([_MIDDLE], dtype=np.int64)), axis=1)
    return graph.node("Div", one, graph.node("Add", middle, one))
