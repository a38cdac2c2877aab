import numpy as np
import pytest
from tests.serving_runs import row

from seakeep.serving.inference import Part


def test_some_rows_of_inputs_keep_all_that_belongs_to_them(direct_inputs):
    inputs = direct_inputs(0.0, 1.0, 2.0, 3.0)
    inputs.keys[:] = ["a", "b", "c", "d"]
    inputs.times_us[:] = [1, 2, 3, 4]
    inputs.raw[:] = [{"n": n} for n in range(4)]
    inputs.view_times_us[:] = [[n] for n in range(4)]
    inputs.unknown[:] = [("v",) * n for n in range(4)]
    inputs.categories[:, 0] = ["A", "B", "C", "D"]
    some = inputs.take([3, 1])
    np.testing.assert_array_equal(some.numbers[:, 1], [3, 1])
    assert some.categories[:, 0].tolist() == ["D", "B"]
    assert (some.keys, some.times_us, some.raw) == (["d", "b"], [4, 2], [{"n": 3}, {"n": 1}])
    assert (some.view_times_us, some.unknown) == ([[3], [1]], [("v",) * 3, ("v",)])
    assert (len(inputs), len(some)) == (4, 2)


@pytest.mark.parametrize(("positions", "keys"), [(None, "abc"), ([2, 0], "ca"), ([1], "b")])
def test_a_part_is_some_rows_of_its_call(plane, positions, keys):
    call = plane.call(*[row(key) for key in "abc"])
    part = Part(call, plane.dataplane.traffic["late"].champion, "champion", positions)
    assert [plane.dataplane.traffic["late"].champion.key_of(one) for one in part.rows] == list(keys)
    assert part.size == len(keys)


def test_a_call_is_as_large_as_what_was_sent(plane, direct_inputs):
    assert plane.call(row(), row()).size == 2
    assert plane.call(direct=direct_inputs(1.0, 2.0, 3.0)).size == 3
