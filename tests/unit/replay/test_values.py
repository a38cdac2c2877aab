import numpy as np
import pytest

from seakeep.replay.values import above, apart


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
