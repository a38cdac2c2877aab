"""Recorded traffic through a version again: one million requests of the flights, on two cores.

``python benchmarks/replay.py`` trains the example's model on the flights of 2013 up to June, converts and promotes it,
has it answer all flights three times over and records the answers: first as the segments that a server writes, then as
the Parquet that they become. Each figure is the median of rounds, each in a process of its own pinned to two cores;
the peer is the trained scikit-learn pipeline that scores the same rows from memory, without reading or comparing.
``--measure WHAT FOLDER`` is how one round runs. The results go to ``benchmarks/results/replay.json``.
"""

import datetime as dt
import json
import os
import pickle
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "replay.json"
ROWS, ROUNDS, CORES = 1_000_000, 3, 2
MODEL = "late-arrival"
FEW_TO = "2013-09-25"
"""Until here there are about a quarter of the requests."""
TOGETHER = 7
"""Rows scored together when they are recorded, as a server does under load."""
YEAR_US = 365 * 86_400_000_000


def make(folder):
    """The project, and the recorded answers to a million requests."""
    shutil.copytree(ROOT / "examples" / "flights", folder, ignore=shutil.ignore_patterns(".seakeep", "__pycache__"))
    for words in (
        ["train", "--as-of", "2013-06-01", "--validate-from", "2013-05-01"],
        ["convert"],
        ["promote", f"{MODEL}:1", "--override", "a benchmark"],
    ):
        subprocess.run([sys.executable, "-m", "seakeep", *words], cwd=folder, check=True, capture_output=True)
    record(folder)


def record(folder):
    """Answer the flights over and over, and record it as a server does."""
    from seakeep.clock import SystemClock
    from seakeep.config import RecorderSettings
    from seakeep.conversion.session import ScoringSession
    from seakeep.features.join import features_at
    from seakeep.project import open_project
    from seakeep.project.load import load_project
    from seakeep.recorder.writer import Writer
    from seakeep.records.prediction import Prediction

    project = open_project(folder)
    bundle = project.bundle(project.resolve(MODEL))
    loaded = load_project(folder)
    definition = bundle.definition
    flights = loaded.read("flights")
    order = np.argsort(flights["scheduled"], kind="stable")
    flights = {name: values[order] for name, values in flights.items()}
    times = flights["scheduled"].astype("datetime64[us]").view(np.int64)
    tables = {view.source.name: loaded.read(view.source.name) for view in definition.views}
    values = features_at(definition, flights, times, tables)
    kinds = {column.name: column.kind for column in definition.columns}
    numbers = np.column_stack([values[name] for name, kind in kinds.items() if kind == "number"])
    categories = np.column_stack([values[name] for name, kind in kinds.items() if kind == "category"])
    session = ScoringSession(bundle.model)
    starts = range(0, len(times), TOGETHER)
    scores = [session.score(numbers[at : at + TOGETHER], categories[at : at + TOGETHER]) for at in starts]
    columns = {name: flights[name].tolist() for name in ("flight_id", "carrier", "origin", "dest", "distance")}
    score, numbers, categories, times = (
        np.concatenate(scores).tolist(), numbers.tolist(), categories.tolist(), times.tolist()
    )  # fmt: skip
    pen = Writer(project.home.predictions, "bench", clock=SystemClock(), settings=RecorderSettings(queue_mb=1_024))
    for number in range(ROWS):
        lap, row = divmod(number, len(times))
        at_us = times[row] + lap * YEAR_US
        pen.append(
            Prediction(
                sequence=pen.next_sequence(),
                id=f"01JD{number:022d}",
                model=MODEL,
                version=1,
                bundle=bundle.digest,
                role="champion",
                pair="",
                time_us=at_us,
                recorded_us=at_us,
                key=columns["flight_id"][row] if not lap else f"{columns['flight_id'][row]}+{lap}",
                principal="",
                request={"scheduled": at_us, **{name: cells[row] for name, cells in columns.items()}},
                numbers=numbers[row],
                categories=categories[row],
                feature_times_us=[at_us - 1, at_us - 1, at_us - 1],
                score=score[row],
                decision=score[row] >= bundle.threshold,
                parse_us=4.0,
                features_us=30.0,
                queue_us=5.0,
                model_us=15.0,
                total_us=60.0,
            )
        )
        if number % 50_000 == 0:
            pen.commit()
    pen.close()


