"""Networks in 8-bit integers: the perceptron at the end of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline

from seakeep.conversion.int8 import ACTIVATIONS, quantised
from seakeep.conversion.optimise.maker import Material, last_step, maker, with_last_step
from seakeep.records.optimise import Recipe

_NETWORKS = (MLPClassifier, MLPRegressor)


@maker("int8")
class Int8:
    """Quantises hidden layers; see :mod:`seakeep.conversion.int8`."""

    def proposals(self, material: Material) -> Iterator[Recipe]:
        """With scales fixed on calibration rows, and with each row's own."""
        network = last_step(material.source)
        if type(network) in _NETWORKS and network.activation in ACTIVATIONS and len(network.coefs_) > 1:
            for scales in ("static", "dynamic"):
                yield Recipe(by="int8", told=f"int8, {scales} scales", settings={"scales": scales})

    def make(self, recipe: Recipe, material: Material) -> Any:
        """The pipeline with the quantised network at its end."""
        network = last_step(material.source)
        rows = (
            _reaching(material.source, material.calibrate.to_pandas())
            if recipe.settings["scales"] == "static"
            else None
        )
        return with_last_step(material.source, quantised(network, rows))


def _reaching(estimator: Any, rows: Any) -> Any:
    """What reaches the last step, float64 ``(n, d)``."""
    while type(estimator) is Pipeline:
        rows = estimator[:-1].transform(rows) if len(estimator.steps) > 1 else rows
        estimator = estimator.steps[-1][1]
    return np.asarray(rows, dtype=np.float64)
