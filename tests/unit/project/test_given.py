"""A model trained elsewhere becomes a version of the project."""

import pickle  # noqa: TID251 -- models come as pickles too

import lightgbm
import numpy as np
import pytest
import xgboost

from seakeep.clock import FixedClock, parse_moment
from seakeep.conversion.convert import convert_file
from seakeep.conversion.modelfile import read_model_file
from seakeep.conversion.native import frame_of
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError, TrainingError
from seakeep.project import open_project
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import Threshold

NOW = FixedClock(parse_moment("2024-04-09"))
NUMBERS = (('shop=sk.col("shop"), ', ""), ('sk.gate.slices("shop"),', ""))
NAMES = ["rate_24h", "rate_7d", "price", "hour"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    rows = rng.gamma(2.0, 20.0, (300, 4))
    return rows, (rows[:, 2] + rng.normal(0, 5, 300) > 40).astype(int)


def xgb(path, data):
    xgboost.XGBClassifier(n_estimators=5).fit(*data).save_model(path)


def lgbm(path, data):
    lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(*data).booster_.save_model(path)


def skops(path, data):
    from sklearn.ensemble import RandomForestClassifier

    pytest.importorskip("skops.io").dump(RandomForestClassifier(5).fit(*data), path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "save"), [("m.ubj", xgb), ("m.json", xgb), ("m.skops", skops)])
def test_a_model_of_each_format_is_converted_with_its_proof(tmp_path, data, name, save):
    save(tmp_path / name, data)
    columns = tuple(FeatureColumn(name=one, kind="number") for one in NAMES)
    frame = frame_of(Rows(data[0][:40], np.empty((40, 0), dtype=object)), columns)
    file = read_model_file(tmp_path / name)
    proof = convert_file(file, frame, decision=Threshold()).proof
    assert proof.passed
    assert proof.mutants_caught == proof.mutants > 0
    if name == "m.ubj":
        with pytest.raises(ConversionError, match="fitted on 4 inputs; the model's are 3: rate_24h, rate_7d, price"):
            convert_file(
                file,
                frame_of(Rows(data[0][:40, :3], np.empty((40, 0), dtype=object)), columns[:3]),
                decision=Threshold(),
            )


@pytest.mark.slow
def test_a_file_is_registered_and_its_onnx_again(shop, tmp_path, data):
    name = "m.txt"
    lgbm(tmp_path / name, data)
    project = open_project(shop(*NUMBERS), clock=NOW)
    version, proof = project.files.register(tmp_path / name, actor="sam")
    assert proof.passed
    assert proof.mutants_caught == proof.mutants > 0
    run = project.stores.runs.get(version.run)
    assert (run.given.name, run.given.format, run.given.sha256) == (name, "lightgbm", run.artefact)
    assert run.rows_trained == 0
    assert "may have seen the rows" in run.warnings[0]
    assert project.bundle(version).run.given == run.given
    with pytest.raises(ConversionError, match="a model file"):
        project.convert(run.id)
    with pytest.raises(TrainingError, match="trained elsewhere"):
        project.rerun(run.id)
    (tmp_path / "m.onnx").write_bytes(project.bundle(version).model)
    again, _ = project.files.register(tmp_path / "m.onnx")
    assert project.bundle(again).model == project.bundle(version).model
    assert "is not proved" in project.stores.runs.get(again.run).warnings[1]


def test_a_pickle_is_refused_before_the_data_are_read(shop, tmp_path):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({}))
    project = open_project(shop(), clock=NOW)
    with pytest.raises(ConversionError, match="runs whatever code"):
        project.files.register(tmp_path / "m.pkl")
    assert project.stores.datasets.manifests() == []
