"""A real project of the simulated shop: trained, converted, released; its predictions are written by the recorder's pen."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import msgspec
import numpy as np
from tests.recording import prediction, writer
from tests.simulated_shop import LIVE_US, MODEL, write_project

from seakeep.clock import FixedClock
from seakeep.conversion.session import ScoringSession
from seakeep.project import Project, open_project
from seakeep.records.prediction import EventBatch, Prediction

HOUR_US = 3_600_000_000
_pens = itertools.count()


def build(folder: Path) -> None:
    """Version 1 is the champion; version 2 learnt the opposite and is not released."""
    write_project(folder)
    project = open_project(folder, clock=FixedClock(LIVE_US))
    for trainer in ("", "train_upside_down"):
        project.convert(project.train(as_of_us=LIVE_US, model=MODEL, trainer=trainer, actor="ada").id, actor="ada")
    project.promote(f"{MODEL}:1", actor="ada")


def answers(
    project: Project,
    count: int,
    *,
    from_us: int,
    number: int = 1,
    step_us: int = HOUR_US,
    key: str = "k",
    **changes: object,
) -> list[Prediction]:
    """Predictions of a version, scored by it, one a step; recorded the moment that they speak for."""
    version = project.resolve(f"{MODEL}:{number}")
    bundle = project.bundle(version)
    rng = np.random.default_rng(count)
    kinds = [column.kind for column in bundle.definition.columns]
    numbers = rng.gamma(2.0, 20.0, (count, kinds.count("number"))).round(2)
    numbers[::7, 0] = np.nan
    categories = rng.choice(["north", "south", "web"], (count, kinds.count("category"))).astype(object)
    scores = ScoringSession(bundle.model).score(numbers, categories)
    return [
        msgspec.structs.replace(
            prediction(place + 1),
            id=f"{key.upper()}{number}{from_us // 1_000_000}{place:05d}",
            model=MODEL,
            version=number,
            bundle=bundle.digest,
            time_us=from_us + place * step_us,
            recorded_us=from_us + place * step_us,
            key=f"{key}{place}",
            numbers=numbers[place].tolist(),
            categories=categories[place].tolist(),
            feature_times_us=[from_us + place * step_us - HOUR_US],
            score=float(scores[place]),
            decision=bool(scores[place] >= bundle.threshold),
            total_us=100.0 + place,
            **changes,
        )
        for place in range(count)
    ]


def write(project: Project, records: list[Prediction], *, at_us: int) -> list[Prediction]:
    """Record predictions as a worker would, at a moment of the clock."""
    with contextlib.closing(writer(project.home.predictions, f"w{next(_pens)}", clock=FixedClock(at_us))) as pen:
        for one in records:
            assert pen.append(msgspec.structs.replace(one, sequence=pen.next_sequence()))
    return records


def tell(project: Project, told: dict[str, bool], *, at_us: int) -> None:
    """Record what became of keys."""
    columns = {
        "id": list(told), "told": [at_us] * len(told), "shop": ["web"] * len(told),
        "returned": [int(one) for one in told.values()],
    }  # fmt: skip
    with contextlib.closing(writer(project.home.events, f"e{next(_pens)}", clock=FixedClock(at_us))) as pen:
        number = pen.next_sequence()
        assert pen.append(
            EventBatch(sequence=number, batch=f"b{at_us}", source="returns", recorded_us=at_us, columns=columns)
        )
