"""Laws of what a profile concludes, whatever was measured."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seakeep.records.profile import Level, StageCost
from seakeep.records.run import Metric
from seakeep.replay import capacity

shares = st.floats(0, 1)
times = st.floats(1, 1e7)


@st.composite
def levels(draw):
    rates = sorted(draw(st.sets(st.floats(1, 1e6), min_size=1, max_size=8)))
    found = []
    for rate in rates:
        told = [Metric(value=value, low=value, high=value) for value in draw(st.tuples(times, times, times))]
        stages = {
            name: StageCost(mean_us=1, p99_us=1, share=draw(shares)) for name in draw(st.sets(st.sampled_from("abc")))
        }
        found.append(
            Level(
                offered=rate, answered=rate, failed=draw(st.integers(0, 1)), mean_us=told[0], p50_us=told[1],
                p99_us=told[2], busy=draw(shares), preempted=draw(shares), batch_rows=1.0, late_us=0.0,
                limited=draw(st.booleans()), stages=stages,
            )
        )  # fmt: skip
    return found


@given(levels())
def test_a_knee_is_a_rate_that_was_tried_between_its_neighbours_and_of_the_greatest_power(found):
    knee = capacity.knee(found)
    if knee is None:
        return
    told = [one for one in found if not one.limited and not one.failed]
    assert knee.low <= knee.value < knee.high
    assert {knee.low, knee.value, knee.high} <= {one.answered for one in told}
    (at,) = [one for one in told if one.answered == knee.value]
    assert all(one.answered / one.mean_us.value <= at.answered / at.mean_us.value for one in told)


@given(levels(), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_higher_rate_never_needs_fewer_workers_and_the_workers_carry_it(found, one, other):
    knee = capacity.knee(found)
    fewer, more = (capacity.workers_for(rate, knee, found) for rate in sorted((one, other)))
    assert fewer <= more
    if knee:
        assert more * knee.value >= max(one, other) * (1 - 1e-12)


@given(levels())
def test_a_bottleneck_is_a_stage_that_was_seen_with_no_other_that_takes_more(found):
    told = capacity.bottleneck(found)
    seen = ([one for one in found if not one.limited] or found)[-1]
    rest = max(0.0, seen.busy - sum(cost.share for cost in seen.stages.values()))
    assert told.share == max([rest, *(cost.share for cost in seen.stages.values())])
    assert told.stage in {*seen.stages, "transport"}
    if told.limit == "none":
        assert seen.busy < capacity.FULL


@given(st.dictionaries(st.integers(1, 512), times, min_size=1))
def test_no_number_of_rows_is_much_cheaper_than_the_one_advised_and_none_smaller_is_as_cheap(measured):
    best = capacity.best_rows(measured)
    least = min(time_us / rows for rows, time_us in measured.items())
    assert measured[best] / best <= least * (1 + capacity.NEAR)
    assert all(time_us / rows > least * (1 + capacity.NEAR) for rows, time_us in measured.items() if rows < best)


@given(st.lists(st.floats(0, 1e9), max_size=200))
def test_an_interval_holds_its_value_and_scales_with_its_unit(values):
    series = np.array(values)
    found = capacity.interval(series, lambda part: float(np.median(part)))
    if not values:
        assert math.isnan(found.value)
        return
    assert found.low <= found.value <= found.high
    double = capacity.interval(2 * series, lambda part: float(np.median(part)))
    assert double.value == 2 * found.value
