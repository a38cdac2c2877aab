import numpy as np
import pytest

from seakeep.replay.values import above, apart
from seakeep.serving.comparison import further


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (1.0, 1.0, (False, False)),
        (1.0 + 1e-12, 1.0, (False, False)),
        (1e12 + 1.0, 1e12, (False, False)),
        (1.001, 1.0, (True, True)),
        (1.0, 1.001, (False, True)),
        (-5.0, -6.0, (True, True)),
        (np.nan, 1.0, (False, True)),
        (np.nan, np.nan, (False, False)),
    ],
)
def test_a_number_is_another_one_beyond_rounding(one, other, told):
    left, right = np.array([one]), np.array([other])
    assert (bool(above(left, right)[0]), bool(apart(left, right)[0])) == told


def test_what_is_further_has_bounds_in_any_unit():
    label = np.array([10.0, 10.0, 10.0, 10.0, 10.0])
    one, other = np.array([10.0, 12.0, 11.0, 10.0, 7.0]), np.array([10.0, 10.0, 12.0, 13.0, 13.0])
    expected = [0.0, 1.0, -1 / 3, -1.0, 0.0]
    assert further(one, other, label).tolist() == pytest.approx(expected)
    assert further(1e6 * one, 1e6 * other, 1e6 * label).tolist() == pytest.approx(expected)
    assert further(other, one, label).tolist() == pytest.approx([-value for value in expected])
