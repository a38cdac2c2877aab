"""The proof of a natively served model: bit for bit, in another process, whatever the batch."""

import hashlib
import pickle  # noqa: TID251 -- an artefact as training stores it
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

from seakeep.conversion import nativeproof, resident
from seakeep.conversion.convert import convert
from seakeep.conversion.engine import open_session
from seakeep.conversion.native import frame_of, native_scorer
from seakeep.conversion.nativeproof import packed_model, prove_native, steady
from seakeep.conversion.outputs import served_outputs
from seakeep.conversion.packed import CodeFile, OwnCode, unpack
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError, IntegrityError
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import NEVER, Outputs, classes

pytest.importorskip("skops")

COLUMNS = (FeatureColumn(name="a", kind="number"), FeatureColumn(name="b", kind="category"))
OWN = {"helpers": CodeFile("helpers.py", "def halved(frame):\n    return frame.assign(a=frame['a'] / 3)\n")}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return Rows(rng.normal(size=(30, 1)), rng.choice(["x", "y", "z"], (30, 1)).astype(object))


class Centred(ClassifierMixin, BaseEstimator):
    """Its answers depend on the rows beside."""

    def fit(self, frame, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, frame):
        score = 1 / (1 + np.exp(frame["a"].mean() - frame["a"].to_numpy(dtype=np.float64)))
        return np.column_stack([1 - score, score])


class Here:
    """A session in this process, which may answer a little otherwise than what it was made of."""

    wrong = 0.0

    def __init__(self, model):
        score = resident.scorer_of(unpack(model))
        self.score = lambda numbers, categories: score(Rows(numbers, categories))[:, 0] + self.wrong

    def close(self):
        """There is no process."""


class Whole(Here):
    """One that gives every number of a row."""

    def __init__(self, model):
        score = resident.scorer_of(unpack(model))
        self.score = lambda numbers, categories: score(Rows(numbers, categories))


def fitted(estimator, rows):
    labels = (rows.numbers[:, 0] > 0).astype(int)
    return estimator.fit(frame_of(rows, COLUMNS).to_pandas(), labels)


@pytest.fixture
def proved(monkeypatch, rows):
    monkeypatch.setattr(nativeproof, "NativeSession", Here)
    monkeypatch.setattr(nativeproof, "_POOL", 20)
    monkeypatch.setattr(nativeproof, "_BASE", 1)
    monkeypatch.setattr("sys.meta_path", sys.meta_path.copy())

    def prove(estimator, **code):
        fitted(estimator, rows)
        own = OwnCode(code)
        own.imported = list(code)
        packed = packed_model(estimator, COLUMNS, Outputs(), own)
        return prove_native(estimator, packed, rows, threshold=0.5, artefact_sha256="")

    return prove


@pytest.fixture
def forest():
    return make_pipeline(OrdinalEncoder(), RandomForestClassifier(3, random_state=0, n_jobs=2))


def test_a_model_that_needs_no_converter_is_proved_bit_for_bit_with_the_rows_that_it_refuses(proved, forest):
    model, proof = proved(forest)
    assert proof.passed
    assert (proof.tolerance, proof.max_difference) == (0.0, 0.0)
    assert proof.cases["validation"] == 30
    assert proof.cases["refused"] > 0, "an unseen category is an error of this encoder"
    assert {"missing", "unseen", "extremes", "threshold"} <= proof.cases.keys()
    native = unpack(model).native
    assert not native.alone
    assert native.versions.keys() >= {"scikit-learn"}
    assert proof.model_sha256 == hashlib.sha256(model).hexdigest()


def test_one_bit_of_difference_fails_the_proof(proved, forest, monkeypatch):
    monkeypatch.setattr(Here, "wrong", 2.0**-53)
    _, proof = proved(forest)
    assert not proof.passed
    assert 0 < proof.max_difference < 1e-15
    assert proof.worst["(kind)"]


def test_a_model_whose_answer_depends_on_the_rows_beside_is_asked_for_each_row_alone(proved, rows):
    model, proof = proved(Centred(), **{Centred.__module__: CodeFile("here.py", "")})
    assert unpack(model).native.alone
    assert proof.passed
    assert proof.batch_mismatches == 0
    scores = Here(model).score(rows.numbers, rows.categories)
    assert (scores == 0.5).all(), "each row is its own mean"


