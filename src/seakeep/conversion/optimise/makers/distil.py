"""Students: small boosted trees that learn what the source answers, not what came of it.

References
----------
Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network: soft targets.
Bucilă, Caruana and Niculescu-Mizil (2006), Model compression, KDD.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from seakeep.conversion.optimise.maker import Material, maker
from seakeep.features.frame import Frame
from seakeep.records.optimise import Recipe
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

STUDENTS = ((60, 31), (30, 15))
"""Trees, and leaves of each."""
ROWS = 50_000
_CATEGORIES = 250


@maker("distil")
class Students:
    """Histogram boosting on the frame as it is: categories as they are, missing numbers too."""

    def proposals(self, material: Material) -> Iterator[Recipe]:  # noqa: ARG002 -- every model can have students
        """Two sizes."""
        for trees, leaves in STUDENTS:
            told = f"distilled into {trees} trees of {leaves} leaves"
            yield Recipe(by="distil", told=told, settings={"trees": trees, "leaves": leaves})

    def make(self, recipe: Recipe, material: Material) -> Any:
        """Fitted on at most 50,000 training rows."""
        rows, answers = material.learnt(most_rows(ROWS, material.outputs))
        categories = [column.name for column in rows.columns if column.kind == "category"]
        codes = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=np.nan,
            encoded_missing_value=np.nan,
            max_categories=_CATEGORIES,
        )
        soft = material.outputs.kind != "value"
        kind = HistGradientBoostingClassifier if soft else HistGradientBoostingRegressor
        trees = kind(
            max_iter=int(recipe.settings["trees"]),
            max_leaf_nodes=int(recipe.settings["leaves"]),
            categorical_features=list(range(len(categories))) or None,
            early_stopping=False,
            random_state=material.seed,
        )
        columns = ColumnTransformer([("categories", codes, categories)], remainder="passthrough")
        student = Pipeline([("columns", columns), ("model", trees)] if categories else [("model", trees)])
        return taught(student, rows, answers, soft=soft)


def most_rows(rows: int, outputs: Outputs) -> int:
    """How many rows to learn from, so that however many classes each is told of, there are as many as of a yes or no."""
    return 2 * rows // max(2, len(outputs.names))


def taught(student: Pipeline, rows: Frame, answers: NDArray[np.float64], *, soft: bool) -> Pipeline:
    """The student, fitted to a teacher's answers.

    Parameters
    ----------
    student
        Its predictor's step is called ``model``.
    soft
        Whether the answers are probabilities: each row then counts as a yes of weight p and a no of weight 1 - p, or as
        every class with the weight of its own, so that the student minimises the cross-entropy with the teacher's answers.
    """
    inputs = rows.to_pandas()
    if not soft:
        return student.fit(inputs, answers)
    of_classes = answers.ndim > 1
    told = np.arange(answers.shape[1], dtype=np.float64) if of_classes else np.array([1.0, 0.0])
    weights = answers.T.ravel() if of_classes else np.concatenate([answers, 1 - answers])
    often = inputs.iloc[np.tile(np.arange(len(rows)), len(told))].reset_index(drop=True)
    return student.fit(often, np.repeat(told, len(rows)), model__sample_weight=weights)
