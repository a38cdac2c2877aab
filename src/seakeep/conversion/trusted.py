"""What an archive of an estimator may be built from, by rule.

A name is trusted if it is of an estimator, or of something estimators are made of, in an installed framework. Whatever
an archive makes of it, with whatever arguments and attributes: none opens files, starts programs, or calls anything but
what the same archive names, which is audited as well.

Not trusted, though searches hold them: the distributions of ``scipy.stats``, which run text that they are restored with
(``rv_generic._attach_argparser_methods``), and distances that call a function (``PyFuncDistance``).
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Collection, Iterator
from typing import Any

_ESTIMATORS = {
    "xgboost": ("xgboost.sklearn", "XGBModel"),
    "lightgbm": ("lightgbm.sklearn", "LGBMModel"),
    "catboost": ("catboost.core", "CatBoost"),
}
"""By package: the module of its estimators and their base class; those for clusters of machines stand elsewhere."""
_KINDS = {
    "sklearn.base": ("BaseEstimator",),
    "sklearn.gaussian_process.kernels": ("Kernel",),
    "sklearn.metrics._scorer": ("_BaseScorer", "_PassthroughScorer"),
    "sklearn.metrics._dist_metrics": ("DistanceMetric64", "DistanceMetric32"),
    "sklearn.model_selection._split": ("BaseCrossValidator", "BaseShuffleSplit", "_RepeatedSplits"),
    "sklearn.neural_network._stochastic_optimizers": ("BaseOptimizer",),
    "sklearn._loss.loss": ("BaseLoss",),
    "sklearn._loss.link": ("BaseLink",),
}
"""Base classes, by module, of which everything in scikit-learn is trusted."""
_EXPERIMENTAL = ("sklearn.impute._iterative", "sklearn.model_selection._search_successive_halving")
"""Modules of estimators that scikit-learn imports only when it is asked to."""
_CALLS = "PyFuncDistance"
_PARTS = frozenset({
    "collections.OrderedDict",
    "functools.partial",
    "lightgbm.basic.Booster",
    "numpy.clip",
    "numpy.dtype",
    "numpy.mean",
    "numpy.nan_to_num",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.sparse._csc.csc_array",
    "scipy.sparse._csc.csc_matrix",
    "scipy.sparse._csr.csr_array",
    "scipy.sparse._csr.csr_matrix",
    "sklearn._loss.link.Interval",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.cluster._kmeans._kmeans_single_elkan",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sklearn.utils.validation.check_array",
    "xgboost.core.Booster",
})  # fmt: skip
"""Parts of no common kind."""


def untrusted(names: Collection[str]) -> list[str]:
    """Of these names, ``"module.name"``, those that are not trusted, in order."""
    known = _PARTS | _of_sklearn()
    left = [name for name in names if name not in known]
    for package in {name.partition(".")[0] for name in left} & _ESTIMATORS.keys():
        theirs = _of_package(package)
        left = [name for name in left if name not in theirs]
    return sorted(left)


@functools.cache
def _of_sklearn() -> frozenset[str]:
    for module in _EXPERIMENTAL:
        importlib.import_module(module)
    kinds = {_name(kind) for module, bases in _KINDS.items() for base in bases for kind in _below(module, base)}
    inside = {name for name in kinds if name.startswith("sklearn.") and ".tests." not in name and _CALLS not in name}
    return frozenset(inside | {_name(function) for function in _functions()})


def _functions() -> Iterator[Any]:
    """What scores features, and predictions against the truth, and kernels: numbers in, numbers out."""
    from sklearn import feature_selection, metrics
    from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS

    yield from (one for one in vars(feature_selection).values() if inspect.isfunction(one))
    yield from PAIRWISE_KERNEL_FUNCTIONS.values()
    yield from (metrics.get_scorer(name)._score_func for name in metrics.get_scorer_names())  # noqa: SLF001 -- it has no other name
    yield from (
        one
        for one in vars(metrics).values()
        if inspect.isfunction(one) and {"y_true", "labels_true"} & inspect.signature(one).parameters.keys()
    )


@functools.cache
def _of_package(package: str) -> frozenset[str]:
    module, base = _ESTIMATORS[package]
    try:
        return frozenset(_name(kind) for kind in _below(module, base) if kind.__module__ == module)
    except ImportError:  # it is told by whoever builds from it
        return frozenset()


def _below(module: str, name: str) -> Iterator[type]:
    pending = [getattr(importlib.import_module(module), name)]
    while pending:
        kind = pending.pop()
        yield kind
        pending += kind.__subclasses__()


def _name(one: Any) -> str:
    return f"{one.__module__}.{one.__name__}"
