import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC

from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.outputs import require_served
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import Outputs


def test_every_supported_estimator_is_proved_equal(estimator, columns, held_out):
    emission = emit(estimator, columns)
    proof = prove(native_scorer(estimator, columns), emission, held_out, threshold=0.4, artefact_sha256="")
    assert proof.passed, proof
    assert proof.max_difference <= 1e-14


def test_the_same_row_has_the_same_bits_in_every_batch(estimator, columns, held_out):
    session = ScoringSession(emit(estimator, columns).model)
    whole = session.score(held_out.numbers, held_out.categories)
    for size in (1, 3, 16):
        for start in range(0, 300, size):
            part = held_out.take(np.arange(start, start + size))
            assert np.array_equal(
                session.score(part.numbers, part.categories), whole[start : start + size], equal_nan=True
            )


def test_the_same_estimator_gives_the_same_bytes(estimator, columns):
    assert emit(estimator, columns).model == emit(estimator, columns).model


def test_forests_have_the_very_bits_of_the_estimator(fit, columns, held_out, to_pandas):
    for name in ("forest-missing", "extra-trees", "tree-strict"):
        model = fit(name)
        served = ScoringSession(emit(model, columns).model).score(held_out.numbers, held_out.categories)
        assert np.array_equal(served, model.predict_proba(to_pandas(held_out))[:, 1])


def test_the_raw_sum_of_boosting_has_the_very_bits_of_the_estimator(fit, columns, held_out, to_pandas):
    model = fit("hgb")
    served = ScoringSession(emit(model, columns).model).score(held_out.numbers, held_out.categories)
    raw = model.decision_function(to_pandas(held_out))
    order = np.argsort(raw, kind="stable")
    assert (np.diff(served[order]) >= 0).all()
    _, first = np.unique(raw, return_index=True)
    assert len(np.unique(served)) >= len(first) - 5  # equal only where exp rounds two sums to one score


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(max_iter=40),
        RandomForestClassifier(30, random_state=0),
        GradientBoostingClassifier(n_estimators=30),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_breast_cancer_without_categories(model):
    values, label = load_breast_cancer(return_X_y=True, as_frame=True)
    columns = [FeatureColumn(name=name, kind="number") for name in values.columns]
    rows = Rows(values.to_numpy(), np.empty((len(values), 0), dtype=object))
    model.fit(values, label)
    emission = emit(model, columns)
    proof = prove(native_scorer(model, columns), emission, rows, threshold=0.5, artefact_sha256="")
    assert proof.passed, proof
    assert proof.cases["validation"] == len(values)
    assert (proof.cases.get("boundaries", 0) > 0) == bool(emission.forests)


def test_only_categories(held_out, fit, to_pandas):
    from sklearn.tree import DecisionTreeClassifier

    columns = [FeatureColumn(name=name, kind="category") for name in ("dest", "origin")]
    data = to_pandas(held_out)[["dest", "origin"]]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.int32)
    model = make_pipeline(encoder, DecisionTreeClassifier(max_depth=6)).fit(data, np.arange(len(data)) % 2)
    rows = Rows(np.empty((len(held_out), 0)), held_out.categories)
    proof = prove(native_scorer(model, columns), emit(model, columns), rows, threshold=0.5, artefact_sha256="")
    assert proof.passed, proof


def test_more_categories_than_the_estimator_allows_are_its_own_error(to_pandas, held_out):
    data = to_pandas(held_out)
    data["dest"] = [f"d{i}" for i in range(len(data))]
    with pytest.raises(ValueError, match="cardinality"):
        HistGradientBoostingClassifier(categorical_features=["dest", "origin"]).fit(data, np.arange(len(data)) % 2)


def _encoded(encoder, model=None):
    return make_pipeline(
        ColumnTransformer([("cat", encoder, ["dest", "origin"]), ("num", SimpleImputer(), ["delay", "hour"])]),
        LogisticRegression() if model is None else model,
    )


def _doubled(numbers):
    return numbers * 2


