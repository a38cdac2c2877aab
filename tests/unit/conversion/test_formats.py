"""Each format of model files: told by its content, read, and answering as what was saved."""

import functools
import io
import pickle  # noqa: TID251 -- models come as pickles too
import sys
import tempfile
import warnings
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from seakeep.conversion.formats import registry
from seakeep.conversion.formats.bounds import zip_entries
from seakeep.conversion.native import frame_of
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn

NUMBERS = tuple(FeatureColumn(name=name, kind="number") for name in ("late rate", "price", "hour"))
MIXED = (*NUMBERS[:2], FeatureColumn(name="shop", kind="category"))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return Rows(rng.gamma(2.0, 20.0, (200, 3)), np.empty((200, 0), dtype=object))


@pytest.fixture(scope="module")
def table(rows):
    return pd.DataFrame(rows.numbers, columns=[column.name for column in NUMBERS])


@pytest.fixture(scope="module")
def labels(rows):
    """One number, and from it two and three classes."""
    value = rows.numbers[:, 1] + np.random.default_rng(1).normal(0, 5, len(rows))
    return {"number": value, "two": (value > 40).astype(int), "three": np.digitize(value, (30, 50))}


def boosted(package, kind, **more):
    classifier, regressor, settings = {
        "xgboost": (xgboost.XGBClassifier, xgboost.XGBRegressor, {"n_estimators": 4, "max_depth": 3}),
        "lightgbm": (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, {"n_estimators": 4, "verbose": -1}),
    }[package]
    return (regressor if kind == "number" else classifier)(**settings, **more)


def xgb(form):
    return lambda table, label, kind: bytes(boosted("xgboost", kind).fit(table, label).get_booster().save_raw(form))


def lgbm(table, label, kind):
    return boosted("lightgbm", kind).fit(table, label).booster_.model_to_string().encode()


def cbm(table, label, kind):
    catboost = pytest.importorskip("catboost")
    made = catboost.CatBoostRegressor if kind == "number" else catboost.CatBoostClassifier
    model = made(iterations=4, depth=3, verbose=0, allow_writing_files=False).fit(table, label)
    with tempfile.NamedTemporaryFile(suffix=".cbm") as file:
        model.save_model(file.name)
        return Path(file.name).read_bytes()


def estimator(table, label, kind):
    if kind == "number":
        return HistGradientBoostingRegressor(max_iter=4).fit(table, label)
    return RandomForestClassifier(4, max_depth=3, random_state=0).fit(table, label)


def skops(table, label, kind):
    return pytest.importorskip("skops.io").dumps(estimator(table, label, kind))


def packed(table, label, kind):
    into = io.BytesIO()
    joblib.dump(estimator(table, label, kind), into, compress=3)
    return into.getvalue()


WRITERS = {
    "skops": skops,
    "xgboost-json": xgb("json"),
    "xgboost-ubj": xgb("ubj"),
    "lightgbm": lgbm,
    "catboost": cbm,
    "pickle": packed,
}
CASES = [
    *((form, "two") for form in WRITERS),
    *((form, "number") for form in ("skops", "xgboost-ubj", "lightgbm", "catboost")),
    *((form, "three") for form in ("xgboost-ubj", "lightgbm", "catboost")),
]


@pytest.fixture(scope="module")
def saved(table, labels):
    """``saved("lightgbm", "two")`` is a file's content; made once."""

    @functools.cache
    def save(form, kind="two", *, named=True):
        return WRITERS[form](table if named else table.to_numpy(), labels[kind], kind)

    return save


@pytest.mark.parametrize(("form", "kind"), CASES)
def test_a_file_of_each_format_answers_as_what_was_saved(rows, saved, form, kind):
    content = saved(form, kind)
    assert registry.format_of(content, "model").name == form
    taken = registry.take(form, content, NUMBERS)
    assert taken.emission.outputs.kind == {"two": "probability", "number": "value", "three": "probabilities"}[kind]
    served = ScoringSession(taken.emission.model).score(rows.numbers, rows.categories)
    trained = taken.trained(rows.numbers, rows.categories)
    assert np.abs(served.reshape(len(rows), -1) - trained.reshape(len(rows), -1)).max() <= taken.emission.tolerance
    assert np.ptp(trained) > 0
    assert taken.notes == ()


def test_a_pipeline_with_categories_comes_from_skops(rows, labels):
    io_ = pytest.importorskip("skops.io")
    shops = np.random.default_rng(2).choice(["north", "web"], (len(rows), 1)).astype(object)
    mixed = Rows(rows.numbers[:, :2], shops)
    encode = ColumnTransformer([("shop", OneHotEncoder(), ["shop"])], remainder="passthrough")
    rounded = FunctionTransformer(np.log1p, feature_names_out="one-to-one")
    encode.transformers.append(("log", rounded, ["price"]))
    fitted = make_pipeline(encode, LogisticRegression()).fit(frame_of(mixed, MIXED).to_pandas(), labels["two"])
    taken = registry.take("skops", io_.dumps(fitted), MIXED)
    served = ScoringSession(taken.emission.model).score(mixed.numbers, mixed.categories)
    np.testing.assert_allclose(served, taken.trained(mixed.numbers, mixed.categories), rtol=0, atol=1e-10)


