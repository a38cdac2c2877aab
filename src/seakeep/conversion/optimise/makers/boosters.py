"""Fewer trees of XGBoost, LightGBM and CatBoost, where the source is one of theirs."""

from __future__ import annotations

import copy
import sys
from typing import Any

from seakeep.conversion.optimise.makers.trees import cutter

if "xgboost" in sys.modules:
    import xgboost

    @cutter(lambda one: int(one.get_booster().num_boosted_rounds()), xgboost.XGBClassifier, xgboost.XGBRegressor)
    def xgb(estimator: Any, trees: int) -> Any:
        """A slice of the booster; what early stopping chose is beyond the cut or stays."""
        cut = copy.copy(estimator)
        booster = estimator.get_booster()
        sliced = booster[:trees]
        sliced.feature_names, sliced.feature_types = booster.feature_names, booster.feature_types
        cut._Booster = sliced  # noqa: SLF001 -- load_model alone sets it otherwise, and loses the classes; the proof checks it
        cut.n_estimators = trees
        return cut


if "lightgbm" in sys.modules:
    import lightgbm

    @cutter(lambda one: int(one.booster_.current_iteration()), lightgbm.LGBMClassifier, lightgbm.LGBMRegressor)
    def lgbm(estimator: Any, trees: int) -> Any:
        """The first trees of the booster's own text; of several classes one a round for each."""
        cut = copy.copy(estimator)
        text = estimator.booster_.model_to_string(num_iteration=trees)
        cut._Booster = lightgbm.Booster(model_str=text)  # noqa: SLF001 -- there is no other way in; the proof checks it
        cut._n_estimators = cut.n_estimators = trees  # noqa: SLF001
        cut._best_iteration = -1  # noqa: SLF001
        return cut


if "catboost" in sys.modules:
    import catboost

    @cutter(lambda one: int(one.tree_count_), catboost.CatBoostClassifier, catboost.CatBoostRegressor)
    def cat(estimator: Any, trees: int) -> Any:
        """A copy, shrunk."""
        cut = estimator.copy()
        cut.shrink(ntree_end=trees)
        return cut
