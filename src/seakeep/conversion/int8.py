"""Networks whose hidden layers multiply in 8-bit integers: estimators of their own, so that a proof can hold them exactly.

A value is ``round(x / scale)``, between -127 and 127; products of those are added up exactly, in any order, and scaled
back. The scale of a layer's inputs is fixed on calibration rows (``static``) or is each row's own (``dynamic``: not the
batch's, as engines have it, for a row's answer must not depend on its batch). Weights take 7 bits, so that processors
without integer dot products, which add pairs of products up in 16 bits, do not saturate. The last layer stays in double.

References
----------
Jacob et al. (2018), Quantization and training of neural networks for efficient integer-arithmetic-only inference, CVPR.
ONNX Runtime, Quantize ONNX models: "reduce_range" on AVX2 and AVX512 without VNNI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.extmath import softmax

from seakeep.errors import ConversionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT_STEPS, WEIGHT_STEPS = 127, 63
LARGEST = 1e100
"""Values beyond count as this one, so that no product of theirs is infinite."""
ACTIVATIONS = ("relu", "identity")
"""Those that give the same bits everywhere; a last bit may else decide how a value is rounded."""


class _Int8(BaseEstimator):  # type: ignore[misc]
    """A fitted network with hidden layers of integers.

    Attributes
    ----------
    weights_, weight_scales_, intercepts_
        Of each hidden layer: int8 ``(d, k)``, float64 ``(k,)`` and ``(k,)``.
    input_scales_
        Of each hidden layer's inputs; empty if each row has its own.
    last_weights_, last_intercept_
        Of the last layer, float64.
    """

    def fit(self, network: Any, rows: NDArray[np.float64] | None) -> Self:
        """Take a fitted network of scikit-learn.

        Parameters
        ----------
        rows
            What reaches it for calibration rows, ``(n, d)``; None: each row has a scale of its own.
        """
        if network.activation not in ACTIVATIONS or len(network.coefs_) < 2:
            raise ConversionError(
                f"a network of {network.activation} units and {len(network.coefs_)} layers is not quantised",
                hint="use relu, and at least one hidden layer",
            )
        self.activation, self.out_activation_ = network.activation, network.out_activation_
        self.n_features_in_ = network.n_features_in_
        self.weights_, self.weight_scales_, self.intercepts_, self.input_scales_ = [], [], [], []
        for weights, intercept in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
            scale = _scale(np.abs(weights).max(axis=0), WEIGHT_STEPS)
            self.weights_.append(np.rint(weights / scale).astype(np.int8))
            self.weight_scales_.append(scale)
            self.intercepts_.append(np.asarray(intercept, dtype=np.float64))
            if rows is not None:
                self.input_scales_.append(float(_scale(np.abs(rows).max(initial=0.0), INPUT_STEPS)))
                rows = self._layer(rows, len(self.weights_) - 1)
        self.last_weights_, self.last_intercept_ = network.coefs_[-1], network.intercepts_[-1]
        return self

    def output(self, inputs: Any) -> NDArray[np.float64]:
        """What the last layer gives, before its activation, ``(n, k)``."""
        layer = np.asarray(inputs, dtype=np.float64)
        if not np.isfinite(layer).all():
            message = "a number is missing or infinite"
            raise ValueError(message)
        for place in range(len(self.weights_)):
            layer = self._layer(layer, place)
        return np.asarray(layer @ self.last_weights_ + self.last_intercept_, dtype=np.float64)

    def _layer(self, layer: NDArray[np.float64], place: int) -> NDArray[np.float64]:
        scale: Any = self.input_scales_[place : place + 1] or _scale(
            np.abs(layer).max(axis=1, keepdims=True), INPUT_STEPS
        )
        steps = np.clip(np.rint(layer / np.asarray(scale)), -INPUT_STEPS, INPUT_STEPS)
        total = steps @ self.weights_[place].astype(np.float64)  # whole numbers below 2**53: exact
        made = total * np.asarray(scale) * self.weight_scales_[place] + self.intercepts_[place]
        return np.maximum(made, 0.0) if self.activation == "relu" else np.asarray(made)


class _Int8Classifier(ClassifierMixin, _Int8):  # type: ignore[misc]
    """Of the classes 0 and 1, or of several."""

    def fit(self, network: Any, rows: NDArray[np.float64] | None) -> Self:
        """As its base."""
        self.classes_ = network.classes_
        return super().fit(network, rows)

    def predict_proba(self, inputs: Any) -> NDArray[np.float64]:
        """Probabilities of each, ``(n, classes)``."""
        raw = self.output(inputs)
        if self.out_activation_ == "softmax":
            return np.asarray(softmax(raw), dtype=np.float64)
        with np.errstate(over="ignore"):
            second = 1 / (1 + np.exp(-raw))
        return np.column_stack([1 - second, second])

    def predict(self, inputs: Any) -> NDArray[Any]:
        """The more probable class."""
        told = self.predict_proba(inputs)
        chosen = told.argmax(axis=1) if told.shape[1] > 2 else (told[:, 1] > 0.5).astype(int)
        return np.asarray(np.asarray(self.classes_)[chosen])


class _Int8Regressor(RegressorMixin, _Int8):  # type: ignore[misc]
    """Of one number."""

    def predict(self, inputs: Any) -> NDArray[np.float64]:
        """The number, ``(n,)``."""
        return self.output(inputs)[:, 0]


CLASSIFIER, REGRESSOR = _Int8Classifier, _Int8Regressor
"""What the emitter knows them by; their names begin with ``_``, for nobody makes them but a search."""


def quantised(network: Any, rows: NDArray[np.float64] | None) -> _Int8:
    """A fitted network of scikit-learn in integers; see :meth:`_Int8.fit`."""
    return (_Int8Classifier() if hasattr(network, "classes_") else _Int8Regressor()).fit(network, rows)


def _scale(largest: Any, steps: int) -> NDArray[np.float64]:
    """What one step is worth; 1 where there is nothing but 0."""
    largest = np.minimum(np.asarray(largest, dtype=np.float64), LARGEST)
    return np.where(largest > 0, largest / steps, 1.0)
