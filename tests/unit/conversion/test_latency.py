import time

import numpy as np
import pytest
from tests.replaying import Weighted

from seakeep.conversion import latency
from seakeep.conversion.latency import ROUNDS, measure, measure_in_turn
from seakeep.features.frame import Frame
from seakeep.records.feature import FeatureColumn


def inputs(rows, width=2):
    return np.ones((rows, width)), np.full((rows, 1), "UA", dtype=object)


class Noting(Weighted):
    """Notes which side was asked."""

    def __init__(self, name, order):
        super().__init__((1.0, 1.0))
        self.name, self.order = name, order

    def score(self, numbers, categories):
        assert numbers.shape == (1, 2)
        self.order.append(self.name)
        return super().score(numbers, categories)


def test_each_side_scores_every_row_alone_and_a_few_in_turn():
    order = []
    sides = [(Noting(name, order), *inputs(50)) for name in "ab"]
    found = measure_in_turn(sides)
    assert [one.rows for one in found] == [50, 50]
    expected = ["a"] * 50 + ["b"] * 50  # the warm-up
    for size in (20, 20, 10) * ROUNDS:
        expected += ["a"] * size + ["b"] * size
    assert order == expected


def test_a_side_that_takes_longer_is_told(monkeypatch):
    """The clocks are set: each inference of the first side takes 5 us, of the second 100 us with 10 us of the processor."""
    now = {"wall": 0, "cpu": 0.0}

    class Taking(Weighted):
        def __init__(self, wall_ns, cpu_s):
            super().__init__((1.0, 1.0))
            self.took = wall_ns, cpu_s

        def score(self, numbers, categories):
            now["wall"] += self.took[0]
            now["cpu"] += self.took[1]
            return super().score(numbers, categories)

    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: now["wall"])
    monkeypatch.setattr(latency.time, "thread_time", lambda: now["cpu"])
    one, other = measure_in_turn([(Taking(5_000, 5e-6), *inputs(130)), (Taking(100_000, 1e-5), *inputs(130))])
    assert (one.p50_us, one.p99_us, one.cpu_us) == (5.0, 5.0, pytest.approx(5.0))
    assert (other.p50_us, other.p99_us, other.cpu_us) == (100.0, 100.0, pytest.approx(10.0))


def test_one_row_is_enough():
    (found,) = measure_in_turn([(Weighted((1.0, 1.0)), *inputs(1))])
    assert found.rows == 1
    assert 0 < found.p50_us <= found.p99_us


def test_of_a_frame_evenly_spread_rows_are_timed():
    model = Weighted((1.0,))
    seen = []
    score = model.score
    model.score = lambda numbers, categories: seen.append(float(numbers[0, 0])) or score(numbers, categories)
    frame = Frame(
        columns=(FeatureColumn(name="x", kind="number"),),
        values={"x": np.arange(1000.0)},
        key=np.full(1000, "", dtype=object),
        time_us=np.arange(1000),
        label=np.zeros(1000),
        label_known_us=np.zeros(1000, dtype=np.int64),
    )
    began = time.perf_counter()
    found = measure(model, frame, rows=5)
    assert found.rows == 5
    assert seen[5:] == [0.0, 249.0, 499.0, 749.0, 999.0] * ROUNDS
    assert found.p99_us <= (time.perf_counter() - began) * 1e6