class TestInputs:
    """Names, number and order of what a file was fitted on, where it tells them."""

    @pytest.mark.parametrize("form", WRITERS)
    def test_other_names_or_another_order_are_refused(self, saved, form):
        content = saved(form)
        other = (NUMBERS[1], NUMBERS[0], NUMBERS[2])
        with pytest.raises(
            ConversionError, match=r"late.rate, price, hour; the model's inputs are price, late.rate"
        ) as told:
            registry.take(form, content, other)
        assert told.value.hint

    @pytest.mark.parametrize("form", WRITERS)
    def test_another_number_is_refused(self, saved, form):
        content = saved(form, named=False)
        with pytest.raises(ConversionError, match="fitted on 3 inputs; the model's are 2: late rate, price") as told:
            registry.take(form, content, NUMBERS[:2])
        assert told.value.hint

    @pytest.mark.parametrize("form", WRITERS)
    def test_what_a_file_does_not_name_is_told(self, saved, form):
        content = saved(form, named=False)
        note, *_ = registry.take(form, content, NUMBERS).notes
        assert "that it takes late rate, price, hour, in this order, is not checked" in note

    def test_a_feature_of_a_view_may_be_called_without_its_view(self, rows, saved):
        viewed = (FeatureColumn(name="recent.late rate", kind="number"), *NUMBERS[1:])
        for form in ("skops", "lightgbm", "catboost"):
            taken = registry.take(form, saved(form), viewed)
            assert taken.emission.columns == viewed
            served = ScoringSession(taken.emission.model).score(rows.numbers, rows.categories)
            assert np.abs(served - taken.trained(rows.numbers, rows.categories)).max() <= taken.emission.tolerance


class TestRefusals:
    def test_lambdas_are_refused_with_what_to_do(self, table, labels):
        io_ = pytest.importorskip("skops.io")
        steps = make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression()).fit(table, labels["two"])
        with pytest.raises(ConversionError, match="<lambda>") as told:
            registry.take("skops", io_.dumps(steps), NUMBERS)
        assert "use an importable function" in told.value.hint

    def test_types_that_are_not_on_the_list_are_refused_by_name(self, table, labels):
        io_ = pytest.importorskip("skops.io")
        steps = make_pipeline(FunctionTransformer(pickle.loads), LogisticRegression())
        steps.steps[0][1].fit(table)
        with pytest.raises(ConversionError, match=r"not trusted: .*pickle\.loads") as told:
            registry.take("skops", io_.dumps(steps), NUMBERS)
        assert "own classes" in told.value.hint

    def test_an_objective_of_ones_own_does_not_say_what_it_gives(self, table, labels):
        def objective(truth, margin):
            return margin - truth, np.ones_like(margin)

        fitted = boosted("lightgbm", "number", objective=objective).fit(table, labels["number"])
        with pytest.raises(ConversionError, match="objective of its own"):
            registry.take("lightgbm", fitted.booster_.model_to_string().encode(), NUMBERS)

    def test_what_is_no_estimator_is_refused(self):
        with pytest.raises(ConversionError, match="dict is not a fitted classifier"):
            registry.take("pickle", pickle.dumps({}), NUMBERS)

    def test_a_library_that_is_missing_is_named_with_its_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "catboost", None)
        with pytest.raises(ConversionError, match="needs a library") as told:
            registry.take("catboost", b"CBM1", NUMBERS)
        assert told.value.hint == "install seakeep[catboost]"

    def test_what_a_library_raises_becomes_a_clear_error(self):
        with pytest.raises(ConversionError, match="an XGBoost model in JSON cannot be loaded: ") as told:
            registry.take("xgboost-json", b'{"learner": {}}', NUMBERS)
        assert told.value.hint == "save it again"


class Warns:
    def __reduce__(self):
        return warnings.warn, ("written by release 0.1", UserWarning)


def test_what_a_library_warns_of_is_told(monkeypatch, table, labels):
    content = pickle.dumps([Warns(), estimator(table, labels["two"], "two")])
    monkeypatch.setattr("joblib.load", lambda file: pickle.load(file)[1])
    assert registry.take("pickle", content, NUMBERS).notes == ("written by release 0.1",)


def test_every_format_is_told_apart_by_name_and_suffix():
    suffixes = [suffix for one in registry.FORMATS.values() for suffix in one.suffixes]
    suffixes.remove(".keras")  # with code in it, and without
    assert len(suffixes) == len(set(suffixes))
    assert [one.name for one in registry.FORMATS.values() if one.runs_code] == ["keras-code", "pickle"]
    assert zip_entries(b"no archive", "model") == frozenset()
