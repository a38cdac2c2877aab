import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.monitoring.proportion import paired_difference, proportion

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


def test_paired_differences_are_those_of_newcombe():
    # Newcombe, "Improved confidence intervals ... based on paired data", 1998, table II: 36, 12, 2 and 0, method 10.
    found = paired_difference(36, 12, 2, 50)
    assert (found.value, found.low, found.high) == (
        0.2,
        pytest.approx(0.0569, abs=5e-5),
        pytest.approx(0.3404, abs=5e-5),
    )
    assert paired_difference(0, 0, 0, 0) is None


@pytest.mark.parametrize(
    ("both", "first", "second"), [(0.05, 0.02, 0.01), (0.3, 0.1, 0.1), (0.1, 0.0, 0.0), (0.0, 0.2, 0.0)]
)
def test_paired_differences_are_held_as_often_as_they_say(both, first, second):
    trials, truth = 60, first - second
    held = 0
    for counts in np.random.default_rng(0).multinomial(trials, [both, first, second, 1 - both - first - second], 2000):
        found = paired_difference(int(counts[0]), int(counts[1]), int(counts[2]), trials)
        held += found.low <= truth <= found.high
    assert held / 2000 >= 0.93
