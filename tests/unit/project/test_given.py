"""A model trained elsewhere becomes a version of the project, which is promoted as any other."""

import dataclasses
import json
import pickle  # noqa: TID251 -- models come as pickles too

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.tree import DecisionTreeRegressor

from seakeep.cli.build import run_summary
from seakeep.clock import DAY_US, FixedClock, parse_moment
from seakeep.conversion.modelfile import read_model_file
from seakeep.conversion.native import frame_of
from seakeep.conversion.reading import Reading
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.errors import ConversionError, TrainingError
from seakeep.project import jobs, open_project
from seakeep.project.judge import judge_file, kept
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import NEVER

NOW = FixedClock(parse_moment("2024-04-09"))
NUMBERS = ('shop=sk.col("shop"), ', "")
GATES = (('        sk.gate.slices("shop"),\n        sk.gate.latency(p99_ms=5),\n'), "        sk.gate.parity(),\n")
NAMES = ["rate_24h", "rate_7d", "price", "hour"]


@pytest.fixture(scope="module")
def data():
    """As the shop's rows: dear things come back."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.gamma(2.0, 20.0, (300, 4)), columns=NAMES)
    return rows, rows["price"] + rng.normal(0, 5, 300)


def nothing_is_registered(project):
    return not (project.stores.runs.list() or project.stores.versions.list("returned") or project.stores.audit.list())


@pytest.mark.slow
def test_a_file_becomes_a_version_that_is_promoted_as_any_other(shop, tmp_path, data, seakeep):
    file = tmp_path / "m.txt"
    lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(data[0], data[1] > 40).booster_.save_model(file)
    folder = shop(NUMBERS, GATES)
    told = seakeep("register", file, "--model", "returned", "--as-of", "2024-04-09", "--project", folder, "--json")
    shown = json.loads(told.out)
    project = open_project(folder, clock=NOW)
    version = project.resolve("returned@candidate")
    run = project.stores.runs.get(version.run)
    assert shown["version"]["bundle"] == version.bundle
    assert shown["proof"]["passed"]
    assert shown["proof"]["mutants_caught"] == shown["proof"]["mutants"] > 0
    assert (run.given.name, run.given.format, run.given.sha256) == ("m.txt", "lightgbm", run.artefact)
    assert run.given.libraries["lightgbm"] == lightgbm.__version__
    assert run.rows_trained == 0
    assert "from m.txt" in run_summary(run)
    assert run.metrics["roc_auc"].value > 0.6
    assert set(run.baselines) == {"constant", "linear"}
    assert "may have seen the rows" in run.warnings[0]
    assert project.bundle(version).run.given == run.given
    assert [entry.action for entry in project.stores.audit.list()] == ["judge", "register"]
    assert all(result.passed for result in project.gates(version.ref))
    assert project.promote(version.ref, actor="ann").champion.version == version.number
    with pytest.raises(ConversionError, match=r"m\.txt, a model file"):
        project.convert(run.id)
    with pytest.raises(TrainingError, match="trained elsewhere"):
        project.rerun(run.id)


@pytest.mark.slow
def test_weights_of_a_network_in_the_project_become_a_version(shop, tmp_path, seakeep):
    torch = pytest.importorskip("torch", reason="needs the extra `torch`")
    save = pytest.importorskip("safetensors.torch", reason="needs the extra `torch`").save_file
    net = torch.nn.Linear(2, 1)
    with torch.no_grad():
        net.weight[:], net.bias[:] = torch.tensor([[0.02, 0.0]]), -0.5
    save(net.state_dict(), tmp_path / "m.safetensors")
    folder = shop(NUMBERS, GATES, ("features=[recent, request]", "features=[request]"))
    (folder / "nets.py").write_text("import torch\n\ndef small():\n    return torch.nn.Linear(2, 1)\n")
    said = ("--gives", "logits", "--network", "nets:small", "--as-of", "2024-04-09")
    command = ("register", tmp_path / "m.safetensors", "--model", "returned", *said, "--project", folder, "--json")
    shown = json.loads(seakeep(*command).out)
    assert shown["proof"]["passed"]
    assert shown["proof"]["mutants_caught"] == shown["proof"]["mutants"] > 0
    assert any("in this order, is not checked" in warning for warning in shown["warnings"])
    project = open_project(folder, clock=NOW)
    run = project.stores.runs.get(shown["version"]["run"])
    assert (run.given.format, "nets.py" in run.code) == ("safetensors", True)
    assert run.metrics["roc_auc"].value > 0.55


@pytest.mark.slow
def test_a_pickle_that_is_trusted_comes_with_its_caveat_and_of_a_number_too(shop, tmp_path, data):
    joblib.dump(DecisionTreeRegressor(max_depth=3).fit(*data), tmp_path / "m.joblib")
    number = ('sk.col("returned") > 0, delay="1d")', 'sk.col("returned") * 1.5, delay="1d", answers=sk.number())')
    plain = ("    decision=sk.TopShare(0.2),\n", "")
    gate = ('sk.gate.metric("roc_auc", at_least=0.6)', 'sk.gate.metric("mae", at_most=500)')
    model = open_project(shop(NUMBERS, GATES, number, plain, gate), clock=NOW).models["returned"]
    columns = tuple(FeatureColumn(name=name, kind="number") for name in NAMES)
    rows = frame_of(Rows(data[0].to_numpy(), np.empty((300, 0), dtype=object)), columns)
    at_us = np.arange(300) * DAY_US
    frame = dataclasses.replace(rows, label=data[1].to_numpy(), time_us=at_us, label_known_us=at_us + 1)
    (tmp_path / "into").mkdir()
    fitted, told = judge_file(
        model,
        frame,
        read_model_file(tmp_path / "m.joblib", Reading(trust_pickle=True, without_cage=True)),
        into=tmp_path / "into",
        validate_from_us=0,
        seed=0,
    )
    assert told.format == "pickle"
    assert "only as true as whoever made the pickle" in fitted.warnings[1]
    assert fitted.metrics["mae"].value < fitted.baselines["constant"]["mae"].value
    assert fitted.threshold == NEVER
    converted = kept(tmp_path / "into")
    assert converted.proof.passed
    assert ScoringSession(converted.model).outputs.kind == "value"


@pytest.mark.slow
def test_what_does_not_fit_is_told_and_nothing_is_registered(shop, tmp_path, data, monkeypatch):
    # In this process, which has all libraries loaded: another is tried above.
    monkeypatch.setattr(jobs, "_run_child", lambda into, *_: jobs.main(["train", str(into / jobs.REQUEST)]))
    model = xgboost.XGBClassifier(n_estimators=2).fit(data[0][NAMES[::-1]], data[1] > 40)
    model.save_model(tmp_path / "m.json")
    project = open_project(shop(NUMBERS, GATES), clock=NOW)
    with pytest.raises(ConversionError, match="hour, price, rate_7d, rate_24h; the model's inputs are recent") as told:
        project.files.register(tmp_path / "m.json")
    assert told.value.hint == "declare the features in the file's order"
    assert nothing_is_registered(project)


def test_a_pickle_is_refused_before_the_data_are_read(shop, tmp_path):
    (tmp_path / "model.json").write_bytes(pickle.dumps({}))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({}))
    project = open_project(shop(), clock=NOW)
    with pytest.raises(ConversionError, match=r"named \.json, but its content is a pickle"):
        project.files.register(tmp_path / "model.json", reading=Reading(trust_pickle=True))
    with pytest.raises(ConversionError, match="runs whatever code") as told:
        project.files.register(tmp_path / "m.pkl")
    assert "--trust-pickle" in told.value.hint
    assert project.stores.datasets.manifests() == []
    assert nothing_is_registered(project)
