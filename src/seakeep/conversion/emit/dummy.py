"""Estimators that look at nothing: the constant baseline.

Read from scikit-learn 1.9.1, ``dummy.py``: no input is checked, so no row is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import EXACT, Scored, predictor, require


@predictor(DummyClassifier)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:  # noqa: ARG001 -- an emitter's signature
    """The same probabilities for every row."""
    require(
        condition=step._strategy in {"prior", "most_frequent", "constant"},  # noqa: SLF001 -- nowhere else; the proof checks it
        where=where,
        what=f"strategy={step.strategy!r} draws at random",
        hint="use strategy='prior'",
    )
    shares = np.asarray(step.predict_proba(np.zeros((1, 1))), dtype=np.float64)
    return Scored(tolerance=EXACT, classes=shares.shape[1], probabilities=_constant(graph, shares))


@predictor(DummyRegressor)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:  # noqa: ARG001 -- an emitter's signature
    """The same values for every row."""
    fitted = np.asarray(step.constant_, dtype=np.float64).reshape(1, -1)
    return Scored(tolerance=EXACT, value=_constant(graph, fitted), targets=fitted.shape[1])


def _constant(graph: Graph, row: np.ndarray[Any, Any]) -> str:
    return graph.node("Expand", graph.constant(row), graph.rows(row.shape[1]))