def measure(what, folder):
    """One round, in a process of its own; prints JSON."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    figures = {"replay": replay, "few": replay, "whatif": whatif, "peer": peer}[what](folder, what)
    # Not getrusage: a process that was forked from a large one counts that one's memory as its own peak.
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text("utf-8").splitlines() if "VmHWM" in line]
    print(json.dumps({**figures, "peak_mb": int(peak) / 1e3}))


def replay(folder, what):
    from seakeep.clock import parse_moment
    from seakeep.project import open_project

    project = open_project(folder)
    wall, cpu = time.perf_counter(), time.process_time()
    found = project.past.replay(MODEL, to_us=parse_moment(FEW_TO) if what == "few" else None)
    figures = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return {**figures, "rows": found.rows, "differing": found.rows - found.equal, "refused": found.versions[0].refused}


def whatif(folder, _):
    from seakeep.clock import parse_moment
    from seakeep.project import open_project

    project = open_project(folder)
    wall = time.perf_counter()
    period = {"from_us": parse_moment("2013-07-01"), "to_us": parse_moment("2013-07-08")}
    found = project.past.whatif(f"{MODEL}:1", against=f"{MODEL}:1", **period)
    return {"wall_s": time.perf_counter() - wall, "rows": found.rows}


def peer(folder, _):
    """The trained pipeline scores the rows from memory, in frames of a hundred thousand."""
    import pandas as pd

    from seakeep.project import open_project
    from seakeep.recorder.query import Query, load

    project = open_project(folder)
    bundle = project.bundle(project.resolve(MODEL))
    estimator = pickle.loads(project.stores.artefacts.read_file(bundle.run.sealed, "estimator"))
    table = load(project.home.predictions, Query(model=MODEL))
    place, columns = {"number": 0, "category": 0}, {}
    for column in bundle.definition.columns:
        matrix = table.numbers if column.kind == "number" else table.categories
        columns[column.name] = matrix[:, place[column.kind]]
        place[column.kind] += 1
    frame = pd.DataFrame(columns)
    wall = time.perf_counter()
    for start in range(0, len(frame), 100_000):
        estimator.predict_proba(frame.iloc[start : start + 100_000])
    return {"wall_s": time.perf_counter() - wall, "rows": len(frame)}


def run(what, folder):
    """Rounds of one measurement, the median of each of its figures."""
    command = [sys.executable, __file__, "--measure", what, str(folder)]
    said = []
    for _ in range(ROUNDS):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said.append(json.loads(done.stdout))
    return {name: statistics.median(one[name] for one in said) for name in said[0]}


def row(figure, unit, ours, peers=(), limit=None):
    """One line of the result, and of the table on the screen."""
    from seakeep.clock import SystemClock

    peers = dict(peers)
    best = min(peers.values(), default=None)
    print(f"{figure:58} {ours:10.1f} {unit:5} {peers or ''} limit {limit}")
    packages = ("numpy", "onnxruntime", "duckdb", "scikit-learn")
    return {
        "figure": figure,
        "unit": unit,
        "ours": round(ours, 1),
        "peers": peers,
        "ratio_to_best_peer": round(ours / best, 4) if best else None,
        "limit": limit,
        "machine": f"{platform.system()} {platform.machine()}, {CORES} cores",
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
        "date": dt.datetime.fromtimestamp(SystemClock().now_us() / 1e6, dt.UTC).date().isoformat(),
    }


def main():
    """Measure and write the results."""
    from seakeep.recorder.compaction import compact

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "flights"
        make(folder)
        segments = run("replay", folder)
        compact(folder / ".seakeep" / "recorder" / "predictions")
        parquet, few, week = run("replay", folder), run("few", folder), run("whatif", folder)
        native = run("peer", folder)
    assert parquet["rows"] == segments["rows"] == native["rows"] == ROWS
    peers = {"scikit-learn, rows in memory": round(native["wall_s"], 1)}
    found = [
        row("replay of 1,000,000 recorded requests", "s", parquet["wall_s"], peers, limit=30),
        row("replay of 1,000,000, processor", "s", parquet["cpu_s"]),
        row("replay of 1,000,000 not compacted yet", "s", segments["wall_s"], peers, limit=30),
        row("replay of 1,000,000, answers that differ in a bit", "rows", parquet["differing"], limit=0),
        row("replay of 1,000,000, answers refused", "rows", parquet["refused"], limit=0),
        row("replay of 1,000,000, peak memory", "MB", parquet["peak_mb"]),
        row(f"replay of {few['rows']:,.0f}, peak memory", "MB", few["peak_mb"]),
        row(f"what-if of a week of {week['rows']:,.0f}", "s", week["wall_s"]),
    ]
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
