"""What MLflow logs: read from its folder, and, where the package is installed, by the URI of a run or a model."""

import json
import sys

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression
from tests.adopting import own_tests, sample, without_cage
from tests.flights import forgotten

from seakeep.conversion.reading import Reading
from seakeep.errors import AdoptionError
from seakeep.project.adoption.logged import is_logged, read_logged
from seakeep.project.adoption.modelfile import adopt_file

yaml = pytest.importorskip("yaml")
TABLE = sample()
NUMBERS = ["monthly fee", "age"]
SIGNATURE = [{"type": "double", "name": "monthly fee", "required": True}, {"type": "long", "name": "age"}]
EXAMPLE = {"columns": NUMBERS[::-1], "data": TABLE[NUMBERS[::-1]].head(50).to_numpy().tolist()}


@pytest.fixture(scope="module")
def booster():
    return xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(TABLE[NUMBERS], TABLE["left"])


@pytest.fixture
def logged(tmp_path, booster):
    """A folder as ``mlflow.xgboost.log_model`` writes it, with changes."""

    def write(signature=SIGNATURE, example=EXAMPLE, **changes):
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        booster.save_model(folder / "model.ubj")
        about = {
            "artifact_path": "model",
            "flavors": {
                "python_function": {"loader_module": "mlflow.xgboost", "data": "model.ubj"},
                "xgboost": {"data": "model.ubj", "model_format": "ubj", "xgb_version": xgboost.__version__},
            },
            "run_id": "ebef0d92",
            "signature": {"inputs": json.dumps(signature), "outputs": None, "params": None},
            "utc_time_created": "2026-11-25 15:00:22.554725",
        }
        if example is not None:
            (folder / "input_example.json").write_text(json.dumps(example), "utf-8")
            about["saved_input_example_info"] = {"artifact_path": "input_example.json", "type": "dataframe"}
        (folder / "MLmodel").write_text(yaml.safe_dump(about | changes), "utf-8")
        return str(folder)

    return write


def refused(source, tmp_path, match, **changes):
    with pytest.raises(AdoptionError, match=match) as told:
        read_logged(source, tmp_path, **changes)
    assert told.value.hint
    return told.value


def test_a_folder_gives_the_file_the_types_the_example_and_the_notes(logged, tmp_path):
    source = logged()
    assert is_logged(source)
    assert not is_logged(str(tmp_path))
    given = read_logged(source, tmp_path)
    assert given.path.name == "model.ubj"
    assert given.columns == {"monthly fee": "number", "age": "number"}
    assert list(given.data) == NUMBERS[::-1]
    assert given.data["monthly fee"].tolist() == TABLE["monthly fee"].head(50).tolist()
    assert "| xgb_version | `" in given.notes
    assert "| run | `ebef0d92` |" in given.notes


