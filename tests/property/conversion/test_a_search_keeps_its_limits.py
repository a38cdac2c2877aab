"""Whatever is measured: nothing that may break a limit is chosen, nor what may be slower than the source."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seakeep.conversion.optimise.bounds import upper_bound
from seakeep.conversion.optimise.search import Candidate, pareto, search
from seakeep.records.metric import Metric
from seakeep.records.optimise import Limits

SOURCE = "source"


@st.composite
def candidates(draw):
    losses = draw(st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(0, 0.05)), max_size=12))
    return [
        Candidate(
            name=f"c{place}",
            size_bytes=draw(st.integers(1, 10_000_000)),
            loss=Metric(value=value, low=value - spread, high=value + spread),
            fault=draw(st.sampled_from(["", "", "", "refuses rows"])),
        )
        for place, (value, spread) in enumerate(losses)
    ]


@st.composite
def limits(draw):
    return Limits(
        p99_ms=draw(st.none() | st.floats(0.01, 2)),
        size_mb=draw(st.none() | st.floats(0.1, 10)),
        loss=draw(st.floats(0, 0.1)),
    )


class Drawn:
    """Times from a seed: each model has a level and a tail of its own; keeps the last ones of each."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)
        self._levels, self.last = {}, {}

    def __call__(self, names, calls):
        for name in names:
            level, tail = self._levels.setdefault(name, self._rng.uniform((50, 0), (1_000, 0.05)))
            slow = self._rng.random(calls) < tail
            self.last[name] = level * (1 + 0.2 * self._rng.random(calls) + 3 * slow)
        return [self.last[name] for name in names]


SOURCES = st.integers(1, 10_000_000).map(
    lambda size: Candidate(name=SOURCE, size_bytes=size, loss=Metric(value=0, low=0, high=0))
)


@settings(max_examples=60)
@given(SOURCES, candidates(), limits(), st.integers(0, 2**32))
def test_what_may_be_chosen_keeps_every_limit_by_its_bound_and_is_faster(source, some, limit, seed):
    measure = Drawn(seed)
    found = search(source, some, limit, measure)
    by_name = {one.name: one for one in some}
    assert {name for name, fault in found.faults.items() if not fault} == set(found.ranking)
    for name in found.ranking:
        one, times = by_name[name], measure.last[name]
        assert not one.fault
        assert one.loss.high <= limit.loss
        assert limit.size_mb is None or one.size_bytes <= limit.size_mb * 1e6
        bound = upper_bound(times)
        assert bound is not None
        assert limit.p99_ms is None or bound <= limit.p99_ms * 1_000
        assert bound <= np.quantile(measure.last[SOURCE], 0.99)
        assert np.median(times) <= np.median(measure.last[SOURCE])


@settings(max_examples=30)
@given(SOURCES, candidates(), limits(), st.integers(0, 2**32))
def test_equal_measurements_give_the_same_choice(source, some, limit, seed):
    assert search(source, some, limit, Drawn(seed)) == search(source, some, limit, Drawn(seed))


@settings(max_examples=40)
@given(st.permutations([round(20 * 1.4**i, 2) for i in range(14)]))
def test_halving_keeps_the_best(levels):
    some = [Candidate(name=f"c{i}", size_bytes=1, loss=Metric(value=0, low=0, high=0)) for i in range(len(levels))]
    us = {one.name: level for one, level in zip(some, levels, strict=True)} | {SOURCE: 1e6}
    found = search(
        Candidate(name=SOURCE, size_bytes=9, loss=some[0].loss),
        some,
        Limits(),
        lambda names, calls: [np.linspace(us[name], 1.05 * us[name], calls) for name in names],
    )
    assert found.ranking[0] == min(us, key=lambda name: us[name])


@settings(max_examples=40)
@given(candidates(), st.integers(0, 2**32))
def test_the_front_is_not_empty_and_nobody_on_it_is_beaten(some, seed):
    found = search(
        Candidate(name=SOURCE, size_bytes=1, loss=Metric(value=0, low=0, high=0)), some, Limits(), Drawn(seed)
    )
    front = pareto(some, found.timed)
    points = {one.name: np.array([found.timed[one.name].p99_us, one.size_bytes, one.loss.value]) for one in some}
    assert bool(front) == bool(some)
    for name, point in points.items():
        beaten = any((other <= point).all() and (other < point).any() for other in points.values())
        assert beaten == (name not in front)
