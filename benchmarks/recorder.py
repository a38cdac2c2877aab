"""What recording costs, and how fast records are found again: ``scripts/bench recorder`` writes results/recorder.json.

A record has 18 numbers, 2 categories and a request of 6 columns, as those of the flights. Peers write the same content: JSON
lines in a buffered file that is never synced (what a service that logs its predictions does), and SQLite in WAL mode with a
commit for every 1,000 rows. CPU is of the whole process, the making of the record and the recorder's thread included; rounds
are interleaved, and the median is told.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cryptography
import duckdb
import msgspec

from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.compaction import compact
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.query import Query, find, load, of_key
from seakeep.recorder.reader import Tail
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import Prediction

RESULTS = Path(__file__).parent / "results" / "recorder.json"
ROWS = 50_000
ROUNDS = 5
RATE = 5_000
LIMIT_US = 6
"""CPU that recording may cost a request."""
MODEL = "late-arrival"

Figures = dict[str, list[float]]


def make(numbers: random.Random, sequence: int, clock: SystemClock) -> Prediction:
    now_us = clock.now_us()
    return Prediction(
        sequence=sequence,
        id=f"01JD{sequence:022d}",
        model=MODEL,
        version=3,
        bundle="9f" * 32,
        role="champion",
        pair="",
        time_us=1_372_636_800_000_000 + sequence * 1_000_000,
        recorded_us=now_us,
        key=f"2013-07-01-UA-{sequence * 7919 % 20_011}",
        principal="web",
        request={
            "flight_id": f"2013-07-01-UA-{sequence}",
            "scheduled": "2013-07-01T05:00:00Z",
            "carrier": "UA",
            "origin": "EWR",
            "dest": "IAH",
            "distance": 1400.0,
        },
        numbers=[numbers.random() for _ in range(18)],
        categories=["UA", "IAH"],
        feature_times_us=[now_us, now_us, now_us],
        score=numbers.random(),
        decision=False,
        parse_us=4.0,
        features_us=30.0,
        queue_us=5.0,
        model_us=15.0,
        total_us=60.0,
    )


def cpu_us(work: Callable[[], None]) -> float:
    """CPU of the process a row, in microseconds."""
    before = time.process_time()
    work()
    return (time.process_time() - before) / ROWS * 1e6


def record(folder: Path, rows: list[Prediction], keyring: Keyring | None) -> float:
    pen = Writer(folder, "bench", clock=SystemClock(), settings=RecorderSettings(queue_mb=1024), keyring=keyring)
    parts = [{name: value for name, value in msgspec.structs.asdict(one).items() if name != "sequence"} for one in rows]

    def work() -> None:
        for one in parts:
            pen.append(Prediction(sequence=pen.next_sequence(), **one))
        pen.commit()

    taken = cpu_us(work)
    pen.close()
    return taken


def json_lines(folder: Path, rows: list[dict[str, object]]) -> float:
    with (folder / "lines.json").open("w") as file:

        def work() -> None:
            for one in rows:
                file.write(json.dumps(one) + "\n")
            file.flush()

        return cpu_us(work)


def sqlite(folder: Path, rows: list[dict[str, object]]) -> float:
    connection = sqlite3.connect(folder / "rows.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE predictions (id TEXT PRIMARY KEY, key TEXT, time_us INTEGER, record TEXT)")

    def work() -> None:
        for place, one in enumerate(rows):
            if place % 1_000 == 0:
                connection.execute("BEGIN")
            values = one["id"], one["key"], one["time_us"], json.dumps(one)
            connection.execute("INSERT INTO predictions VALUES (?, ?, ?, ?)", values)
            if place % 1_000 == 999:
                connection.execute("COMMIT")

    taken = cpu_us(work)
    connection.close()
    return taken


def paced_us(folder: Path) -> float:
    """99th percentile of one append, in microseconds, while the thread writes and syncs at a steady rate."""
    clock, numbers, taken, pause = SystemClock(), random.Random(0), [], threading.Event()
    pen = Writer(folder, "paced", clock=clock, settings=RecorderSettings())
    for _ in range(2 * RATE // 50):
        for _ in range(50):
            one = make(numbers, pen.next_sequence(), clock)
            began = time.perf_counter_ns()
            pen.append(one)
            taken.append((time.perf_counter_ns() - began) / 1_000)
        pause.wait(50 / RATE)
    pen.close()
    return sorted(taken)[len(taken) * 99 // 100]


def ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def size(folder: Path, *suffixes: str) -> float:
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in suffixes) / ROWS


def one_round(root: Path, rows: list[Prediction], figures: Figures) -> None:
    plain = [msgspec.structs.asdict(one) for one in rows]
    add = lambda figure, value: figures.setdefault(figure, []).append(value)  # noqa: E731
    root.mkdir()
    for folder in ("clear", "sealed", "peers"):
        (root / folder).mkdir()
    keyring = Keyring(root / "sealed", root / "k")
    id_, key = rows[ROWS // 2].id, rows[ROWS // 2].key
    add("record", record(root / "clear", rows, None))
    add("record encrypted", record(root / "sealed", rows, keyring))
    add("JSON lines", json_lines(root / "peers", plain))
    add("SQLite", sqlite(root / "peers", plain))
    add("append", paced_us(root / "paced"))
    add("bytes of a segment", size(root / "clear", ".seg"))
    add("bytes of JSON lines", size(root / "peers", ".json"))
    add("bytes of SQLite", size(root / "peers", ".db", ".db-wal"))
    add("find in segments", ms(lambda: find(root / "clear", id_)))
    add("tail", ms(lambda: Tail(root / "clear").poll()))
    add("compact", ROWS / (ms(lambda: compact(root / "clear")) / 1e3))
    compact(root / "sealed", keyring)
    add("bytes of Parquet", size(root / "clear", ".parquet"))
    add("find by id", ms(lambda: find(root / "clear", id_)))
    add("find by key", ms(lambda: of_key(root / "clear", key)))
    add("find by id, encrypted", ms(lambda: find(root / "sealed", id_)))
    add("load", ms(lambda: load(root / "clear", Query(model=MODEL))))
    with sqlite3.connect(root / "peers" / "rows.db") as connection:
        add(
            "find by id in SQLite",
            ms(lambda: connection.execute("SELECT record FROM predictions WHERE id = ?", [id_]).fetchall()),
        )
    lines = root / "peers" / "lines.json"
    add("find by id in JSON lines", ms(lambda: [one for one in lines.open() if id_ in one]))


def main() -> None:
    numbers, clock, figures = random.Random(0), SystemClock(), {}
    rows = [make(numbers, sequence, clock) for sequence in range(1, ROWS + 1)]
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            one_round(Path(name) / str(number), rows, figures)
    median = {figure: round(statistics.median(values), 3) for figure, values in figures.items()}
    told = [
        ("recording: CPU a request", "us", "record", {"JSON lines, never synced": "JSON lines", "SQLite, 1,000 rows a commit": "SQLite"}, LIMIT_US),
        ("recording encrypted: CPU a request", "us", "record encrypted", {}, LIMIT_US),
        ("append at 5,000 a second: p99", "us", "append", {}, None),
        ("bytes of a record as it is written", "bytes", "bytes of a segment", {"JSON lines": "bytes of JSON lines", "SQLite": "bytes of SQLite"}, None),
        ("bytes of a record as Parquet", "bytes", "bytes of Parquet", {}, None),
        ("compaction", "records/s", "compact", {}, None),
        ("find by id in 50,000 sealed records", "ms", "find by id", {"JSON lines": "find by id in JSON lines", "SQLite": "find by id in SQLite"}, None),
        ("find by id in 50,000 encrypted records", "ms", "find by id, encrypted", {}, None),
        ("find by key in 50,000 sealed records", "ms", "find by key", {}, None),
        ("find by id in 50,000 records of a segment", "ms", "find in segments", {}, None),
        ("load 50,000 sealed records as columns", "ms", "load", {}, None),
        ("follow 50,000 records of a segment", "ms", "tail", {}, None),
    ]  # fmt: skip
    results = []
    for figure, unit, ours, peers, limit in told:
        values = {peer: median[measured] for peer, measured in peers.items()}
        best = (max if unit.endswith("/s") else min)(values.values(), default=None)
        results.append(
            {
                "figure": figure,
                "unit": unit,
                "ours": median[ours],
                "peers": values,
                "ratio_to_best_peer": round(median[ours] / best, 4) if best else None,
                "limit": limit,
                "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
                "versions": {
                    "python": platform.python_version(),
                    "duckdb": duckdb.__version__,
                    "msgspec": msgspec.__version__,
                    "cryptography": cryptography.__version__,
                    "sqlite": sqlite3.sqlite_version,
                    "seakeep": "source",
                },
                "date": datetime.now(UTC).date().isoformat(),
            }
        )
        print(f"{figure:44} {median[ours]:>12,.3f} {unit:10} {values or ''}")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
