import numpy as np
import pytest

from seakeep.clock import DAY_US
from seakeep.monitoring.significance import benjamini_hochberg, sign_flips
from seakeep.replay.shift import corrected, shifts
from seakeep.training.evaluate import resample


def days(count, rows_a_day):
    return resample(np.repeat(np.arange(count, dtype=np.int64) * DAY_US, rows_a_day))


def whole(before, after, blocks):
    (found,) = shifts(np.array(before), np.array(after), np.zeros(len(before), dtype=np.int64), 1, blocks)
    return found


def test_each_group_is_counted_as_if_it_stood_alone():
    rng = np.random.default_rng(0)
    blocks = days(20, 50)
    before, after, group = rng.random(1000) < 0.3, rng.random(1000) < 0.4, rng.integers(-1, 4, 1000)
    found = shifts(before, after, group, 5, blocks)
    assert found[4] is None
    for place, one in enumerate(found[:4]):
        rows = group == place
        assert (one.rows, one.up, one.down) == (
            rows.sum(), (after & ~before & rows).sum(), (before & ~after & rows).sum()
        )  # fmt: skip
        assert one.net.value == (one.up - one.down) / one.rows
        net = after.astype(float) - before.astype(float)
        by_day = np.array([net[rows & (blocks.block == day)].sum() for day in range(20)])
        assert one.p_value == sign_flips(by_day)


def test_the_interval_is_the_wider_of_resampled_days_and_of_few_rows():
    steady = whole([False] * 1000, ([True] + [False] * 9) * 100, days(20, 50))
    assert steady.net.low < 0.1 < steady.net.high  # each day is alike, so resampled days alone would say 0.1 exactly
    bursts = [day < 2 for day in range(20) for _ in range(50)]
    assert whole([False] * 1000, bursts, days(20, 50)).net.high > 0.2  # independent rows would say 0.12 at most
    nothing = whole([False] * 30, [False] * 30, days(10, 3))
    assert nothing.net.low < 0 == nothing.net.value < nothing.net.high


def test_one_day_proves_nothing_however_many_rows_it_has():
    blocks = days(20, 500)
    first = blocks.block == 0
    assert whole(~(first | ~first), first, blocks).p_value == 1.0
    assert whole(~(first | ~first), np.ones(10_000, dtype=bool), blocks).p_value == 2.0**-19


def test_p_values_are_corrected_for_how_many_there_are():
    rng = np.random.default_rng(1)
    blocks = days(20, 100)
    before, after = rng.random(2000) < 0.3, rng.random(2000) < 0.4
    found = [one for one in shifts(before, after, rng.integers(0, 30, 2000), 30, blocks) if one]
    adjusted = [one.p_value for one in corrected(found)]
    np.testing.assert_array_equal(adjusted, benjamini_hochberg(np.array([one.p_value for one in found])))
    assert corrected([]) == []


@pytest.mark.slow
def test_versions_that_differ_by_chance_hardly_ever_have_a_slice_that_shifted():
    """Two noisy copies of one decision: of a hundred traffics with thirty slices, few show any."""
    shown = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        score = rng.normal(size=3000) + np.repeat(rng.normal(size=30), 100)  # the rows of one day are alike
        before, after = (score + rng.normal(0, 0.5, (2, 3000))) > 1
        found = [one for one in shifts(before, after, rng.integers(0, 30, 3000), 30, days(30, 100)) if one]
        shown += any(one.p_value <= 0.05 for one in corrected(found))
    assert shown <= 9
