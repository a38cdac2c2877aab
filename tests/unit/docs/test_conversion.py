"""The page on conversion: its tables are the measured and the present ones, its example works."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import FastICA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from seakeep.conversion.emit import registry
from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.records.feature import FeatureColumn

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "conversion.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
LINES = json.loads((ROOT / "benchmarks" / "results" / "zoo.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("zoo_script", ROOT / "benchmarks" / "zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_zoo_is_the_measured_one(script):
    assert script.table(LINES) in PAGE


def test_the_zoo_has_no_flip_and_converts_most_models():
    converted = [line for line in LINES if line["path"] == "ONNX"]
    assert len(LINES) >= 60
    assert len(converted) >= 0.85 * len(LINES)
    assert sum(line["flips"] for line in converted) == 0
    assert all(line["reason"] for line in LINES if line["path"] != "ONNX")


def test_the_table_of_emitters_is_the_present_one(script):
    rows = [line for line in script.emitters().splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    assert [row for row in rows if row not in PAGE] == []


def test_the_example_of_an_emitter_is_exact(monkeypatch):
    block = BLOCKS[1]
    monkeypatch.setattr(registry, "_TRANSFORMERS", dict(registry._TRANSFORMERS))
    exec(block, {})
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(200, 3))
    frame = pd.DataFrame(numbers, columns=list("abc"))
    columns = [FeatureColumn(name=name, kind="number") for name in frame]
    model = make_pipeline(FastICA(2, random_state=0), LogisticRegression())
    model.fit(frame, (numbers[:, 0] + rng.normal(size=200) > 0).astype(int))
    rows = Rows(numbers, np.empty((200, 0), dtype=object))
    proof = prove(native_scorer(model, columns), emit(model, columns), rows, threshold=0.5, artefact_sha256="")
    assert proof.passed
    assert proof.mutants_caught == proof.mutants > 0


def test_the_example_of_a_network_trains_and_answers():
    torch = pytest.importorskip("torch", reason="needs the extra `torch`")
    names = {}
    exec(BLOCKS[0], names)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"zone": rng.choice(["near", "far"], 80), "weight": rng.normal(size=80)})
    frame = SimpleNamespace(to_pandas=lambda: table, label=(table["weight"] > 0).to_numpy().astype(float))
    torch.manual_seed(0)
    model = names["train"](frame)
    assert ((model.predict_proba(table)[:, 1] > 0.5) == frame.label).mean() > 0.7
