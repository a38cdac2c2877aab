"""Fewer trees of scikit-learn: the first of a boosted ensemble, or some of a forest.

A boosted ensemble cut after k trees is the one that training would have given with k; of a forest any k trees are one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from sklearn import ensemble

from seakeep.conversion.optimise.maker import Material, last_step, maker, with_last_step
from seakeep.errors import ConversionError
from seakeep.records.optimise import Recipe

SHARES = (0.75, 0.5, 0.25, 0.1)

Count = Callable[[Any], int]
Cut = Callable[[Any, int], Any]
_CUTS: dict[type, tuple[Count, Cut]] = {}


def cutter(count: Count, *types: type) -> Callable[[Cut], Cut]:
    """Register how ensembles of exactly these types are cut: ``cut(estimator, k)`` gives one of ``k`` trees, a copy."""

    def keep(cut: Cut) -> Cut:
        _CUTS.update(dict.fromkeys(types, (count, cut)))
        return cut

    return keep


@maker("trees")
class FewerTrees:
    """Cuts the ensemble at the end of a pipeline."""

    def proposals(self, material: Material) -> Iterator[Recipe]:
        """Some shares of the trees there are."""
        predictor = last_step(material.source)
        if type(predictor) not in _CUTS:
            return
        count, _ = _CUTS[type(predictor)]
        of = count(predictor)
        for kept in dict.fromkeys(max(1, round(share * of)) for share in SHARES):
            if kept < of:
                yield Recipe(by="trees", told=f"{kept} of {of} trees", settings={"trees": kept})

    def make(self, recipe: Recipe, material: Material) -> Any:
        """The pipeline with fewer trees."""
        predictor = last_step(material.source)
        if type(predictor) not in _CUTS:
            raise ConversionError(f"{type(predictor).__name__} has no trees that can be cut", hint="search again")
        _, cut = _CUTS[type(predictor)]
        return with_last_step(material.source, cut(predictor, int(recipe.settings["trees"])))


@cutter(
    lambda one: len(one._predictors),  # noqa: SLF001 -- n_iter_ counts the same; the trees are nowhere else
    ensemble.HistGradientBoostingClassifier,
    ensemble.HistGradientBoostingRegressor,
)
def histogram(estimator: Any, trees: int) -> Any:
    """Read from scikit-learn 1.9.1, ``ensemble/_hist_gradient_boosting/gradient_boosting.py``: ``_predictors`` by iteration."""
    cut = copy.copy(estimator)
    cut.max_iter = trees
    cut._predictors = estimator._predictors[:trees]  # noqa: SLF001 -- the proof checks it
    return cut


@cutter(lambda one: len(one.estimators_), ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
def boosting(estimator: Any, trees: int) -> Any:
    """Read from scikit-learn 1.9.1, ``ensemble/_gb.py``: ``estimators_`` by iteration, ``n_estimators_`` how many."""
    cut = copy.copy(estimator)
    cut.n_estimators = cut.n_estimators_ = trees
    cut.estimators_ = estimator.estimators_[:trees].copy()
    cut.train_score_ = estimator.train_score_[:trees].copy()
    return cut


@cutter(
    lambda one: len(one.estimators_),
    ensemble.RandomForestClassifier,
    ensemble.RandomForestRegressor,
    ensemble.ExtraTreesClassifier,
    ensemble.ExtraTreesRegressor,
)
def forest(estimator: Any, trees: int) -> Any:
    """The mean of the first trees: they were drawn alike, so that any of them are as good."""
    cut = copy.copy(estimator)
    cut.n_estimators = trees
    cut.estimators_ = estimator.estimators_[:trees]
    return cut
