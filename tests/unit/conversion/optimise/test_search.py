import numpy as np
import pytest

from seakeep.conversion.optimise.search import LAST_CALLS, LAST_STANDING, Candidate, Timed, nearest, pareto, search
from seakeep.records.metric import Metric
from seakeep.records.optimise import Limits


def loss(value, spread=0.001):
    return Metric(value=value, low=value - spread, high=value + spread)


def candidate(name, *, size=1_000_000, worse=0.0, fault=""):
    return Candidate(name=name, size_bytes=size, loss=loss(worse), fault=fault)


SOURCE = Candidate(name="source", size_bytes=2_000_000, loss=Metric(value=0.0, low=0.0, high=0.0))


class Clockwork:
    """Calls that take what they are said to, with a few per cent of noise; remembers who was timed."""

    def __init__(self, **us):
        self.us, self.asked, self._rng = us, [], np.random.default_rng(0)

    def __call__(self, names, calls):
        self.asked.append((tuple(names), calls))
        return [self.us[name] * (1 + 0.02 * self._rng.random(calls)) for name in names]


def test_the_fastest_that_keeps_the_limits_is_first():
    measure = Clockwork(source=100.0, small=50.0, tiny=10.0, same=100.0)
    some = [candidate("small"), candidate("tiny", worse=0.5), candidate("same")]
    found = search(SOURCE, some, Limits(loss=0.01), measure)
    assert found.ranking == ("small",)
    assert found.faults["tiny"] == "may lose 0.5010, above 0.01"
    assert found.faults["same"] == "not shown to be faster than the source"
    assert found.source_keeps


def test_a_loss_within_the_limit_whose_interval_is_not_is_refused():
    found = search(SOURCE, [candidate("close", worse=0.0095)], Limits(loss=0.01), Clockwork(source=9.0, close=1.0))
    assert found.ranking == ()
    assert "may lose 0.0105" in found.faults["close"]


def test_a_p99_within_the_limit_whose_bound_is_not_is_refused():
    def measure(names, calls):
        slow = np.full(calls, 100.0)
        slow[: max(1, calls // 120)] = 1_500.0  # under one call in a hundred
        return [slow if name == "edgy" else np.full(calls, 9_000.0) for name in names]

    found = search(SOURCE, [candidate("edgy")], Limits(p99_ms=1.0), measure)
    assert found.timed["edgy"].p99_us < 1_000 < found.timed["edgy"].p99_high_us
    assert found.faults["edgy"] == "p99 may be 1.500 ms, above 1"
    assert not found.source_keeps


def test_sizes_and_faults_of_their_own_are_told():
    some = [candidate("large", size=3_000_000), candidate("odd", fault="refuses 3 rows that the source answers")]
    found = search(SOURCE, some, Limits(size_mb=2.5), Clockwork(source=100.0, large=1.0, odd=1.0))
    assert found.faults == {"large": "3.00 MB, above 2.5", "odd": "refuses 3 rows that the source answers"}
    assert found.source_keeps
    assert not search(SOURCE, [], Limits(size_mb=1.5), Clockwork(source=100.0)).source_keeps


def test_each_round_goes_on_with_the_better_half_and_times_the_source_beside_them():
    names = [f"c{i:02}" for i in range(20)]
    measure = Clockwork(source=1_000.0, **{name: 10.0 * (i + 1) for i, name in enumerate(names)})
    found = search(SOURCE, [candidate(name) for name in names], Limits(), measure)
    assert [len(asked) - 1 for asked, _ in measure.asked] == [20, 10, 5, LAST_STANDING, LAST_STANDING]
    assert all(asked[0] == "source" for asked, _ in measure.asked)
    assert measure.asked[-1][1] == LAST_CALLS
    assert found.ranking == ("c00", "c01", "c02", "c03")
    assert found.faults["c19"] == "slower than those that went on"


def test_what_breaks_a_fixed_limit_is_timed_once_and_takes_no_place():
    measure = Clockwork(source=100.0, lossy=1.0, good=50.0)
    search(SOURCE, [candidate("lossy", worse=1.0), candidate("good")], Limits(), measure)
    assert [asked for asked, _ in measure.asked] == [("source", "lossy", "good"), ("source", "good")]


def test_without_candidates_the_source_alone_is_timed():
    found = search(SOURCE, [], Limits(p99_ms=1.0), Clockwork(source=100.0))
    assert (found.ranking, found.faults, found.source_keeps) == ((), {}, True)


def timed(p99):
    return Timed(calls=600, p50_us=p99 / 2, p99_us=p99, p99_high_us=p99 * 1.1)


def test_only_what_nothing_else_beats_in_all_is_on_the_front():
    some = [
        candidate("fast", size=9, worse=0.2),
        candidate("exact", size=9, worse=0.0),
        candidate("beaten", size=9, worse=0.3),
        candidate("twin", size=9, worse=0.0),
    ]
    times = {"fast": timed(1.0), "exact": timed(5.0), "beaten": timed(1.0), "twin": timed(5.0)}
    assert pareto(some, times) == {"fast", "exact", "twin"}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(loss=0.1, p99_ms=0.001), "lossy"),
        (Limits(loss=0.001, p99_ms=0.004), "exact"),
        (Limits(loss=0.0, size_mb=1e-6), "exact"),
    ],
)
def test_the_nearest_has_the_least_excess_over_its_worst_limit(limits, expected):
    some = [candidate("lossy", size=9, worse=0.15), candidate("exact", size=9, worse=-0.01)]
    times = {"lossy": timed(1.0), "exact": timed(5.0)}
    assert nearest(some, times, limits) == expected
    assert nearest([], {}, limits) == ""
