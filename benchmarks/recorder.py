"""What recording costs: run ``python benchmarks/recorder.py``; prints one line a figure and writes JSON if told where.

Every figure is CPU or wall time on this machine, with 18 numbers and 2 categories a prediction.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.compaction import compact
from seakeep.recorder.query import Query, find, load
from seakeep.recorder.reader import Tail
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import Prediction

ROWS = 200_000
RATE = 5_000
MODEL = "late-arrival"


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
        key=f"2013-07-01-UA-{sequence}",
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


def measure(folder: Path) -> dict[str, float]:
    clock, numbers = SystemClock(), random.Random(0)
    pen = Writer(folder, "bench", clock=clock, settings=RecorderSettings(queue_mb=1024))
    records = [make(numbers, sequence, clock) for sequence in range(1, ROWS + 1)]
    figures: dict[str, float] = {}

    cpu, wall = time.process_time(), time.perf_counter()
    for one in records:
        pen.next_sequence()
        pen.append(one)
    figures["append_us"] = (time.perf_counter() - wall) / ROWS * 1e6
    pen.commit()
    figures["records_per_cpu_second"] = ROWS / (time.process_time() - cpu)
    figures["records_per_second"] = ROWS / (time.perf_counter() - wall)
    pen.close()
    figures["segment_bytes_per_record"] = sum(path.stat().st_size for path in folder.glob("*.seg")) / ROWS
    del records

    figures["append_p99_us_under_load"] = paced(folder.parent / "paced", clock, numbers)
    for name, act in (
        ("load_segments_s", lambda: load(folder, Query(model=MODEL))),
        ("tail_all_s", lambda: Tail(folder).poll()),
        ("find_in_segments_s", lambda: find(folder, f"01JD{ROWS // 2:022d}")),
        ("compact_s", lambda: compact(folder)),
        ("load_parquet_s", lambda: load(folder, Query(model=MODEL))),
        ("find_in_parquet_s", lambda: find(folder, f"01JD{ROWS // 2:022d}")),
    ):
        wall = time.perf_counter()
        act()
        figures[name] = time.perf_counter() - wall
    figures["parquet_bytes_per_record"] = sum(path.stat().st_size for path in folder.glob("*.parquet")) / ROWS
    return figures


def paced(folder: Path, clock: SystemClock, numbers: random.Random) -> float:
    """99th percentile of one append, in microseconds, while the thread writes and syncs at a steady rate."""
    pen = Writer(folder, "paced", clock=clock, settings=RecorderSettings())
    taken = []
    pause = threading.Event()
    for _ in range(2 * RATE // 50):
        for _ in range(50):
            one = make(numbers, pen.next_sequence(), clock)
            began = time.perf_counter_ns()
            pen.append(one)
            taken.append((time.perf_counter_ns() - began) / 1_000)
        pause.wait(50 / RATE)
    pen.close()
    return sorted(taken)[len(taken) * 99 // 100]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name) / "recorder")
    for figure, value in figures.items():
        print(f"{figure:28} {value:12,.3f}")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
