"""Frames made by hand: one informative number, one noise number with gaps, one category."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from seakeep.clock import DAY_US
from seakeep.features.frame import Frame
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn, RequestFeatures
from seakeep.records.model import Label, Model, TopShare
from seakeep.records.source import Events


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Threads that spin while they wait make small fits many times slower on a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def make_frame():
    def make(rows=2_000, days=40, seed=0, signal=2.0, delay_us=3_600_000_000):
        rng = np.random.default_rng(seed)
        time_us = np.sort(rng.integers(0, days * DAY_US, rows))
        x, noise = rng.normal(size=rows), rng.normal(size=rows)
        kind = rng.choice(["a", "b", "c"], rows).astype(object)
        chance = 1 / (1 + np.exp(-(signal * x + (kind == "a") - 0.5)))
        label = (rng.random(rows) < chance).astype(np.float64)
        noise[rng.random(rows) < 0.1] = np.nan
        return Frame(
            columns=(
                FeatureColumn(name="x", kind="number"),
                FeatureColumn(name="noise", kind="number"),
                FeatureColumn(name="kind", kind="category"),
            ),
            values={"x": x, "noise": noise, "kind": kind},
            key=np.array([f"k{one}" for one in range(rows)], dtype=object),
            time_us=time_us,
            label=label,
            label_known_us=time_us + delay_us,
        )

    return make


@pytest.fixture
def make_model():
    def make(train, decision=None):
        asked = Events("asked", time="at", key="id")
        told = Events("told", time="at", key="id")
        return Model(
            "example",
            on=asked,
            features=[RequestFeatures()],
            label=Label(told, col("outcome") > 0.5),
            train=train,
            decision=decision or TopShare(0.2),
        )

    return make
