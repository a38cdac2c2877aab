"""A model file with a sample of its data becomes a project that answers as the file does."""

import pickle  # noqa: TID251 -- models come as pickles too
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.adopting import ROWS, own_tests, sample, without_cage
from tests.flights import forgotten

from seakeep.conversion.reading import Reading
from seakeep.data.table import as_table
from seakeep.errors import AdoptionError, ConfigError, ConversionError
from seakeep.project.adoption import proof
from seakeep.project.adoption.given import Given
from seakeep.project.adoption.modelfile import adopt_file
from seakeep.project.adoption.writefile import plain
from seakeep.project.load import load_project

TABLE = sample()
NUMBERS = ["monthly fee", "age"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    without_cage(monkeypatch)
    yield
    sys.modules.pop("train", None)


def dumped(model, path):
    joblib.dump(model, path)
    return path


def adopted(tmp_path, path, data=TABLE, **changes):
    reading = Reading(trust_pickle=changes.pop("trust_pickle", False), gives=changes.pop("gives", ""))
    given = Given(path=path, data=as_table(data), source=path.name, **changes)
    with forgotten():
        return adopt_file(given, tmp_path / "project", reading=reading)


@pytest.mark.slow
def test_a_pipeline_with_its_labels_becomes_a_project_that_trains_it_anew(tmp_path):
    sio = pytest.importorskip("skops.io")
    columns = make_column_transformer((OneHotEncoder(), ["zone"]), (StandardScaler(), NUMBERS))
    pipeline = make_pipeline(columns, LogisticRegression(C=0.5)).fit(TABLE[["zone", *NUMBERS]], TABLE["left"])
    sio.dump(pipeline, tmp_path / "m.skops")
    data = TABLE.assign(id=range(ROWS), seen=pd.Timestamp("2024-01-01"))
    made = adopted(tmp_path, tmp_path / "m.skops", data, label="left")
    assert (made.rows, made.labelled, made.register) == (ROWS, True, "seakeep register model.skops")
    assert made.tried > 0
    assert made.difference.different_rows == ROWS
    assert made.difference.largest <= 1e-12
    assert "left out, for the model does not take them: id, seen" in made.told
    folder = tmp_path / "project"
    assert {str(Path(one).relative_to(folder)) for one in made.files} == {
        "seakeep.toml", "project.py", "train.py", "rows.parquet", "model.skops", "tests/reference.csv",
        "tests/test_project.py", ".gitignore",
    }  # fmt: skip
    text = (folder / "project.py").read_text("utf-8")
    # In the order of the file, which is not the sample's.
    assert text.index('zone=sk.col("zone")') < text.index('**{"monthly fee": sk.col("monthly fee")}')
    reference = np.loadtxt(folder / "tests" / "reference.csv", delimiter=",", skiprows=1)
    ours = pipeline.predict_proba(TABLE[["zone", *NUMBERS]])[:, 1]
    np.testing.assert_allclose(reference[:, 1], ours, rtol=0, atol=1e-12)
    assert own_tests(folder) == ["test_the_file_answers_as_it_did", "test_the_project_has_no_faults"]
    with forgotten():
        rows = proof.frame_of_project(folder)
        again = load_project(folder).model().train(rows)
    assert again.named_steps["logisticregression"].C == 0.5
    np.testing.assert_allclose(again.predict_proba(rows.to_pandas())[:, 1], ours, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_booster_without_labels_waits_for_outcomes(tmp_path):
    xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(TABLE[NUMBERS[::-1]], TABLE["left"]).save_model(
        tmp_path / "m.json"
    )
    made = adopted(tmp_path, tmp_path / "m.json")
    assert made.model == "an XGBoost model in JSON, which answers with a probability"
    assert made.difference.largest < 1e-5
    assert any("the sample has no outcomes" in text for text in made.told)
    folder = tmp_path / "project"
    assert not (folder / "train.py").exists()
    assert own_tests(folder)
    with forgotten():
        rows = proof.frame_of_project(folder)
        assert np.isnan(rows.label).all()
        with pytest.raises(RuntimeError, match=r"seakeep register model\.json"):
            load_project(folder).model().train(rows)
    changed = (folder / "tests" / "reference.csv").read_text("utf-8").replace("\n7,0", "\n7,1")
    (folder / "tests" / "reference.csv").write_text(changed, "utf-8")
    with pytest.raises(AssertionError, match="row 7: 1"):
        own_tests(folder)


@pytest.mark.slow
def test_of_a_pickle_that_is_trusted_the_project_keeps_what_was_made_of_it(tmp_path):
    kinds = np.where(TABLE["age"] > 60, "old", np.where(TABLE["age"] > 30, "grown", "young"))
    path = dumped(DecisionTreeClassifier(max_depth=2).fit(TABLE[NUMBERS], kinds), tmp_path / "m.joblib")
    with pytest.raises(ConversionError, match="runs whatever code"):
        adopted(tmp_path, path, TABLE.assign(kind=kinds), label="kind")
    made = adopted(tmp_path, path, TABLE.assign(kind=kinds), label="kind", trust_pickle=True)
    folder = tmp_path / "project"
    assert made.register == "seakeep register model.onnx"
    assert any("as true as whoever made the pickle" in text for text in made.told)
    assert any("no train.py" in text for text in made.told)
    assert 'answers=sk.classes("grown", "old", "young")' in (folder / "project.py").read_text("utf-8")
    assert len((folder / "tests" / "reference.csv").read_text("utf-8").split("\n")[1].split(",")) == 4


def test_a_few_rows_are_all_compared_and_that_is_told(tmp_path):
    path = dumped(
        DecisionTreeRegressor(max_depth=2).fit(TABLE[NUMBERS].to_numpy(), TABLE["left"] * 7.5), tmp_path / "m.pkl"
    )
    few = TABLE[[*NUMBERS, "left"]].head(40)
    made = adopted(tmp_path, path, few, label="left", trust_pickle=True)
    assert made.difference.rows == made.rows == 40
    assert any("40 rows, fewer than 1,000: all of them were compared" in text for text in made.told)
    assert any("in this order, is not checked" in text for text in made.told)
    assert "answers=sk.number()" in (tmp_path / "project" / "project.py").read_text("utf-8")


class TestRefusals:
    """Nothing is written, and the reason is said."""

    @pytest.fixture
    def refused(self, tmp_path):
        def refuse(model, data=TABLE, match="", **changes):
            path = dumped(model, tmp_path / "m.pkl")
            with pytest.raises(AdoptionError, match=match) as told:
                adopted(tmp_path, path, data, trust_pickle=True, **changes)
            assert told.value.hint
            assert not (tmp_path / "project").exists()

        return refuse

    @pytest.fixture
    def line(self):
        return LogisticRegression().fit(TABLE[NUMBERS], TABLE["left"])

    def test_columns_that_are_missing_or_not_named(self, refused, line):
        refused(line, TABLE[["age", "zone"]], match="no column 'monthly fee', which the model was fitted on")
        refused(line, match="no column 'gone'", label="gone")
        nameless = LinearRegression().fit(TABLE[NUMBERS].to_numpy(), TABLE["left"])
        refused(nameless, match="fitted on 2 inputs; the model's are 3: monthly fee, age, zone", label="left")
        refused(line, TABLE.head(0), match="the sample is empty")

    def test_columns_that_are_something_else(self, refused, line):
        refused(line, TABLE.assign(age=pd.Timestamp("2024-01-01")), match="'age' of the sample holds times")
        refused(line, match="'age' of the sample is the label", label="age")
        said = {"monthly fee": "number", "age": "category"}
        refused(line, match="'age' holds numbers in the sample, and text by the model's signature", columns=said)

    def test_labels_that_the_model_does_not_give(self, refused, line):
        refused(line, TABLE.assign(left=2), match="'left' holds 2, and the model's classes are 0 and 1", label="left")
        words = LinearRegression().fit(TABLE[NUMBERS], TABLE["left"])
        refused(words, TABLE.assign(y="much"), match="'y' holds much, and the model's answer is a value", label="y")

    def test_answers_that_are_not_served(self, refused):
        margin = LinearSVC().fit(TABLE[NUMBERS], TABLE["left"])
        refused(margin, match="answers with decision, and probability, probabilities, value are served")
        words = DecisionTreeClassifier(max_depth=1).fit(TABLE[NUMBERS], TABLE["left"].map({0: "no", 1: "yes"}))
        refused(words, match="tells no and yes apart, and of two classes those served are 0 and 1")

    def test_a_folder_that_is_not_empty(self, tmp_path):
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "mine").touch()
        (tmp_path / "m.pkl").write_bytes(pickle.dumps({}))
        with pytest.raises(ConfigError, match="is not empty"):
            adopted(tmp_path, tmp_path / "m.pkl", trust_pickle=True)


def test_what_is_missing_in_the_sample_is_asked_and_told(tmp_path):
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["zone"]), remainder="passthrough")
    path = dumped(
        make_pipeline(encode, DecisionTreeRegressor(max_depth=2)).fit(TABLE[["zone", "age"]], TABLE["left"]),
        tmp_path / "m.pkl",
    )
    data = TABLE[["zone", "age"]].head(30).copy()
    data.loc[3, "zone"] = None
    made = adopted(tmp_path, path, data, trust_pickle=True)
    assert any(text.startswith("zone is missing in 1 rows") for text in made.told)


def test_where_it_comes_from_is_written_as_plain_text():
    assert plain('m"""\n`|\\.skops') == "m.skops"
