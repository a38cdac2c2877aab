"""Laws of the comparison of two versions: it has two sides, no order of blocks, and exact chances."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.replaying import DEFINITION, executable, table, with_columns

from seakeep.clock import DAY_US
from seakeep.monitoring.proportion import paired_difference
from seakeep.monitoring.significance import sign_flips
from seakeep.records.run import Metric
from seakeep.replay.execute import execute
from seakeep.replay.gather import Gathering
from seakeep.replay.identity import Tally
from seakeep.replay.inputs import InputSource
from seakeep.replay.whatif import Pairs, compare

scores = st.one_of(st.floats(0, 1), st.just(float("nan")))
labels = st.sampled_from([0.0, 1.0, float("nan")])
rows = st.lists(
    st.tuples(st.integers(0, 15 * DAY_US), labels, scores, scores, st.integers(-1, 2)), min_size=1, max_size=40
)


def pairs_of(rows):
    time_us, label, candidate, against, code = map(np.array, zip(*rows, strict=True))
    return Pairs(
        time_us=time_us, label=label, candidate=candidate.astype(float), against=against.astype(float),
        slices={"c": (code, ["x", "y", "z"])},
    )  # fmt: skip


def mirrored(metric):
    return Metric(value=-metric.value, low=-metric.high, high=-metric.low)


@settings(max_examples=60, deadline=None)
@given(rows, st.floats(0, 1), st.floats(0, 1))
def test_the_other_way_round_everything_has_the_other_sign(rows, first, second):
    pairs = pairs_of(rows)
    there = compare(pairs, candidate_threshold=first, against_threshold=second)
    back = compare(
        Pairs(time_us=pairs.time_us, label=pairs.label, candidate=pairs.against, against=pairs.candidate, slices=pairs.slices),
        candidate_threshold=second, against_threshold=first,
    )  # fmt: skip
    assert (there.equal, there.largest) == (back.equal, back.largest)
    assert there.mean_difference == -back.mean_difference
    assert (there.metrics.one, there.metrics.other) == (back.metrics.other, back.metrics.one)
    assert set(there.metrics.difference) == set(back.metrics.difference)
    for name, one in there.metrics.difference.items():
        assert one.value == -back.metrics.difference[name].value
    by_value = {one.value: one for one in back.slices}
    both = [(there.decisions, back.decisions), (there.outcomes, back.outcomes)]
    for one in there.slices:
        both += [(one.decisions, by_value[one.value].decisions), (one.outcomes, by_value[one.value].outcomes)]
    for one, other in both:
        assert (one is None) == (other is None)
        if one:
            assert (one.rows, one.up, one.down, one.p_value) == (other.rows, other.down, other.up, other.p_value)
            turned = mirrored(other.net)
            assert (one.net.low, one.net.high) == pytest.approx((turned.low, turned.high), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(rows, st.floats(0, 1), st.floats(0, 1))
def test_parts_add_up_and_intervals_hold_their_value(rows, first, second):
    pairs = pairs_of(rows)
    found = compare(pairs, candidate_threshold=first, against_threshold=second)
    after, before = pairs.candidate >= first, pairs.against >= second
    assert found.decisions.up - found.decisions.down == after.sum() - before.sum()
    inside = [one.decisions for one in found.slices]
    none = int((pairs.slices["c"][0] < 0).sum())
    assert sum(one.rows for one in inside) == len(rows) - none
    assert sum(one.up for one in inside) <= found.decisions.up
    for one in [found.decisions, *inside]:
        assert one.up + one.down <= one.rows
        assert -1 <= one.net.low <= one.net.value <= one.net.high <= 1
        assert 0 < one.p_value <= 1
    if found.outcomes and found.confusions:
        new, old = found.confusions
        right = (new.hits + new.silent) - (old.hits + old.silent)
        assert found.outcomes.up - found.outcomes.down == right
        assert new.hits + new.missed == old.hits + old.missed
        assert found.outcomes.rows == new.hits + new.false_alarms + new.missed + new.silent


cuts = st.lists(st.integers(1, 59), max_size=6).map(lambda places: [0, *sorted(set(places)), 60])


@settings(max_examples=25, deadline=None)
@given(cuts, st.integers(0, 100))
def test_a_replay_does_not_depend_on_how_the_records_lie_in_blocks(cuts, seed):
    recorded = table(60, seed=seed)
    blocks = [recorded.select(slice(start, stop)) for start, stop in itertools.pairwise(cuts)]
    other = executable(2, (0.6, -0.2))
    found = []
    for tables in ([recorded], blocks):
        tally = Tally(0.5)
        for block in execute(tables, [other], threads=1):
            tally.add(block)
        found.append((tally.versions, tally.failed, tally.unmatched))
    assert found[0] == found[1]
    what = []
    for tables in ([recorded], blocks):
        versions = [other, executable(1)]
        by_name = lambda _, values: {"origin": values[:, 0]}  # noqa: E731
        gathering = Gathering(*versions, labels={"flight-3": 1.0, "flight-4": 0.0}, categories=by_name)
        for block in execute(tables, versions, threads=1):
            gathering.add(block)
        result = gathering.result("late", from_us=0, to_us=1)
        what.append(
            (result.decisions, result.outcomes, result.slices, result.differences, result.equal, result.largest)
        )
    assert what[0] == what[1]


@given(st.permutations(DEFINITION.columns), st.permutations(DEFINITION.columns), st.integers(1, 3))
def test_inputs_find_their_place_from_any_order_into_any_order(recorded, wanted, count):
    """A version that recorded its inputs in one order gives another the same values in the other order."""
    given_, asked = with_columns(*recorded), with_columns(*wanted[:count])
    values = {"carrier.delay_24h": 1.5, "distance": 2.5, "origin": "EWR"}

    def ordered(columns, kind):
        return [values[column.name] for column in columns if column.kind == kind]

    one = table(1)
    one = dataclasses.replace(
        one,
        numbers=np.array([ordered(recorded, "number")]),
        categories=np.array([ordered(recorded, "category")], dtype=object),
    )
    found = InputSource(asked, lambda _: given_, lambda columns: pytest.fail(str(columns))).of(one)
    assert found.numbers.tolist() == [ordered(wanted[:count], "number")]
    assert found.categories.tolist() == [ordered(wanted[:count], "category")]


sums = st.lists(st.integers(-9, 9), max_size=8)


@given(sums)
def test_sign_flips_count_every_way(sums):
    ways = [
        abs(sum(s * one for s, one in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    expected = sum(way >= abs(sum(sums)) for way in ways) / len(ways)
    assert sign_flips(np.array(sums, dtype=float)) == expected


@given(sums)
def test_chances_of_sign_flips_are_chances(sums):
    """Under the hypothesis itself, all signs alike, a p-value up to some level comes at most that often."""
    values = sorted(
        sign_flips(np.array([s * one for s, one in zip(signs, sums, strict=True)], dtype=float))
        for signs in itertools.product((1, -1), repeat=len(sums))
    )
    for place, value in enumerate(values):
        assert (place + 1) / len(values) <= value or value == values[min(place + 1, len(values) - 1)]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_a_paired_difference_lies_in_its_interval_and_has_two_sides(both, first, second, neither):
    trials = both + first + second + neither
    found, other = paired_difference(both, first, second, trials), paired_difference(both, second, first, trials)
    if not trials:
        assert found is None
        return
    assert found.value == (first - second) / trials
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    turned = mirrored(other)
    assert (found.low, found.high) == pytest.approx((turned.low, turned.high), abs=1e-12)
