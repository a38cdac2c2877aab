import math

import numpy as np
import pytest

from seakeep.conversion.optimise.bounds import calls_needed, upper_bound


def under(count, quantile, most):
    """Probability that at most so many of ``count`` draws lie below the quantile, summed exactly."""
    return math.fsum(math.comb(count, k) * quantile**k * (1 - quantile) ** (count - k) for k in range(most + 1))


def test_too_few_measurements_bound_nothing_and_just_enough_are_bounded_by_the_greatest():
    assert calls_needed() == 299
    values = np.random.default_rng(0).permutation(299).astype(float)
    assert upper_bound(values[:298]) is None
    assert upper_bound(values) == 298.0
    assert upper_bound(np.empty(0)) is None


@pytest.mark.parametrize("count", [299, 473, 600, 1000])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_it_is_the_first_order_statistic_that_has_the_confidence(count, confidence):
    place = int(upper_bound(np.arange(count, dtype=float), 0.99, confidence))
    assert under(count, 0.99, place) >= confidence
    assert under(count, 0.99, place - 1) < confidence


def test_it_covers_the_quantile_as_often_as_it_says():
    rng = np.random.default_rng(0)
    true = -math.log(0.01)  # of the exponential distribution
    covered = [upper_bound(rng.exponential(size=400)) >= true for _ in range(500)]
    assert np.mean(covered) >= 0.93


def test_equal_values_are_their_own_bound():
    assert upper_bound(np.full(600, 7.0)) == 7.0
