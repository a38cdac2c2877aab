"""The zoo's networks computed by the processor, by CUDA, and by TensorRT in single and half precision, side by side.

``python benchmarks/tensorrt.py`` trains the zoo's perceptrons and its networks of PyTorch and Keras, converts them, proves each on
each of the four, and times calls of 1, 64 and 1,024 rows. It prints a table and writes ``benchmarks/results/tensorrt.json``;
where no GPU is usable it says why, and writes nothing.
"""

import dataclasses
import datetime as dt
import importlib
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from importlib import util
from pathlib import Path

import numpy as np
from zoo import data

from seakeep.clock import SystemClock
from seakeep.conversion.enginesettings import EngineSettings, executed
from seakeep.conversion.providers import providers
from seakeep.conversion.session import ScoringSession
from seakeep.errors import SeakeepError
from seakeep.training.environment import installed

RESULTS = Path(__file__).parent / "results" / "tensorrt.json"
ROWS, BATCHES, CALLS = 2_000, (1, 64, 1024), 200
PACKAGES = ("numpy", "onnxruntime-gpu", "scikit-learn", "tensorrt", "torch", "keras")
MODULES = {"scikit_learn": "sklearn", "torch_models": "torch", "keras_models": "keras"}
WAYS = {
    "cpu": EngineSettings(),
    "cuda": EngineSettings(accelerator="cuda"),
    "tensorrt": EngineSettings(accelerator="tensorrt"),
    "tensorrt half": EngineSettings(accelerator="tensorrt", half=True),
}


def networks():
    """The zoo's networks, by name, as far as their frameworks are installed."""
    for module, package in MODULES.items():
        if util.find_spec(package):
            for name, entry in importlib.import_module(f"zoo.{module}").MODELS.items():
                if module != "scikit_learn" or name.startswith("network"):
                    yield name, entry


def p50_us(session, rows, count):
    """Median duration of a call of so many rows, microseconds."""
    part, durations = rows.take(np.arange(count)), []
    for _ in range(CALLS):
        start = time.perf_counter_ns()
        session.score(part.numbers, part.categories)
        durations.append(time.perf_counter_ns() - start)
    return round(float(np.median(durations)) / 1_000, 1)


def computed(emission, settings, source, rows, engines):
    """What one way to compute a model gives: its proof and its speed."""
    from seakeep.conversion.parity import prove

    model = executed(emission.model, settings)
    proof = prove(source, dataclasses.replace(emission, model=model), rows, threshold=0.5, artefact_sha256="")
    session = ScoringSession(model, engines)
    return {
        "passed": proof.passed,
        "max_difference": proof.max_difference,
        "flips": proof.flips,
        "batch_mismatches": proof.batch_mismatches,
        "host": proof.host,
        "us": {str(count): p50_us(session, rows, count) for count in BATCHES},
    }


def tried(entry, train, unseen, ways):
    """What became of one network, by the way to compute it; a fault says why nothing did."""
    from seakeep.conversion.emit.model import emit
    from seakeep.conversion.native import native_scorer

    make, inputs, target = entry
    found = {}
    with tempfile.TemporaryDirectory() as engines:
        try:
            model = make(100).fit(getattr(train, inputs), getattr(train, target))
            columns, rows = train.columns(inputs), unseen.rows(inputs)
            source, emission = native_scorer(model, columns), emit(model, columns)
        except SeakeepError as fault:
            return {"fault": fault.message}
        for way in ways:
            try:
                found[way] = computed(emission, WAYS[way], source, rows, Path(engines))
            except SeakeepError as fault:
                found[way] = {"fault": fault.message}
    return found


def line(name, found):
    """One entry of the results: one row's time on the processor beside the best of the others."""
    times = {way: told["us"]["1"] for way, told in found.items() if isinstance(told, dict) and "us" in told}
    cpu = times.pop("cpu", None)
    return {
        "figure": name,
        "unit": "us",
        "ours": cpu,
        "peers": times,
        "ratio_to_best_peer": round(cpu / min(times.values()), 5) if cpu and times else None,
        "limit": None,
        "ways": found,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {package: version for package, version in installed(PACKAGES).items() if version},
        "date": dt.datetime.fromtimestamp(SystemClock().now_us() / 1e6, dt.UTC).date().isoformat(),
    }


def main():
    """Try all networks and write the results, if there is anything but the processor."""
    found = {one.kind: one for one in providers()}
    for one in found.values():
        print(f"{one.kind:9} {'usable' if one.usable else 'not usable'}: {one.told}")
    ways = [way for way, settings in WAYS.items() if found[settings.accelerator].usable]
    if ways == ["cpu"]:
        print("there is nothing to compare the processor with: nothing was measured")
        return
    warnings.simplefilter("ignore")
    train, unseen = data.draw(ROWS, 0), data.draw(ROWS, 1)
    lines = []
    for name, entry in networks():
        lines.append(line(name, tried(entry, train, unseen, ways)))
        for way, told in lines[-1]["ways"].items():
            print(f"{name:48} {way:14} {json.dumps(told)}", flush=True)
    RESULTS.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