@pytest.mark.slow
def test_it_is_adopted_with_the_example_that_was_logged(logged, tmp_path, monkeypatch, booster):
    without_cage(monkeypatch)
    with forgotten():
        made = adopt_file(read_logged(logged(), tmp_path), tmp_path / "project")
    assert made.rows == made.difference.rows == 50
    ours = booster.predict_proba(TABLE[NUMBERS].head(50))[:, 1]
    reference = np.loadtxt(tmp_path / "project" / "tests" / "reference.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(reference[:, 1], ours, rtol=0, atol=1e-6)
    assert "ebef0d92" in (tmp_path / "project" / "README.md").read_text("utf-8")


def test_a_sample_of_ones_own_goes_first(logged, tmp_path):
    TABLE.to_csv(tmp_path / "s.csv", index=False)
    given = read_logged(logged(example=None), tmp_path, data=tmp_path / "s.csv", label="left")
    assert (len(given.data["age"]), given.label) == (len(TABLE), "left")


def test_a_pickle_is_refused_with_file_reason_and_what_to_do(logged, tmp_path):
    source = logged(flavors={"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}})
    joblib.dump(LogisticRegression(), tmp_path / "model" / "model.pkl")
    told = refused(source, tmp_path, r"file model\.pkl: it is a pickle, which runs whatever code is in it")
    assert "mlflow.sklearn.log_model(..., serialization_format='skops')" in told.hint
    assert read_logged(source, tmp_path, reading=Reading(trust_pickle=True)).path.name == "model.pkl"


def test_what_cannot_be_read_is_told(logged, tmp_path):
    only_code = {"python_function": {"loader_module": "mine"}}
    refused(logged(flavors=only_code), tmp_path, "was logged as python_function, which is code and no model file")
    refused(logged(flavors={"xgboost": {"data": "../secret"}}), tmp_path, r"holds no model file '\.\./secret'")
    refused(logged(flavors={"pytorch": {"model_data": "data"}}), tmp_path, "holds no model file 'data'")
    refused(logged(flavors="much"), tmp_path, "MLmodel cannot be read")
    times = [{"type": "datetime", "name": "seen"}]
    refused(logged(times), tmp_path, r"takes seen \(datetime\)")
    refused(logged(signature={"no": "list"}), tmp_path, "the signature in MLmodel cannot be read")
    refused(logged(example={"inputs": [[1.0]]}), tmp_path, r"file input_example\.json: it is no table with columns")
    refused(logged(example=None), tmp_path, "without an example")
    outside = {"artifact_path": "../e.json"}
    refused(logged(example=None, saved_input_example_info=outside), tmp_path, "an example outside itself")


def test_an_array_has_no_names(logged, tmp_path):
    tensor = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]
    assert read_logged(logged(tensor), tmp_path).columns == {}


def test_packages_that_are_missing_are_named(logged, tmp_path, monkeypatch):
    for name in ("mlflow", "mlflow.artifacts"):
        monkeypatch.setitem(sys.modules, name, None)
    assert is_logged("runs:/1/model")
    assert "seakeep[mlflow]" in refused("models:/late/3", tmp_path, "resolved by MLflow, which is not installed").hint
    source = logged()
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert refused(source, tmp_path, "PyYAML is not installed").hint == "install pyyaml"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_runs_and_registered_models_of_a_real_store(tmp_path, monkeypatch, booster):
    without_cage(monkeypatch)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("skops")
    line = LogisticRegression(C=2).fit(TABLE[NUMBERS], TABLE["left"])
    signature = mlflow.models.infer_signature(TABLE[NUMBERS].astype(float), TABLE["left"])
    how = {"signature": signature, "pip_requirements": []}
    with mlflow.start_run() as run:
        mlflow.log_param("C", 2)
        mlflow.log_metric("auc", 0.9)
        mlflow.set_tag("owner", "ada")
        mlflow.sklearn.log_model(line, name="line", serialization_format="skops", registered_model_name="late", **how)
        mlflow.xgboost.log_model(booster, name="boosted", **how)
        mlflow.sklearn.log_model(line, name="pickled", serialization_format="cloudpickle", **how)
    TABLE.to_parquet(tmp_path / "s.parquet")
    fetched = iter("abcdef")

    def given(source):
        (tmp_path / (into := next(fetched))).mkdir()
        return read_logged(source, tmp_path / into, data=tmp_path / "s.parquet", label="left")

    for place, source, model in (
        ("one", "models:/late/1", line),
        ("two", f"runs:/{run.info.run_id}/boosted", booster),
    ):
        with forgotten():
            made = adopt_file(given(source), tmp_path / place)
        assert own_tests(tmp_path / place)
        assert made.source == source
        assert made.difference.rows == len(TABLE)
        reference = np.loadtxt(tmp_path / place / "tests" / "reference.csv", delimiter=",", skiprows=1)
        np.testing.assert_allclose(reference[:, 1], model.predict_proba(TABLE[NUMBERS])[:, 1], rtol=0, atol=1e-6)
        notes = (tmp_path / place / "README.md").read_text("utf-8")
        assert all(
            text in notes for text in ("| parameter C | `2` |", "| metric auc | `0.9` |", "| tag owner | `ada` |")
        )
    with pytest.raises(AdoptionError, match=r"pickled, file model\.pkl: it is a pickle"):
        given(f"runs:/{run.info.run_id}/pickled")
    with pytest.raises(AdoptionError, match="MLflow does not give models:/late/9"):
        given("models:/late/9")
