"""Small fitted pipelines of every supported kind, on data with missing numbers and categories."""

import functools

import numpy as np
import pandas as pd
import pytest
from benchmarks.zoo import data
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from seakeep.conversion.rows import Rows
from seakeep.records.feature import FeatureColumn

NUMBERS = ["delay", "distance", "epoch", "share", "hour"]
CATEGORIES = ["dest", "origin"]
# A number column between the categories: the order of the frame is not the order of the matrices.
COLUMNS = tuple(
    FeatureColumn(name=name, kind="category" if name in CATEGORIES else "number")
    for name in ("delay", "dest", "distance", "epoch", "origin", "share", "hour")
)


def sample(rows: int, seed: int) -> tuple[Rows, np.ndarray]:
    """Inputs and labels; ``dest`` has 105 values, ``origin`` may be empty."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 5)) * [1, 100, 1e9, 0.01, 1]
    numbers[rng.random((rows, 5)) < 0.1] = np.nan
    numbers[:, 4] = rng.integers(0, 24, rows)
    destinations = np.array([f"D{i:03}" for i in range(105)], dtype=object)
    visited = rng.integers(0, 105, rows)
    origins = np.array(["JFK", "Zürich", ""], dtype=object)[rng.integers(0, 3, rows)]
    effect = np.random.default_rng(7).normal(size=105)[visited]
    signal = np.nan_to_num(numbers[:, 0]) + effect + (origins == "JFK") + rng.normal(size=rows)
    return Rows(numbers, np.column_stack([destinations[visited], origins])), (signal > 0.5).astype(int)


def frame(rows: Rows) -> pd.DataFrame:
    """As training gets it."""
    values = dict(zip(NUMBERS, rows.numbers.T, strict=True)) | dict(zip(CATEGORIES, rows.categories.T, strict=True))
    return pd.DataFrame({column.name: values[column.name] for column in COLUMNS})


def _ordinal(**changes):
    return OrdinalEncoder(**({"handle_unknown": "use_encoded_value", "unknown_value": np.nan} | changes))


def _piped(encoder, numbers, model, **columns):
    columns = {"sparse_threshold": 0, "verbose_feature_names_out": False} | columns
    steps = [("cat", encoder, CATEGORIES), ("num", numbers, NUMBERS)]
    return Pipeline([("columns", ColumnTransformer(steps, **columns)), ("model", model)])


BUILDERS = {
    "hgb": lambda: _piped(
        _ordinal(), "passthrough", HistGradientBoostingClassifier(max_iter=30, categorical_features=[0, 1])
    ),
    "hgb-unknown-minus-one": lambda: _piped(
        _ordinal(unknown_value=-1),
        "passthrough",
        HistGradientBoostingClassifier(max_iter=30, categorical_features=[1]),
    ),
    "hgb-names": lambda: HistGradientBoostingClassifier(max_iter=30, categorical_features=["dest", "origin", "hour"]),
    "hgb-numeric": lambda: make_pipeline(
        ColumnTransformer([("num", FunctionTransformer(), NUMBERS)]), HistGradientBoostingClassifier(max_iter=30)
    ),
    "hgb-remainder": lambda: Pipeline(
        [
            (
                "columns",
                ColumnTransformer([("cat", _ordinal(), slice(1, 2)), ("no", "drop", [4])], remainder="passthrough"),
            ),
            ("nothing", "passthrough"),
            ("model", HistGradientBoostingClassifier(max_iter=30, early_stopping=True)),
        ]
    ),
    "forest-missing": lambda: _piped(
        _ordinal(unknown_value=-1), "passthrough", RandomForestClassifier(10, random_state=0)
    ),
    "forest-one-hot": lambda: _piped(
        OneHotEncoder(handle_unknown="ignore", drop="if_binary"),
        make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
        RandomForestClassifier(10, random_state=0, class_weight="balanced"),
    ),
    "forest-sparse": lambda: _piped(
        OneHotEncoder(handle_unknown="ignore"),
        SimpleImputer(strategy="most_frequent"),
        RandomForestClassifier(5, random_state=0),
        sparse_threshold=1.0,
    ),
    "extra-trees": lambda: _piped(
        _ordinal(unknown_value=-1), SimpleImputer(strategy="median"), ExtraTreesClassifier(10, random_state=0)
    ),
    "tree-strict": lambda: _piped(
        _ordinal(handle_unknown="error", unknown_value=None), "passthrough", DecisionTreeClassifier(max_depth=8)
    ),
    "gradient-boosting": lambda: _piped(
        _ordinal(unknown_value=-1), SimpleImputer(strategy="constant"), GradientBoostingClassifier(n_estimators=20)
    ),
    "gradient-boosting-zero": lambda: _piped(
        OneHotEncoder(handle_unknown="ignore", min_frequency=None),
        make_pipeline(MinMaxScaler(), SimpleImputer()),
        GradientBoostingClassifier(n_estimators=20, init="zero", subsample=0.5),
    ),
    "logistic": lambda: _piped(
        OneHotEncoder(handle_unknown="ignore", drop="first"),
        make_pipeline(SimpleImputer(), StandardScaler()),
        LogisticRegression(max_iter=500),
    ),
    "logistic-strict": lambda: _piped(
        OneHotEncoder(),
        make_pipeline(MinMaxScaler(clip=True), SimpleImputer()),
        LogisticRegression(max_iter=500),
    ),
    "logistic-codes": lambda: Pipeline(
        [
            ("columns", ColumnTransformer([("hour", _ordinal(), ["hour", "origin"])], remainder="drop")),
            ("codes", OneHotEncoder(sparse_output=False, handle_unknown="ignore")),
            ("model", LogisticRegression()),
        ]
    ),
    "selected": lambda: Pipeline(
        [
            (
                "columns",
                ColumnTransformer(
                    [("cat", _ordinal(), [False, True, False, False, True, False, False])],
                    remainder=SimpleImputer(strategy="mean"),
                ),
            ),
            ("again", ColumnTransformer([("codes", _ordinal(unknown_value=-5), [0, 1])], remainder="passthrough")),
            ("model", HistGradientBoostingClassifier(max_iter=20, categorical_features=[0])),
        ]
    ),
    "callable": lambda: Pipeline(
        [
            (
                "columns",
                ColumnTransformer(
                    [("num", SimpleImputer(), make_column_selector(dtype_include=np.number))], sparse_threshold=0
                ),
            ),
            ("model", DecisionTreeClassifier(max_depth=5, random_state=0)),
        ]
    ),
}


@functools.cache
def fitted(name: str):
    """A fitted estimator of ``BUILDERS``, made once."""
    rows, labels = sample(1500, 0)
    return BUILDERS[name]().fit(frame(rows), labels)


@pytest.fixture(params=sorted(BUILDERS))
def estimator(request):
    return fitted(request.param)


@pytest.fixture
def columns():
    return COLUMNS


@pytest.fixture(scope="session")
def held_out() -> Rows:
    """Rows no estimator was fitted on."""
    return sample(1200, 1)[0]


@pytest.fixture
def fit():
    return fitted


@pytest.fixture
def to_pandas():
    return frame


@pytest.fixture(scope="module")
def one_row_at_its_extremes():
    """Proofs try their extremes on one row: for modules with many proofs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seakeep.conversion.parity._BASE_ROWS", 1)
        yield


@pytest.fixture(scope="module")
def drawn():
    """What the zoo's models learn from."""
    return data.draw(300, 0)


@pytest.fixture(scope="module")
def unseen():
    """What the zoo's models are proved on."""
    return data.draw(60, 1)
