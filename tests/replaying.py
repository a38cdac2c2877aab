"""Models that can be computed by hand, and tables of what they answered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from seakeep.recorder.table import AskedTable
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn, FeatureView, mean
from seakeep.records.model import Label, ModelDefinition, Threshold
from seakeep.records.source import ColumnSchema, Events
from seakeep.replay.execute import Executable
from seakeep.replay.inputs import InputSource

FLIGHTS = Events("flights", time="scheduled", key="flight_id")
ARRIVALS = Events("arrivals", time="landed", key="flight_id")
CARRIER = FeatureView("carrier", ARRIVALS, "carrier", {"delay": mean("arr_delay", over=["24h", "7d"])})
DEFINITION = ModelDefinition(
    name="late-arrival",
    request=FLIGHTS,
    views=(CARRIER,),
    request_features={"distance": col("distance"), "origin": col("origin"), "dest": col("dest")},
    label=Label(ARRIVALS, col("arr_delay") > 30),
    decision=Threshold(),
    schemas={
        "flights": (
            ColumnSchema(name="flight_id", kind="string"),
            ColumnSchema(name="scheduled", kind="time"),
            ColumnSchema(name="carrier", kind="string"),
            ColumnSchema(name="origin", kind="string"),
            ColumnSchema(name="dest", kind="string"),
            ColumnSchema(name="distance", kind="float"),
        ),
        "arrivals": (
            ColumnSchema(name="flight_id", kind="string"),
            ColumnSchema(name="carrier", kind="string"),
            ColumnSchema(name="landed", kind="time"),
            ColumnSchema(name="arr_delay", kind="float"),
        ),
    },
    columns=(
        FeatureColumn(name="carrier.delay_24h", kind="number", view="carrier"),
        FeatureColumn(name="origin", kind="category"),
        FeatureColumn(name="distance", kind="number"),
    ),
)
"""Two numbers and a category; ``dest`` and the week's mean are declared, but no inputs."""


def with_columns(*columns, **changes):
    return msgspec.structs.replace(DEFINITION, columns=columns, **changes)


WEEK = FeatureColumn(name="carrier.delay_7d", kind="number", view="carrier")
DEST = FeatureColumn(name="dest", kind="category")


class Kept:
    """A history that can read the requests of even flights, whose week is the number of the flight."""

    def __init__(self):
        self.opened, self.asked = [], 0

    def __call__(self, columns):
        self.opened.append(columns)
        return self

    def at(self, asked):
        self.asked += len(asked)
        number = np.array([msgspec.json.decode(row)["number"] for row in asked.request])
        found = number % 2 == 0
        values = {
            "carrier.delay_7d": number[found] + 0.5,
            "dest": np.array([f"to-{n}" for n in number[found]], dtype=object),
        }
        return found, {column.name: values[column.name] for column in self.opened[-1]}


@dataclasses.dataclass
class Weighted:
    """A model: numbers times weights, squeezed between 0 and 1; it refuses rows with a missing number."""

    weights: Sequence[float]
    asked: int = 0

    def score(self, numbers, categories):
        assert len(numbers) == len(categories)
        assert numbers.shape[1] == len(self.weights)
        self.asked += len(numbers)
        margin = np.zeros(len(numbers))
        for place, weight in enumerate(self.weights):
            margin += numbers[:, place] * weight
        return 1 / (1 + np.exp(-margin))


def no_history(columns):
    raise AssertionError(f"{columns} are recorded")


def executable(
    number: int = 1, weights: Sequence[float] = (0.7, -0.3), threshold: float = 0.5, **given: Any
) -> Executable:
    definitions = given.get("definitions", {})
    inputs = InputSource(
        given.get("definition", DEFINITION),
        lambda version: definitions.get(version, DEFINITION),
        given.get("history", no_history),
    )
    return Executable(number=number, threshold=threshold, scorer=Weighted(weights), inputs=inputs)


def table(
    count: int, *, version: int = 1, seed: int = 0, weights: Sequence[float] = (0.7, -0.3), start: int = 0
) -> AskedTable:
    """Answers of a weighted model with threshold a half, six minutes apart, of three origins; every tenth failed."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(count, len(weights)))
    categories = rng.choice(np.array(["EWR", "JFK", ""], dtype=object), size=(count, 1))
    score = Weighted(weights).score(numbers, categories)
    failed = np.arange(count) % 10 == 9
    numbers[failed] = np.nan
    score[failed] = math.nan
    times = (start + np.arange(count, dtype=np.int64)) * 360_000_000
    text = lambda values: np.array(values, dtype=object)  # noqa: E731
    return AskedTable(
        id=text([f"p{version}-{start + n}" for n in range(count)]),
        key=text([f"flight-{start + n}" for n in range(count)]),
        role=text(["champion"] * count),
        pair=text([""] * count),
        error=text(["row" if one else "" for one in failed]),
        version=np.full(count, version),
        time_us=times,
        recorded_us=times + 7,
        numbers=numbers,
        categories=categories,
        score=score,
        decision=score >= 0.5,
        model_us=np.full(count, 12.0),
        total_us=np.full(count, 40.0),
        request=text([msgspec.json.encode({"number": start + n}) for n in range(count)]),
    )
