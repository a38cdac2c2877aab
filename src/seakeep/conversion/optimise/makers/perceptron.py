"""A student that is a small network: fast in large batches, where trees are walked row by row."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from seakeep.conversion.optimise.maker import Material, maker
from seakeep.conversion.optimise.makers.distil import most_rows, taught
from seakeep.records.optimise import Recipe

WIDTHS = (16,)
ROWS = 20_000
_PASSES = 20
_RARE = 20


@maker("perceptron")
class Perceptron:
    """One hidden layer over one-hot categories and standardised numbers with a flag for missing ones."""

    def proposals(self, material: Material) -> Iterator[Recipe]:  # noqa: ARG002 -- every model can have one
        """One width."""
        for width in WIDTHS:
            told = f"distilled into a network of {width} units"
            yield Recipe(by="perceptron", told=told, settings={"units": width})

    def make(self, recipe: Recipe, material: Material) -> Any:
        """Fitted on at most 20,000 training rows."""
        rows, answers = material.learnt(most_rows(ROWS, material.outputs))
        categories = [column.name for column in rows.columns if column.kind == "category"]
        numbers = [column.name for column in rows.columns if column.kind == "number"]
        known = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=_RARE, sparse_output=False)
        filled = Pipeline(
            [("fill", SimpleImputer(add_indicator=True, keep_empty_features=True)), ("scale", StandardScaler())]
        )
        parts = [("numbers", filled, numbers), ("categories", known, categories)]
        soft = material.outputs.kind != "value"
        kind = MLPClassifier if soft else MLPRegressor
        units = (int(recipe.settings["units"]),)
        network = kind(hidden_layer_sizes=units, max_iter=_PASSES, learning_rate_init=0.003, random_state=material.seed)
        columns = ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0)
        student = Pipeline([("columns", columns), ("model", network)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stops after a fixed number of passes
            if soft:
                return taught(student, rows, answers, soft=True)
            scaled = TransformedTargetRegressor(regressor=student, transformer=StandardScaler())
            return scaled.fit(rows.to_pandas(), answers)
