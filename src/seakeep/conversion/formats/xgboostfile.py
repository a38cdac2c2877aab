"""Models of XGBoost, in JSON and UBJSON (https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from seakeep.conversion.formats.bounds import require_shallow
from seakeep.conversion.formats.format import Format, Taken, emitted, match_inputs
from seakeep.conversion.reading import Reading
from seakeep.records.feature import FeatureColumn

_CLASSES = ("binary:", "multi:")
_HEAD = 65_536
"""Bytes in which a model's first key stands, whatever white space comes before."""


def _is_json(content: bytes, name: str) -> bool:
    if not content[:64].lstrip().startswith(b"{") or b'"learner"' not in content[:_HEAD]:
        return False
    require_shallow(content, name)
    return True


def _is_ubj(content: bytes, _name: str) -> bool:
    return content.startswith(b"{L") and b"learner" in content[:64]


def _take(content: bytes, columns: Sequence[FeatureColumn], _reading: Reading) -> Taken:
    from xgboost import Booster, XGBClassifier, XGBRegressor

    booster = Booster()
    booster.load_model(bytearray(content))
    inputs = match_inputs(booster.feature_names or (), booster.num_features(), columns)
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    estimator: Any = XGBClassifier() if objective.startswith(_CLASSES) else XGBRegressor()
    estimator.load_model(bytearray(content))
    return emitted(estimator, inputs)


JSON = Format(
    name="xgboost-json",
    told="an XGBoost model in JSON",
    suffixes=(".json",),
    extra="xgboost",
    recognise=_is_json,
    take=_take,
)
UBJ = Format(
    name="xgboost-ubj",
    told="an XGBoost model in UBJSON",
    suffixes=(".ubj",),
    extra="xgboost",
    recognise=_is_ubj,
    take=_take,
)
