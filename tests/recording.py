"""Builds records and writers for tests of the recorder and of what reads it."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from seakeep.clock import FixedClock
from seakeep.config import RecorderSettings
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.segment import add_frame
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import EventBatch, Prediction, Record

NOW_US = 1_700_000_000_000_000


def prediction(sequence: int = 1, **changes: Any) -> Prediction:
    one = Prediction(
        sequence=sequence,
        id=f"p{sequence:08d}",
        model="late-arrival",
        version=1,
        bundle="ab" * 32,
        role="champion",
        pair="",
        time_us=NOW_US + sequence,
        recorded_us=NOW_US + sequence,
        key=f"flight-{sequence}",
        principal="",
        request={"carrier": "UA", "distance": 1400.0, "stops": 0, "note": None},
        numbers=[0.1 * sequence, math.nan, -0.0],
        categories=["UA", ""],
        feature_times_us=[NOW_US - 60_000_000],
        score=1 / (sequence + 2),
        decision=sequence % 2 == 0,
        parse_us=1.5,
        features_us=20.0,
        queue_us=3.25,
        model_us=12.0,
        total_us=40.0,
    )
    return msgspec.structs.replace(one, **changes)


def batch(sequence: int = 1, **changes: Any) -> EventBatch:
    one = EventBatch(
        sequence=sequence,
        batch=f"b{sequence}",
        source="arrivals",
        recorded_us=NOW_US + sequence,
        columns={"flight_id": [f"flight-{sequence}"], "arr_delay": [float(sequence)], "landed": [NOW_US + sequence]},
    )
    return msgspec.structs.replace(one, **changes)


def queue_mb(records: int) -> float:
    """Memory for so many records as :func:`prediction` makes them."""
    buffer = bytearray()
    add_frame(prediction(1), buffer)
    return (records - 0.5) * len(buffer) / (1 << 20)


def writer(
    folder: Path, name: str = "w", *, clock: FixedClock | None = None, keyring: Keyring | None = None, **settings: Any
) -> Writer:
    if "queue_records" in settings:
        settings["queue_mb"] = queue_mb(settings.pop("queue_records"))
    return Writer(
        folder, name, clock=clock or FixedClock(NOW_US), settings=RecorderSettings(**settings), keyring=keyring
    )


def record(pen: Writer, count: int, **changes: Any) -> list[Prediction]:
    made = [prediction(pen.next_sequence(), **changes) for _ in range(count)]
    for one in made:
        assert pen.append(one)
    return made


def same(left: Record, right: Record) -> bool:
    """Equal in every bit: NaN equals NaN, 0.0 is not -0.0."""
    return msgspec.msgpack.encode(left) == msgspec.msgpack.encode(right)


def all_same(left: list[Record], right: list[Record]) -> bool:
    return len(left) == len(right) and all(map(same, left, right))


def start(
    code: str, *arguments: object, stdout: int | None = None, stdin: int | None = None
) -> subprocess.Popen[bytes]:
    """Run Python in another process that sees the same modules."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env={"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=stdout, stdin=stdin)


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


def flip(folder: Path) -> None:
    """Change a byte in the midst of the first segment, as a bad disk does."""
    path = min(one for one in folder.iterdir() if one.suffix in {".seg", ".open"} and one.stat().st_size > 1_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
