import math

import numpy as np
import pytest

from seakeep.records.profile import Level, StageCost
from seakeep.records.run import Metric
from seakeep.replay import capacity


def exactly(value):
    return Metric(value=value, low=value, high=value)


def level(answered, mean_us, **changes):
    parts = {
        "offered": answered, "answered": answered, "failed": 0, "busy": 0.3, "preempted": 0.0, "batch_rows": 1.0,
        "late_us": 10.0, "limited": False, "stages": {"model": StageCost(mean_us=10, p99_us=20, share=0.2)},
        "mean_us": exactly(mean_us), "p50_us": exactly(mean_us), "p99_us": exactly(2 * mean_us),
    }  # fmt: skip
    return Level(**(parts | changes))


def queue(parts, service_us=100.0, **changes):
    """What the theory of queues says of a server with constant service time (M/D/1)."""
    return [
        level(part * 1e6 / service_us, service_us * (1 + part / (2 * (1 - part))), busy=part, **changes)
        for part in parts
    ]


def costs(**shares):
    return {name: StageCost(mean_us=1, p99_us=1, share=share) for name, share in shares.items()}


class TestKnee:
    def test_it_is_where_theory_has_it(self):
        found = capacity.knee(queue(np.arange(0.05, 1, 0.05)))
        assert found.low <= (2 - math.sqrt(2)) * 10_000 <= found.high
        assert found.value == pytest.approx(6000)

    def test_a_curve_that_is_still_flat_has_none(self):
        assert capacity.knee([level(rate, 100.0) for rate in (100, 200, 300)]) is None

    def test_too_few_rates_have_none(self):
        assert capacity.knee(queue([0.1, 0.9])) is None

    def test_rates_at_which_the_generator_or_requests_failed_tell_nothing(self):
        honest = queue([0.2, 0.4, 0.6, 0.8])
        spoilt = [level(100_000, 1.0, limited=True), level(100_000, 1.0, failed=1)]
        assert capacity.knee([*honest, *spoilt]) == capacity.knee(honest)

    def test_the_lowest_rate_can_be_the_knee(self):
        assert capacity.knee([level(100, 10), level(110, 100), level(120, 200)]).value == 100


class TestBottleneck:
    def test_a_full_loop_is_the_processor_and_its_dearest_stage_is_named(self):
        busy = level(9000, 900, busy=0.97, stages=costs(model=0.5, record=0.2))
        found = capacity.bottleneck([level(100, 10), busy])
        assert (found.limit, found.stage, found.share) == ("processor", "model", 0.5)

    def test_what_no_stage_has_is_transport(self):
        found = capacity.bottleneck([level(9000, 900, busy=0.97, stages=costs(model=0.2, record=0.1))])
        assert (found.limit, found.stage, found.share) == ("processor", "transport", pytest.approx(0.67))

    def test_a_loop_that_stands_still_with_an_idle_processor_waits(self):
        found = capacity.bottleneck([level(900, 900, busy=0.2, stages=costs(features=0.8, model=0.1))])
        assert (found.limit, found.stage) == ("waiting", "features")

    def test_a_processor_that_others_take_is_not_waiting(self):
        found = capacity.bottleneck([level(900, 900, busy=0.4, preempted=0.5, stages=costs(features=0.8, model=0.1))])
        assert found.limit == "shared"

    def test_room_that_is_left_is_no_limit_and_a_slow_generator_cannot_tell(self):
        assert capacity.bottleneck([level(900, 900)]).limit == "none"
        assert capacity.bottleneck([level(900, 900, limited=True)]).limit == "generator"

    def test_the_highest_rate_that_tells_decides(self):
        full = level(9000, 900, busy=0.95)
        assert capacity.bottleneck([level(100, 10), full, level(20_000, 9000, limited=True)]).limit == "processor"


class TestAdvice:
    def test_each_worker_runs_at_its_knee(self):
        found = Metric(value=1000.0, low=900, high=1100)
        assert [capacity.workers_for(rate, found, []) for rate in (0.0, 1000, 1001, 5500)] == [1, 1, 2, 6]

    def test_without_a_knee_utilisation_decides(self):
        assert capacity.workers_for(1000, None, queue([0.5])) == 1
        assert capacity.workers_for(12_000, None, queue([0.5])) == 3
        assert capacity.workers_for(1000, None, [level(100, 1, limited=True)]) == 0

    def test_rows_are_the_fewest_that_cost_nearly_the_least(self):
        assert capacity.best_rows({1: 10.0, 8: 24.0, 64: 136.0, 256: 520.0}) == 64
        assert capacity.best_rows({1: 10.0, 8: 80.0, 64: 640.0}) == 1

    def test_the_busiest_minute_counts(self):
        minute = 60_000_000
        moments = np.array([*range(0, minute, minute // 30), *range(5 * minute, 6 * minute, minute // 120)])
        assert capacity.busiest_rate(moments) == 2.0
        assert capacity.busiest_rate(np.empty(0, dtype=np.int64)) == 0.0


class TestInterval:
    def test_a_series_that_does_not_vary_is_known_exactly(self):
        assert capacity.interval(np.full(100, 7.0), np.mean) == exactly(7.0)

    def test_a_trend_makes_it_wide_where_independent_values_would_make_it_narrow(self):
        values = np.arange(1000.0)
        trend = capacity.interval(values, np.mean)
        mixed = capacity.interval(np.random.default_rng(1).permutation(values), np.mean)
        assert trend.high - trend.low > 3 * (mixed.high - mixed.low)

    def test_nothing_and_little_say_so(self):
        assert math.isnan(capacity.interval(np.empty(0), np.mean).value)
        few = capacity.interval(np.array([1.0, 3.0]), np.mean)
        assert (few.value, few.low, few.high) == (2.0, -math.inf, math.inf)
