"""Reads models made elsewhere, in the converter's cage alone: each loader gives an estimator that emitters know."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn

TRUSTED = (
    "functools.partial",
    "numpy.dtype",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""What skops may build beyond what it trusts itself: parts of scikit-learn's own estimators."""


def read(form: str, content: bytes, columns: Sequence[FeatureColumn]) -> Any:
    """The estimator in a model file.

    Raises
    ------
    ConversionError
        Its library is not installed, it is damaged or holds what is not trusted, or has other inputs than the model.
    """
    try:
        estimator = _READERS[form](content)
    except ConversionError:
        raise
    except ImportError as error:
        raise ConversionError(
            f"this file needs a library that is not installed: {error}",
            hint=f"install seakeep[{_EXTRAS.get(form, form)}]",
        ) from error
    except Exception as error:  # damaged files make the libraries raise what they like
        raise ConversionError(
            f"the file cannot be loaded: {type(error).__name__}: {str(error)[:500]}", hint="save it again"
        ) from error
    _require_inputs(estimator, columns)
    return estimator


def _require_inputs(estimator: Any, columns: Sequence[FeatureColumn]) -> None:
    """Names are checked where the file has them, by the emitter; here what can be checked without."""
    count = getattr(estimator, "n_features_in_", None)
    if count is not None and count != len(columns):
        raise ConversionError(
            f"{type(estimator).__name__} was fitted on {count} inputs; the model's are {len(columns)}: "
            f"{', '.join(column.name for column in columns)}",
            hint="declare in project.py the features it was fitted on, in their order",
        )


def _skops(content: bytes) -> Any:
    from skops.io import get_untrusted_types, loads

    unknown = sorted(set(get_untrusted_types(data=content)) - set(TRUSTED))
    if unknown:
        raise ConversionError(
            f"the skops archive holds types that are not trusted: {', '.join(unknown)[:1000]}",
            hint="build the estimator from scikit-learn's own classes and numpy's functions",
        )
    return loads(content, trusted=list(TRUSTED))


def _xgboost(content: bytes) -> Any:
    from xgboost import XGBClassifier

    estimator = XGBClassifier()
    estimator.load_model(bytearray(content))
    return estimator


def _lightgbm(content: bytes) -> Any:
    from lightgbm import Booster, LGBMClassifier

    booster = Booster(model_str=content.decode())
    objective = str(booster.dump_model(num_iteration=1).get("objective", "")).split(" ")[0]
    if objective != "binary":
        raise ConversionError(
            f"the LightGBM model has objective {objective or 'of its own'!r}, which gives no probability of class 1",
            hint='train with objective="binary"',
        )
    estimator = LGBMClassifier(objective="binary")
    # The wrapper has no way to take a booster: these are what it sets when it is fitted (lightgbm/sklearn.py).
    estimator._Booster, estimator.fitted_ = booster, True  # noqa: SLF001
    estimator._objective, estimator._n_classes, estimator._classes = "binary", 2, np.array([0, 1])  # noqa: SLF001
    estimator._n_features = estimator._n_features_in = booster.num_feature()  # noqa: SLF001
    estimator._le = _Labels()  # noqa: SLF001
    estimator._best_iteration = -1  # noqa: SLF001
    return estimator


class _Labels:
    """Stands for the wrapper's encoder of labels: they are 0 and 1 already."""

    classes_ = np.array([0, 1])

    def inverse_transform(self, labels: Any) -> Any:
        return labels


def _catboost(content: bytes) -> Any:
    from catboost import CatBoostClassifier

    estimator = CatBoostClassifier()
    estimator.load_model(blob=content)
    return estimator


def _pickle(content: bytes) -> Any:
    import joblib

    return joblib.load(io.BytesIO(content))


_READERS: dict[str, Callable[[bytes], Any]] = {
    "skops": _skops,
    "xgboost-json": _xgboost,
    "xgboost-ubj": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "pickle": _pickle,
}
_EXTRAS = {"xgboost-json": "xgboost", "xgboost-ubj": "xgboost", "pickle": "sklearn"}