REFUSED = {
    "GaussianProcessClassifier": lambda: _encoded(OrdinalEncoder(), GaussianProcessClassifier()),
    "FunctionTransformer with .*lambda": lambda: _encoded(
        OrdinalEncoder(), make_pipeline(FunctionTransformer(lambda numbers: numbers), LogisticRegression())
    ),
    "FunctionTransformer with _doubled": lambda: _encoded(
        OrdinalEncoder(), make_pipeline(FunctionTransformer(_doubled), LogisticRegression())
    ),
    "FunctionTransformer with round": lambda: _encoded(
        OrdinalEncoder(), make_pipeline(FunctionTransformer(np.round, kw_args={"decimals": 1}), LogisticRegression())
    ),
    "dtype float32": lambda: _encoded(OneHotEncoder(dtype=np.float32)),
    "sparse": lambda: _encoded(OneHotEncoder(), make_pipeline(SimpleImputer(), LogisticRegression())),
    "init": lambda: _encoded(OrdinalEncoder(), GradientBoostingClassifier(init=LogisticRegression(), n_estimators=2)),
    "HashingVectorizer": lambda: make_pipeline(
        ColumnTransformer([("text", HashingVectorizer(n_features=8), "dest")]), LogisticRegression()
    ),
    "iterates": lambda: _encoded(OrdinalEncoder(), SVC(probability=True)),
    "metric": lambda: _encoded(OrdinalEncoder(), KNeighborsClassifier(metric="chebyshev")),
    "periodic": lambda: _encoded(
        OrdinalEncoder(), make_pipeline(SplineTransformer(extrapolation="periodic"), LogisticRegression())
    ),
    "rounds the numbers": lambda: _encoded(
        OrdinalEncoder(), make_pipeline(KBinsDiscretizer(dtype=np.float32), LogisticRegression())
    ),
    "draws at random": lambda: _encoded(OrdinalEncoder(), DummyClassifier(strategy="stratified")),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_emitted_exactly_is_refused_by_name(reason, held_out, to_pandas, columns):
    held_out = held_out.take(np.arange(200))
    label = (np.nan_to_num(held_out.numbers[:, 0]) > 0).astype(int)
    with np.errstate(all="ignore"):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of these do not converge; they are only to be refused
            model = REFUSED[reason]().fit(to_pandas(held_out), label)
    with pytest.raises(ConversionError, match=reason) as refusal:
        emit(model, columns)
    assert refusal.value.hint
    assert str(refusal.value).startswith("Pipeline.")


def test_a_subclass_may_compute_anything_and_is_refused(held_out, columns, to_pandas):
    class Own(HistGradientBoostingClassifier):
        pass

    model = Own(categorical_features=["dest", "origin"], max_iter=2).fit(to_pandas(held_out), np.arange(1200) % 2)
    with pytest.raises(ConversionError, match="Own has no exact emitter"):
        emit(model, columns)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.arange(1200) % 3, ("0", "1", "2")),
        (np.where(np.arange(1200) % 2, "yes", "no"), ("no", "yes")),
        (np.arange(1200) % 2 + 1, ("1", "2")),
    ],
)
def test_classes_other_than_0_and_1_are_told_and_not_served(labels, names, held_out, columns, to_pandas):
    model = HistGradientBoostingClassifier(categorical_features=["dest", "origin"], max_iter=2)
    emission = emit(model.fit(to_pandas(held_out), labels), columns)
    assert emission.outputs == Outputs(kind="probabilities", names=names)
    assert ScoringSession(emission.model).outputs == emission.outputs
    with pytest.raises(ConversionError, match="what is served is the probability of one of the classes 0 and 1"):
        require_served(emission.outputs, "HistGradientBoostingClassifier")


def test_boolean_labels_are_0_and_1(held_out, columns, to_pandas):
    model = HistGradientBoostingClassifier(categorical_features=["dest", "origin"], max_iter=2)
    emit(model.fit(to_pandas(held_out), np.arange(1200) % 2 == 1), columns)


def test_an_estimator_that_was_not_fitted_is_refused(columns):
    with pytest.raises(ConversionError, match="not a fitted classifier"):
        emit(HistGradientBoostingClassifier(), columns)


def test_other_inputs_than_the_models_are_refused(fit, columns):
    with pytest.raises(ConversionError, match="was fitted on"):
        emit(fit("hgb"), columns[::-1])


def test_text_that_is_not_encoded_is_refused_by_column(held_out, columns, to_pandas):
    model = HistGradientBoostingClassifier(max_iter=2).fit(to_pandas(held_out)[["hour"]], np.arange(1200) % 2)
    model.feature_names_in_ = np.array(["dest"], dtype=object)
    with pytest.raises(ConversionError, match="'dest'"):
        emit(model, [FeatureColumn(name="dest", kind="category")])


def test_bytes_do_not_depend_on_the_process(fit, columns, tmp_path):
    import pickle  # noqa: TID251 -- carries the estimator to another process

    path = tmp_path / "estimator.pkl"
    path.write_bytes(pickle.dumps(fit("hgb-names")))
    code = (
        "import sys, pickle, hashlib, msgspec; from seakeep.conversion.emit.model import emit;"
        "from seakeep.records.feature import FeatureColumn;"
        "columns = msgspec.json.decode(sys.argv[2], type=list[FeatureColumn]);"
        "print(hashlib.sha256(emit(pickle.load(open(sys.argv[1], 'rb')), columns).model).hexdigest())"
    )
    import msgspec

    command = [sys.executable, "-c", code, str(path), msgspec.json.encode(columns).decode()]
    environment = {"PYTHONPATH": "src", "PYTHONHASHSEED": "12345"}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert made == hashlib.sha256(emit(fit("hgb-names"), columns).model).hexdigest()
