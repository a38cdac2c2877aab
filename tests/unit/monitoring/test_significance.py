import math

import numpy as np
import pytest

from seakeep.monitoring.significance import benjamini_hochberg, student_tail, surprise


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
