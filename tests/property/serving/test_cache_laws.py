"""Laws of the cache: whatever is asked and whenever, nothing is told again for longer than declared, nor of another version."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seakeep.serving.cache import AnswerCache, Kept
from seakeep.serving.inference import Inputs

STALE_S = 10.0
MOST_BYTES = 15_000
steps = st.lists(
    st.tuples(
        st.sampled_from(["v1", "v2"]), st.sampled_from("abcdefgh"), st.floats(0, 8), st.integers(1, 3), st.booleans()
    ),
    max_size=60,
)


def answers(version, text, since_s, rows):
    inputs = Inputs(
        numbers=np.zeros((rows, 4)), categories=np.empty((rows, 0), dtype=object), keys=[""] * rows,
        times_us=[0] * rows, raw=[{}] * rows, view_times_us=[[]] * rows, unknown=[()] * rows,
    )  # fmt: skip
    return Kept(inputs, [f"{version} {text}"] * rows, since_s)


@given(steps)
def test_nothing_is_told_again_for_too_long_nor_of_another_version_and_memory_is_bounded(given_steps):
    cache, now_s = AnswerCache(STALE_S, MOST_BYTES), 0.0
    for version, text, later_s, rows, puts in given_steps:
        now_s += later_s
        key = version, "rows", text.encode(), ()
        if puts:
            cache.put(key, answers(version, text, now_s, rows))
        elif found := cache.get(key, now_s):
            assert 0 <= now_s - found.since_s <= STALE_S
            assert set(found.answers) == {f"{version} {text}"}
        assert 0 <= cache.bytes <= MOST_BYTES
        assert (cache.bytes == 0) == (len(cache) == 0)
