"""Files of rows through a version, beside the trained scikit-learn pipeline: simulated orders, on one core each.

``python benchmarks/score.py`` makes a table of orders with a seeded generator (simulated), lets ``seakeep init`` write the
project, trains, converts, and scores Parquet and CSV files of many more of them with ``seakeep score``. The peer is the
trained pipeline: ``predict_proba`` over pandas frames of 100,000 rows of the model's inputs, read from Parquet by pyarrow,
with the scores written to Parquet; it looks nothing up, checks nothing, and cannot go on where it was killed. Rounds are
interleaved, each in a process of its own pinned to one core, and the median of its processor time counts. Memory is the largest that a process had,
of few and of many rows. ``--measure WHAT FOLDER`` is how one round runs, ``--rows N`` sets the size. The results go to
``benchmarks/results/score.json``.
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

RESULTS = Path(__file__).parent / "results" / "score.json"
ROWS, FEW, LEARNT, ROUNDS = 1_000_000, 10, 20_000, 3
"""``FEW``: how many times fewer rows the other measurement of memory has."""
CHUNK = 100_000
ORDERS = """select 'o' || i as id, timestamp '2024-01-01' + to_seconds(i * 20 % 31536000) as ordered,
    round(exp(random() * 5), 2) as price, round(random() * 30, 3) as weight, random() * 100 as age,
    case when random() < 0.05 then null else random() end as loyalty, (random() * 20)::int as items,
    ['north', 'south', 'web', 'fair', 'post'][1 + (random() * 4)::int] as shop,
    ['card', 'cash', 'invoice'][1 + (random() * 2)::int] as paid from range({rows}) t(i)"""
LABELLED = """select *, case when price * 0.01 + weight * 0.03 - age * 0.01 + (shop = 'web')::int + random() > 2
    then 'yes' else 'no' end as returned from ({orders})"""


def make(folder, rows):
    """The project, and the files to score."""
    import duckdb

    duckdb.execute("set threads = 1; select setseed(0.5)")
    duckdb.execute(f"copy ({LABELLED.format(orders=ORDERS.format(rows=LEARNT))}) to '{folder}/learnt.csv'")
    estimator = "sklearn.ensemble.HistGradientBoostingClassifier"
    project = folder / "orders"
    columns = ["--label", "returned", "--time", "ordered", "--key", "id"]
    seakeep(folder, "init", "learnt.csv", *columns, "--estimator", estimator, "--into", "orders")
    seakeep(project, "train")
    seakeep(project, "convert")
    for name, count in (("many", rows), ("few", rows // FEW)):
        duckdb.execute(f"copy ({ORDERS.format(rows=count)}) to '{folder}/{name}.parquet'")
    duckdb.execute(f"copy (from '{folder}/many.parquet') to '{folder}/many.csv'")


def seakeep(folder, *words):
    subprocess.run([sys.executable, "-m", "seakeep", *words], cwd=folder, check=True, capture_output=True)


def measure(what, folder):
    """One round, in a process of its own; prints JSON."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    out = folder / f"out-{what}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    cpu = time.process_time()
    found = (peer if what == "peer" else ours)(what, folder, out)
    spent = {"cpu_s": time.process_time() - cpu}
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text("utf-8").splitlines() if "VmHWM" in line]
    print(json.dumps({**spent, "rows": found, "peak_mb": int(peak) / 1e3}))


def ours(what, folder, out):
    from seakeep.project import open_project

    project = open_project(folder / "orders")
    file = {"csv": "many.csv", "few": "few.parquet"}.get(what, "many.parquet")
    scored = project.batch.score("orders@candidate", [str(folder / file)], out)
    assert not scored.refused
    return scored.rows


def peer(_, folder, out):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from seakeep.project import open_project

    project = open_project(folder / "orders")
    bundle = project.bundle(project.resolve("orders@candidate"))
    estimator = pickle.loads(project.stores.artefacts.read_file(bundle.run.sealed, "estimator"))
    columns = [column.name for column in bundle.definition.columns]
    rows = 0
    with pq.ParquetWriter(out / "scores.parquet", pa.schema([("id", pa.string()), ("score", pa.float64())])) as writer:
        for batch in pq.ParquetFile(folder / "many.parquet").iter_batches(CHUNK):
            frame = batch.to_pandas()
            frame["hour"], frame["weekday"] = frame["ordered"].dt.hour, frame["ordered"].dt.day_of_week
            scores = estimator.predict_proba(frame[columns])[:, 1]
            writer.write_table(pa.table({"id": batch["id"], "score": scores}))
            rows += len(frame)
    return rows


def rounds(folder):
    """Rounds of all measurements in turn, the median of each of their figures."""
    said = {name: [] for name in ("parquet", "peer", "csv", "few")}
    for _ in range(ROUNDS):
        for name, found in said.items():
            command = [sys.executable, __file__, "--measure", name, str(folder)]
            found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in said.items()
    }


def row(figure, unit, ours, peers=(), limit=None):
    """One line of the result, and of the table on the screen."""
    from seakeep.clock import SystemClock

    peers = dict(peers)
    best = min(peers.values(), default=None)
    print(f"{figure:58} {ours:10.1f} {unit:5} {peers or ''} limit {limit}")
    packages = ("numpy", "onnxruntime", "duckdb", "scikit-learn", "pandas", "pyarrow")
    return {
        "figure": figure,
        "unit": unit,
        "ours": round(ours, 1),
        "peers": peers,
        "ratio_to_best_peer": round(ours / best, 4) if best else None,
        "limit": limit,
        "machine": f"{platform.system()} {platform.machine()}, 1 core",
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
        "date": dt.datetime.fromtimestamp(SystemClock().now_us() / 1e6, dt.UTC).date().isoformat(),
    }


def main(rows):
    """Measure and write the results."""
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), rows)
        found = rounds(Path(name))
    many, peer, few = found["parquet"], found["peer"], found["few"]
    assert many["rows"] == peer["rows"] == found["csv"]["rows"] == rows
    cpu, peak = ({"scikit-learn": round(peer[key], 1)} for key in ("cpu_s", "peak_mb"))
    results = [
        row(f"scoring {rows:,} rows of Parquet, processor", "s", many["cpu_s"], cpu),
        row(f"scoring {rows:,} rows of CSV, processor", "s", found["csv"]["cpu_s"]),
        row(f"scoring {rows:,} rows, peak memory", "MB", many["peak_mb"], peak),
        row(f"scoring {few['rows']:,.0f} rows, peak memory", "MB", few["peak_mb"]),
    ]
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[2]) if sys.argv[1:2] == ["--rows"] else ROWS)
