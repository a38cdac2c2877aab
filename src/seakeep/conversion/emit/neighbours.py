"""Nearest neighbours.

Read from scikit-learn 1.9.1, ``neighbors/_classification.py``, ``_regression.py`` and ``_base.py``. Distances are
computed feature by feature in double; missing and infinite numbers are refused. Of rows equally far away it depends on
scikit-learn's search tree which is a neighbour: such rows are in doubt, and data with many ties do not pass the proof.
The model holds the training data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.kernel import apart
from seakeep.conversion.emit.registry import ROUNDED, Scored, finite, first_highest, predictor, require, require_dense

_TIE = 1e-9
"""Share of a squared distance by which two count as equal: what large numbers leave of the difference of small ones."""
MOST_ROWS = 20_000
"""Training rows beyond which a model would be slower and larger than the source."""


@predictor(KNeighborsClassifier)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The neighbours' shares of the classes, each counted once or by the inverse of its distance."""
    require(
        condition=not step.outputs_2d_,
        where=where,
        what="it predicts several labels at once",
        hint="fit one classifier for each of the labels",
    )
    count = len(step.classes_)
    places, weights = _nearest(graph, step, table, where)
    members = np.eye(count)[np.asarray(step._y).ravel()]  # noqa: SLF001 -- the training labels are nowhere else; the proof checks them
    votes = _weighed(graph, members, places, weights)
    total = graph.total(votes, count)
    shares = graph.node("Div", votes, total)
    return Scored(tolerance=ROUNDED, classes=count, probabilities=shares, label=lambda: first_highest(graph, votes))


@predictor(KNeighborsRegressor)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The neighbours' mean, each counted once or by the inverse of its distance."""
    places, weights = _nearest(graph, step, table, where)
    held = np.asarray(step._y, dtype=np.float64)  # noqa: SLF001 -- the training targets are nowhere else; the proof checks them
    held = held.reshape(len(held), -1)
    total = _weighed(graph, held, places, weights)
    over = graph.total(weights, step.n_neighbors) if weights else graph.number(step.n_neighbors)
    return Scored(tolerance=ROUNDED, value=graph.node("Div", total, over), targets=held.shape[1])


def _nearest(graph: Graph, step: Any, table: Table, where: str) -> tuple[str, str]:
    """Positions of the nearest training rows ``(n, k)``, and their weights, or ``""`` if all weigh the same."""
    require_dense(table, where)
    metric, power = step.effective_metric_, (step.effective_metric_params_ or {}).get("p", 2)
    known = {"euclidean": 2, "manhattan": 1, "cityblock": 1, "l1": 1, "l2": 2}
    power = known.get(metric, power if metric == "minkowski" else None)
    require(
        condition=power in {1, 2} and step.weights in {"uniform", "distance", None},
        where=where,
        what=f"metric={metric!r} with weights={step.weights!r} is not emitted",
        hint="use the Euclidean or the Manhattan metric, with weights 'uniform' or 'distance'",
    )
    rows = np.asarray(step._fit_X, dtype=np.float64)  # noqa: SLF001 -- the training rows are nowhere else; the proof checks them
    require(
        condition=len(rows) <= MOST_ROWS,
        where=where,
        what=f"its {len(rows)} training rows would all be part of the model; at most {MOST_ROWS} are",
        hint="fit it on fewer rows",
    )
    matrix = finite(graph, table, where)
    square = (lambda away: graph.node("Mul", away, away)) if power == 2 else (lambda away: graph.node("Abs", away))
    far = apart(graph, matrix, rows, square)
    graph.flat = True
    within = step.n_neighbors
    count = graph.constant(np.array([min(within + 1, len(rows))], dtype=np.int64))
    distance, places = graph.nodes("TopK", 2, far, count, axis=1, largest=0, sorted=1)
    if within < len(rows):
        last, next_one = graph.take(distance, [within - 1]), graph.take(distance, [within])
        gap = graph.node("Sub", next_one, last)
        clear = graph.node("Greater", gap, graph.node("Mul", next_one, graph.number(_TIE)))
        graph.doubts.append(graph.double(graph.node("Not", clear)))
    distance, places = graph.take(distance, range(within)), graph.take(places, range(within))
    if step.weights != "distance":
        return places, ""
    if power == 2:
        distance = graph.node("Sqrt", distance)
    # Rows that are training rows count alone.
    inverse = graph.node("Div", graph.number(1.0), distance)
    hits = graph.double(graph.node("IsInf", inverse))
    any_hit = graph.node("Greater", graph.total(hits, step.n_neighbors), graph.number(0.0))
    return places, graph.node("Where", any_hit, hits, inverse)


def _weighed(graph: Graph, held: np.ndarray[Any, Any], places: str, weights: str) -> str:
    """The neighbours' rows of ``held`` summed, nearest first, ``(n, columns)``."""
    each = graph.node("Gather", graph.constant(held), places, axis=0)
    if weights:
        each = graph.node("Mul", each, graph.node("Unsqueeze", weights, graph.constant(np.array([2], dtype=np.int64))))
    return graph.node("ReduceSum", each, graph.constant(np.array([1], dtype=np.int64)), keepdims=0)
