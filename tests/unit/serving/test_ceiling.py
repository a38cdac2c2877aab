import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.serving.ceiling import EARLY, judge, too_low

sizes = st.integers(0, 10**12)


@pytest.mark.parametrize(
    ("used", "ready", "ceiling", "verdict"),
    [(10, 10, 0, "keep"), (10**12, 10, 0, "keep"), (79, 30, 100, "keep"), (80, 30, 100, "replace"), (99, 30, 100, "replace"),
     (100, 30, 100, "end"), (100, 0, 100, "keep"), (500, 80, 100, "keep"), (500, 79, 100, "end")],
)  # fmt: skip
def test_a_worker_is_replaced_before_it_reaches_its_ceiling_unless_it_was_as_large_when_it_began(
    used, ready, ceiling, verdict
):
    assert judge(used, ready, ceiling) == verdict


@given(sizes, sizes, sizes, sizes)
def test_a_larger_worker_is_never_judged_more_mildly(used, more, ready, ceiling):
    order = ("keep", "replace", "end")
    assert order.index(judge(used, ready, ceiling)) <= order.index(judge(used + more, ready, ceiling))


@given(sizes, sizes)
def test_a_worker_that_has_not_grown_is_always_kept(ready, ceiling):
    assert judge(ready, ready, ceiling) == "keep"
    assert too_low(ready, ceiling) == (ceiling > 0 and ready >= EARLY * ceiling)
