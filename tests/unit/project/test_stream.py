import numpy as np
import pytest

from seakeep.project.stream import _place


def test_keys_are_spread_evenly_and_always_in_the_same_place():
    places = np.array([_place(f"UA{number}-EWR-20130601T1200") for number in range(20_000)])
    assert places.tolist() == [_place(f"UA{number}-EWR-20130601T1200") for number in range(20_000)]
    for share in (0.1, 0.3, 0.5):
        assert (places < share).mean() == pytest.approx(share, abs=0.015)
    assert places.min() >= 0
    assert places.max() < 1
