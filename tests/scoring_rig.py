"""Batch scoring with the small model of :mod:`tests.serving_rig`: files, a folder for the answers, and no project."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from tests.serving_rig import FileFeatures, Rig, definition

from seakeep.clock import FixedClock, TimeOrderedIds
from seakeep.features.rows import RequestDecoder
from seakeep.records.scoring import InputFile, Scored, ScoringPlan
from seakeep.scoring.inputs import Inputs
from seakeep.scoring.output import Answers, Output
from seakeep.scoring.score import Answerer, score
from seakeep.serving.batch import BatchRunner
from seakeep.serving.loaded import LoadedVersion, load

NOW_US = 1_372_636_800_000_000
ROWS = [
    {"flight_id": f"f{at}", "scheduled": NOW_US + at, "distance": at * 7.1, "carrier": ("AA", "UA", "ZZ", None)[at % 4]}
    for at in range(40)
]
BAD = [
    {"flight_id": None, "scheduled": NOW_US, "distance": 1.0, "carrier": "AA"},
    {"flight_id": "late", "scheduled": None, "distance": 1.0, "carrier": "AA"},
    {"flight_id": "b2", "scheduled": "yesterday", "distance": 1.0, "carrier": "AA"},
    {"flight_id": "b3", "scheduled": NOW_US, "distance": "far", "carrier": "AA"},
]


class ScoringRig:
    """One version, ready to score."""

    def __init__(self, folder: Path, connection: Any, *, version: int = 1, model: bytes | None = None) -> None:
        self.folder, self.connection = folder, connection
        self.inputs = Inputs(connection, no_tables)
        self.rig = Rig(folder)
        self.features = FileFeatures(folder / "features.jsonl")
        self.features.ingest("arrivals", {"carrier": ["AA", "UA"], "arr_delay": [4.0, 8.0], "landed": [1, 2]}, "one")
        route = self.rig.put(version, model=model)
        self.version: LoadedVersion = load(
            route, bundles=self.rig.bundles, features=self.features, decoders=RequestDecoder
        )

    def runner(self, mode: str = "request") -> BatchRunner:
        clock = FixedClock(NOW_US)
        return BatchRunner(self.features, clock=clock, ids=TimeOrderedIds(clock), mode=mode)

    def answerer(self, mode: str = "request") -> Answerer:
        return Answerer(self.version, self.runner(mode))

    def plan(self, *files: Path, part_rows: int = 7, keep: Sequence[str] = (), **more: Any) -> ScoringPlan:
        inputs, tables = self.inputs.find(list(map(str, files)), {})
        given = {"model": "late", "version": self.version.number, "bundle": self.version.bundle, "moment_us": None}
        return ScoringPlan(**given, keep=tuple(keep), part_rows=part_rows, inputs=tuple(inputs), tables=tables, **more)

    def score(
        self,
        to: Path,
        plan: ScoringPlan,
        *,
        answerer: Answerer | None = None,
        each_part: Callable[[], None] = lambda: None,
        on_progress: Callable[[int, int], None] = lambda _done, _rows: None,
    ) -> Scored:
        with Output(to, self.connection) as output:
            output.begin(plan)
            files = [self.inputs.held(one, definition()) for one in plan.inputs]
            answerer = answerer or self.answerer()
            return score(plan, files, self.inputs, output, answerer, each_part=each_part, on_progress=on_progress)


def no_tables(folder: Path, version: int | None) -> Any:
    raise AssertionError(f"{folder} is taken for a table")


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write(path: Path, query: str) -> Path:
    """What a query gives, in a file of the form that its suffix says."""
    duckdb.execute(f"set timezone = 'UTC'; copy ({query}) to '{path}'")
    return path


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """The query of a typed table with the rows of the rig; times are microseconds or None."""
    cells = [
        f"({_text(row['flight_id'])}, make_timestamp({_number(row['scheduled'])}), "
        f"{_number(row['distance'])}::double, {_text(row['carrier'])})"
        for row in rows
    ]
    return f"select * from (values {', '.join(cells)}) t(flight_id, scheduled, distance, carrier)"


def _text(value: str | None) -> str:
    return "null" if value is None else f"'{value}'"


def _number(value: float | None) -> str:
    return "null" if value is None else f"({value})"


def read(place: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file, or of those in a folder, in order."""
    found = duckdb.execute(f"select * from read_parquet('{place}{'/*.parquet' if place.is_dir() else ''}')")
    names = [one[0] for one in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


PLAN_OF_FIVE = ScoringPlan(
    model="late",
    version=1,
    bundle="b" * 64,
    moment_us=None,
    keep=(),
    part_rows=3,
    inputs=(InputFile(name="in.csv", format="csv", bytes=9, sha256="a" * 64, rows=5),),
)


def answers(count: int = 3, start: int = 0) -> Answers:
    """Of the job of five rows."""
    keys = [f"k{start + at}" for at in range(count)]
    scores = np.linspace(0.1, 0.9, count)
    return Answers(keys, {"score": scores, "decision": scores > 0.5}, ["[]"] * count, [""] * count, [""] * count, {})
