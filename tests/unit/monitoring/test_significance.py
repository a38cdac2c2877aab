import math

import numpy as np
import pytest

from seakeep.monitoring.significance import benjamini_hochberg, sign_flips, student_tail, surprise


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30])
@pytest.mark.parametrize("t", [-2.0, 0.0, 0.7, 3.0, 12.0])
def test_student_tail_is_the_integral_of_its_density(t, freedom):
    norm = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    angle = np.linspace(math.atan(abs(t)), math.pi / 2, 200_001)  # x = tan(angle) makes the range finite
    density = norm * (1 + np.tan(angle) ** 2 / freedom) ** (-(freedom + 1) / 2) / np.cos(angle) ** 2
    density[~np.isfinite(density)] = 0.0
    upper = np.trapezoid(density, angle)
    assert student_tail(t, freedom) == pytest.approx(upper if t >= 0 else 1 - upper, abs=2e-5)


def test_adjusted_p_values_follow_the_definition():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    by_rank = {0.01: 0.04, 0.03: 0.04 * 4 / 3, 0.04: 0.04 * 4 / 3, 0.5: 0.5}
    np.testing.assert_allclose(benjamini_hochberg(p), [by_rank[one] for one in p])


def test_false_discovery_rate_is_kept_without_any_effect():
    generator = np.random.default_rng(0)
    found = [(benjamini_hochberg(generator.random(30)) <= 0.05).any() for _ in range(2000)]
    assert np.mean(found) <= 0.065


def test_surprise_is_in_deviations_of_the_past_and_floored():
    past = np.array([1.0, 3.0, 1.0, 3.0])
    effect, p_value = surprise(past, 2 + 5 * past.std(ddof=1), floor=0.1)
    assert effect == pytest.approx(5)
    assert 0 < p_value < 0.05
    assert surprise(np.full(4, 2.0), 2.5, floor=0.5)[0] == pytest.approx(1)


def test_sign_flips_of_equal_blocks_are_a_fair_coin():
    def both_tails(heads, flips):
        return 2 * sum(math.comb(flips, one) for one in range(heads, flips + 1)) / 2**flips

    assert sign_flips(np.full(12, 5.0)) == both_tails(12, 12)
    assert sign_flips(np.r_[np.full(10, 3.0), np.full(2, -3.0)]) == pytest.approx(both_tails(10, 12), rel=1e-12)


def test_sign_flips_without_a_difference_or_with_one_block_prove_nothing():
    assert sign_flips(np.empty(0)) == sign_flips(np.zeros(5)) == sign_flips(np.array([1000.0])) == 1.0
    assert sign_flips(np.array([7.0, -7.0])) == 1.0


def test_many_rows_in_many_blocks_are_near_the_normal_law():
    sums = np.random.default_rng(0).integers(-300, 320, 300).astype(float)
    deviations = abs(sums.sum()) / math.sqrt((sums**2).sum())
    assert sign_flips(sums) == pytest.approx(math.erfc(deviations / math.sqrt(2)), abs=0.005)