@pytest.mark.parametrize("labels", [[0.0, 1.0, 2.0], ["south", "east", "north"]])
def test_of_classes_the_declared_ones_are_served_in_their_order_whatever_the_estimators_own(monkeypatch, rows, labels):
    """Trained on the classes' places or on their names; where it knows others, it is refused by name."""
    monkeypatch.setattr(nativeproof, "NativeSession", Whole)
    monkeypatch.setattr(nativeproof, "_POOL", 20)
    monkeypatch.setattr(nativeproof, "_BASE", 1)
    data = frame_of(rows, COLUMNS).to_pandas()[["a"]]
    codes = np.digitize(rows.numbers[:, 0], [-0.5, 0.5])
    trees = DecisionTreeClassifier(max_depth=2, random_state=0)
    model = make_pipeline(make_column_transformer(("passthrough", ["a"])), trees).fit(data, np.array(labels)[codes])
    outputs = served_outputs(model, classes("south", "east", "north"))
    packed = packed_model(model, COLUMNS, outputs, OwnCode({}))
    content, proof = prove_native(model, packed, rows, threshold=NEVER, artefact_sha256="")
    assert proof.passed
    assert unpack(content).native.outputs == classes("south", "east", "north")
    served = Whole(content).score(rows.numbers, rows.categories)
    place = [model.classes_.tolist().index(one) for one in labels]
    assert served.tobytes() == np.ascontiguousarray(model.predict_proba(data)[:, place]).tobytes()
    with pytest.raises(ConversionError, match=r"other classes than are declared: .*west"):
        served_outputs(model, classes("south", "east", "north", "west"))


def test_a_model_that_accepts_no_row_is_refused(proved, rows, forest):
    fitted(forest, rows)
    packed = packed_model(forest, COLUMNS, Outputs(), OwnCode({}))
    unknown = Rows(rows.numbers, np.full_like(rows.categories, "never seen"))
    with pytest.raises(ConversionError, match="none of the 30 validation rows"):
        prove_native(forest, packed, unknown, threshold=0.5, artefact_sha256="")


def test_a_model_that_was_proved_with_other_libraries_is_not_loaded(rows, forest):
    packed = packed_model(fitted(forest, rows), COLUMNS, Outputs(), OwnCode({}))
    packed.native.versions["scikit-learn"] = "0.1"
    with pytest.raises(IntegrityError, match=r"proved with scikit-learn 0\.1 \(here "):
        resident.scorer_of(packed)


def test_every_part_works_in_one_thread_from_then_on(forest):
    nested = make_pipeline(FunctionTransformer(), forest)
    nested.kept = {"inner": [RandomForestClassifier(n_jobs=-1)], "itself": nested}
    steady(nested)
    assert forest[-1].n_jobs == 1
    assert nested.kept["inner"][0].n_jobs == 1


@pytest.mark.slow
def test_an_estimator_with_the_projects_own_function_is_kept_proved_and_asked_in_other_processes(rows):
    """The converter and the model's process import the function from the text that travels with the version."""
    own = OwnCode(OWN)
    own.install()
    try:
        import helpers

        halve = FunctionTransformer(helpers.halved)
        # A tree that refuses nothing: one that refuses is asked for each row again, which is proved above.
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        estimator = fitted(make_pipeline(halve, codes, DecisionTreeClassifier(max_depth=3, random_state=0)), rows)
        artefact = pickle.dumps(estimator)
        expected = native_scorer(estimator, COLUMNS)(rows.numbers, rows.categories)
    finally:
        sys.meta_path.remove(own)
        sys.modules.pop("helpers")
    sha256 = hashlib.sha256(artefact).hexdigest()
    frame = frame_of(rows.take(np.arange(6)), COLUMNS)
    converted = convert(artefact, frame, threshold=0.5, artefact_sha256=sha256, native=OWN)
    assert converted.proof.passed
    assert unpack(converted.model).code == OWN
    session = open_session(converted.model)
    try:
        assert session.score(rows.numbers, rows.categories).tobytes() == expected.tobytes()
    finally:
        session.close()
