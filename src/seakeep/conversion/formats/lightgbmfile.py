"""Models of LightGBM, in its text (``GBDT::SaveModelToString`` in ``src/boosting/gbdt_model_text.cpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seakeep.conversion.formats.bounds import damaged
from seakeep.conversion.formats.format import Format, Taken, emitted, match_inputs
from seakeep.conversion.reading import Reading
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn

_CLASSES = {"binary": 2, "multiclass": 0, "multiclassova": 0}


def _is_text(content: bytes, name: str) -> bool:
    if not content.startswith(b"tree\n") or b"\nversion=v" not in content[:256]:
        return False
    if b"\nend of trees" not in content:
        raise damaged(name, "LightGBM model in text", "it ends before its last tree")
    return True


def _take(content: bytes, columns: Sequence[FeatureColumn], _reading: Reading) -> Taken:
    from lightgbm import Booster

    booster = Booster(model_str=content.decode())
    names = booster.feature_name()
    if names == [f"Column_{i}" for i in range(len(names))]:  # what it calls columns without a name
        names = []
    inputs = match_inputs(names, booster.num_feature(), columns, space="_")
    objective = next(
        (line[10:] for line in content.decode().split("\n\n", 1)[0].split("\n") if line.startswith("objective=")), ""
    )
    if not objective:
        raise ConversionError(
            "the LightGBM model has an objective of its own, which does not say what its numbers are",
            hint="train with one of LightGBM's objectives",
        )
    return emitted(_wrapped(booster, objective.split(" ")[0]), inputs)


def _wrapped(booster: Any, objective: str) -> Any:
    """The estimator around a booster.

    The wrapper has no way to take one: these are what it sets when it is fitted (``lightgbm/sklearn.py``).
    """
    from lightgbm import LGBMClassifier, LGBMRegressor

    classes = _CLASSES.get(objective)
    estimator: Any = LGBMRegressor() if classes is None else LGBMClassifier()
    fitted = {"_Booster": booster, "fitted_": True, "_objective": objective, "_best_iteration": -1}
    fitted |= dict.fromkeys(("_n_features", "_n_features_in"), booster.num_feature())
    if classes is not None:
        labels = np.arange(booster.num_model_per_iteration() if classes == 0 else classes)
        fitted |= {"_n_classes": len(labels), "_classes": labels, "_le": _Labels(labels)}
    for name, value in fitted.items():
        setattr(estimator, name, value)
    return estimator


class _Labels:
    """Stands for the wrapper's encoder of labels: they are the numbers of the classes already."""

    def __init__(self, classes: Any) -> None:
        self.classes_ = classes

    def inverse_transform(self, labels: Any) -> Any:
        return labels


FORMAT = Format(
    name="lightgbm",
    told="a LightGBM model in text",
    suffixes=(".txt",),
    extra="lightgbm",
    recognise=_is_text,
    take=_take,
)
