"""Models of CatBoost, in its own binary form (``CBM1``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seakeep.conversion.formats.format import Format, Taken, emitted, match_inputs
from seakeep.conversion.reading import Reading
from seakeep.records.feature import FeatureColumn

_CLASSES = {"Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll"}


def _take(content: bytes, columns: Sequence[FeatureColumn], _reading: Reading) -> Taken:
    from catboost import CatBoost, CatBoostClassifier, CatBoostRegressor

    model = CatBoost()
    model.load_model(blob=content)
    names = list(model.feature_names_)
    if names == [str(i) for i in range(len(names))]:  # what it calls columns without a name
        names = []
    inputs = match_inputs(names, len(model.feature_names_), columns)
    loss = str(model.get_all_params().get("loss_function", "")).split(":")[0]
    estimator: Any = CatBoostClassifier() if loss in _CLASSES else CatBoostRegressor()
    estimator.load_model(blob=content)
    return emitted(estimator, inputs)


FORMAT = Format(
    name="catboost",
    told="a CatBoost model",
    suffixes=(".cbm",),
    extra="catboost",
    recognise=lambda content, _name: content.startswith(b"CBM1"),
    take=_take,
)
