"""What archives are built from: of all estimators of the frameworks nearly everything, of what runs code nothing."""

import contextlib
import functools
import os
import subprocess
import warnings

import numpy as np
import pytest
from scipy.stats import uniform
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import SelectKBest, chi2, f_regression, mutual_info_classif, mutual_info_regression
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import f1_score, make_scorer
from sklearn.metrics.pairwise import laplacian_kernel
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold, TimeSeriesSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from seakeep.conversion.skopsfile import dumps, loads
from seakeep.conversion.trusted import untrusted
from seakeep.errors import ConversionError

pytest.importorskip("skops")

X = np.abs(np.random.default_rng(0).normal(size=(24, 3)))
Y = (X[:, 0] > X[:, 1]).astype(int)
GAPS = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)

TAKEN = {
    "grid search": GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=TimeSeriesSplit(2), scoring="r2"),
    "search with a scorer": GridSearchCV(
        LogisticRegression(), {"C": [1.0]}, cv=StratifiedKFold(2), scoring=make_scorer(f1_score)
    ),
    "random search": RandomizedSearchCV(
        DecisionTreeClassifier(), {"max_depth": [1, 2]}, n_iter=2, cv=2, random_state=0
    ),
    "search with several scores": GridSearchCV(
        LogisticRegression(), {"C": [1.0]}, cv=2, scoring=["roc_auc", "neg_log_loss"], refit="roc_auc"
    ),
    "imputer": make_pipeline(IterativeImputer(max_iter=2), LinearRegression()),
    "process": GaussianProcessClassifier(1.0 * RBF(), optimizer=None),
    "process of numbers": GaussianProcessRegressor(Matern() + WhiteKernel(), optimizer=None),
    "chi2": make_pipeline(SelectKBest(chi2, k=2), LogisticRegression()),
    "f_regression": make_pipeline(SelectKBest(f_regression, k=2), LinearRegression()),
    "mutual_info_classif": make_pipeline(SelectKBest(mutual_info_classif, k=2), LogisticRegression()),
    "partial": make_pipeline(
        SelectKBest(functools.partial(mutual_info_regression, random_state=0), k=2), LinearRegression()
    ),
    "chebyshev": KNeighborsClassifier(metric="chebyshev", algorithm="ball_tree"),
    "kernel function": SVC(kernel=laplacian_kernel),
    "boosting": GradientBoostingClassifier(n_estimators=2),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_the_frameworks_estimators_are_made_of_comes_back_with_its_bits(kind):
    data = GAPS if kind == "imputer" else X
    estimator = TAKEN[kind].fit(data, Y)
    assert loads(dumps(estimator)).predict(data).tobytes() == estimator.predict(data).tobytes()


def foreign(*_, **__):
    """Stand for any function that is no part of a framework."""
    return 0.5


REFUSED = {
    "scorer of one's own": GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2, scoring=make_scorer(foreign)),
    "partial": make_pipeline(FunctionTransformer(functools.partial(foreign)), Ridge()),
    "system": FunctionTransformer(os.system),
    "program": FunctionTransformer(functools.partial(subprocess.call, ["true"])),
    "reading files": FunctionTransformer(np.load),
    "writing files": FunctionTransformer(np.savetxt),
    "distance": KNeighborsClassifier(metric=foreign, algorithm="ball_tree"),
    "text that runs": RandomizedSearchCV(Ridge(), {"alpha": uniform()}, n_iter=1, cv=2),
    "column choice": make_column_transformer((StandardScaler(), foreign)),
    "method": FunctionTransformer(Ridge().set_params),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_may_run_code_of_ones_choosing_is_refused_by_name(kind):
    with pytest.raises(ConversionError, match=r"not trusted|cannot be stored") as told:
        dumps(REFUSED[kind])
    assert told.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.base.os",
        "sklearn.utils._joblib.joblib",
        "sklearn.datasets._base.load_files",
        "sklearn.metrics._scorer.partial",
        "sklearn.metrics._scorer.make_scorer",
        "sklearn.metrics._dist_metrics.PyFuncDistance64",
        "xgboost.core.os",
        "xgboost.spark.estimator.SparkXGBClassifier",
        "lightgbm.dask.DaskLGBMClassifier",
        "catboost.core.Pool",
        "catboost.utils.create_cd",
        "scipy.stats._continuous_distns.uniform_gen",
        "numpy.load",
        "sklearn.linear_model._ridge.Ridge.fit",
        "",
    ],
)
def test_that_a_framework_knows_a_name_does_not_make_it_trusted(name):
    assert untrusted([name]) == [name]


SAYS_NO = {"Birch": "Objects of type Birch are not supported"}
"""Estimators that cannot be stored, and why."""


def test_of_all_estimators_those_that_are_refused_are_listed_with_their_reason():
    instances = pytest.importorskip("sklearn.utils._test_common.instance_generator")._construct_instances
    taken, refused = set(), {}
    for name, kind in all_estimators():
        if name == "FrozenEstimator":  # it only ever holds another
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = next(iter(instances(kind)))
            with contextlib.suppress(ValueError, TypeError, AttributeError, IndexError):
                estimator.fit(X, Y)  # where labels do not suit it, it is stored as it was made
        try:
            dumps(estimator)
            taken.add(name)
        except ConversionError as error:
            refused[name] = error.message
    assert {name: SAYS_NO.get(name, "") in told for name, told in refused.items()} == dict.fromkeys(SAYS_NO, True)
    assert len(taken) > 190
