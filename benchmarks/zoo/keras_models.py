"""Networks of Keras on its torch backend, in the form of :mod:`benchmarks.zoo.scikit_learn`."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seakeep.training.network import Network


class Trained(BaseEstimator):
    """A shorthand whose ``fit`` trains and returns the pipeline that a train function would."""

    def __init__(self, build, gives="probabilities"):
        self.build = build
        self.gives = gives

    def fit(self, X, y):  # noqa: N803 -- as scikit-learn names it
        """Fit, and return the plain pipeline."""
        keras.utils.set_random_seed(0)
        prepare = make_pipeline(SimpleImputer(), StandardScaler())
        ready = prepare.fit_transform(X)
        model = self.build(ready)
        model.compile("adam", "mse" if self.gives == "values" else "binary_crossentropy")
        model.fit(ready, np.asarray(y), epochs=1, verbose=0)
        return make_pipeline(prepare, Network(model, gives=self.gives, inputs=ready.shape[1]))


def sequential(ready):
    """A perceptron that normalises by itself."""
    normal = keras.layers.Normalization()
    normal.adapt(ready)
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1, "sigmoid")]
    return keras.Sequential([keras.Input((ready.shape[1],)), normal, *layers])


def functional(ready):
    """Two ways from the inputs that meet again, one of them recurrent."""
    rows = keras.Input((ready.shape[1],))
    memory = keras.layers.GRU(4)(keras.layers.Reshape((2, 2))(rows))
    both = keras.layers.Concatenate()([keras.layers.Dense(8, "gelu")(rows), memory])
    return keras.Model(rows, keras.layers.Dense(1)(both))


MODELS = {
    "Keras perceptron with Normalization": (lambda _: Trained(sequential), "missing", "binary"),
    "Keras functional, recurrent": (lambda _: Trained(functional, "values"), "missing", "value"),
}
REFUSED = {}
