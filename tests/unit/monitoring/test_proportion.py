import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.monitoring.proportion import proportion

COUNTS = st.integers(1, 10_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


def test_without_a_trial_there_is_no_share():
    assert proportion(0, 0) is None


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718), (15, 148, 0.0624, 0.1605), (81, 263, 0.2553, 0.3662)],
)
def test_intervals_are_those_of_newcombe(hits, trials, low, high):
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    found = proportion(hits, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(COUNTS)
def test_the_ends_are_where_the_share_is_just_not_surprising(counts):
    hits, trials = counts
    found = proportion(hits, trials)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value == hits / trials
    for end in (found.low, found.high):
        if 1e-9 < end < 1 - 1e-9:
            surprise = abs(found.value - end) / math.sqrt(end * (1 - end) / trials)
            assert surprise == pytest.approx(1.96, abs=1e-3)


@given(COUNTS)
def test_misses_mirror_hits(counts):
    hits, trials = counts
    found, mirrored = proportion(hits, trials), proportion(trials - hits, trials)
    assert (mirrored.low, mirrored.high) == (pytest.approx(1 - found.high), pytest.approx(1 - found.low))


@given(st.integers(1, 500), st.integers(0, 20))
def test_more_trials_of_the_same_share_are_surer(trials, share):
    few, many = (proportion(share * trials * n, 20 * trials * n) for n in (1, 4))
    assert many.high - many.low <= few.high - few.low
