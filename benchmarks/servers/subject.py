"""What every server serves: one model, made once by ours, with rows that ask it and the inputs these stand for."""

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "benchmarks" / ".cache"
MODEL = "late-arrival"
AS_OF, VALIDATE_FROM, ASKED_TO = "2013-03-01", "2013-02-15", "2013-03-01T03:00"
NOW = "2013-03-01T00:05:00Z"
"""The moment that all requests speak for, as those of a few seconds do."""
BODIES = 64
"""Different requests that are sent in turn."""


@dataclass(frozen=True)
class Subject:
    """The model as a project of ours, as an ONNX file and as the estimator; requests, and the inputs they stand for.

    Attributes
    ----------
    key
        A client's API key.
    inputs
        float64 ``(BODIES, numbers)``: what the model is given for each of ``rows``.
    scores
        What it answers.
    """

    project: Path
    onnx: Path
    estimator: Path
    key: str
    rows: list[dict]
    names: list[str]
    inputs: list[list[float]]
    scores: list[float]


def subject():
    """The subject, made on first use and kept in the cache until the package's sources change."""
    folder = CACHE / "subject"
    told = folder / "subject.json"
    if not told.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print("making the model that all servers serve (once)", file=sys.stderr)
        told.write_text(json.dumps(_make(folder)), "utf-8")
    found = json.loads(told.read_text("utf-8"))
    paths = {"project": folder / "project", "onnx": folder / "model.onnx", "estimator": folder / "model.pickle"}
    return Subject(**paths, **found)


def _make(folder):
    project = folder / "project"
    shutil.copytree(Path(__file__).parent / "project", project)
    shutil.copy(ROOT / "examples" / "flights" / "flights_data.py", project)
    for words in (
        ["train", "--as-of", AS_OF, "--validate-from", VALIDATE_FROM],
        ["convert"],
        ["promote", f"{MODEL}:1", "--override", "a benchmark"],
    ):
        subprocess.run([sys.executable, "-m", "seakeep", *words], cwd=project, check=True, capture_output=True)
    words = ["key", "create", "bench", "--role", "client"]
    made = subprocess.run([sys.executable, "-m", "seakeep", *words], cwd=project, check=True, capture_output=True)
    return {"key": made.stdout.decode().strip(), **_asked(folder, project)}


def _asked(folder, project):
    """Write the model for the peers; rows that ask, without a missing input, and what they stand for."""
    from seakeep.clock import parse_moment
    from seakeep.conversion.session import ScoringSession
    from seakeep.features.join import features_at
    from seakeep.project import open_project
    from seakeep.project.load import load_project

    opened = open_project(project)
    bundle = opened.bundle(opened.resolve(MODEL))
    (folder / "model.onnx").write_bytes(bundle.model)
    artefact = opened.stores.artefacts.read_file(bundle.run.sealed, "estimator")
    (folder / "model.pickle").write_bytes(pickle.dumps(pickle.loads(artefact)))
    loaded = load_project(project)
    definition = bundle.definition
    flights = loaded.read("flights")
    times = flights["scheduled"].astype("datetime64[us]").view(np.int64)
    chosen = np.flatnonzero((times >= parse_moment(AS_OF)) & (times < parse_moment(ASKED_TO)))
    flights = {name: values[chosen] for name, values in flights.items()}
    times = np.full(len(chosen), parse_moment(NOW))
    flights["scheduled"] = times.view("datetime64[us]")
    tables = {view.source.name: _known(loaded.read(view.source.name), view.source) for view in definition.views}
    values = features_at(definition, flights, times, tables)
    inputs = np.column_stack([values[column.name] for column in definition.columns])
    whole = np.flatnonzero(~np.isnan(inputs).any(axis=1))
    assert len(whole) >= BODIES, f"{len(whole)} flights without a missing input are fewer than {BODIES}"
    whole = whole[:BODIES]
    inputs = inputs[whole]
    rows = [
        {
            "scheduled": NOW,
            **{name: flights[name][row].item() if name == "distance" else flights[name][row] for name in
               ("flight_id", "carrier", "origin", "distance")},
        }
        for row in whole
    ]  # fmt: skip
    scores = ScoringSession(bundle.model).score(inputs, np.empty((len(inputs), 0), dtype=object))
    names = [column.name for column in definition.columns]
    return {"rows": rows, "names": names, "inputs": inputs.tolist(), "scores": scores.tolist()}


def _known(table, source):
    """What the service was filled with: the events known before ``AS_OF``."""
    from seakeep.clock import parse_moment

    known = table[source.time].astype("datetime64[us]").view(np.int64) + source.delay_us
    return {name: values[known < parse_moment(AS_OF)] for name, values in table.items()}
