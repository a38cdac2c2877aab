import math

from hypothesis import given
from hypothesis import strategies as st

from seakeep.serving.routing import place_of

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
numbers = st.integers(1, 10**9)


@given(st.text(), names, numbers)
def test_every_key_has_one_place_between_0_and_1(key, model, version):
    place = place_of(key, model=model, version=version)
    assert 0 <= place < 1
    assert place_of(key, model=model, version=version) == place


@given(names, numbers, st.floats(0.05, 0.95))
def test_a_weight_is_the_share_of_keys_that_the_candidate_answers(model, version, weight):
    count = 2000
    share = sum(place_of(f"flight-{n}", model=model, version=version) < weight for n in range(count)) / count
    assert abs(share - weight) <= 7 * math.sqrt(weight * (1 - weight) / count)


@given(names, numbers, numbers)
def test_each_candidate_draws_its_keys_anew(model, one, other):
    if one == other:
        return
    keys = [f"flight-{n}" for n in range(2000)]
    first = {key for key in keys if place_of(key, model=model, version=one) < 0.25}
    second = {key for key in keys if place_of(key, model=model, version=other) < 0.25}
    assert abs(len(first & second) / 2000 - 0.0625) <= 7 * math.sqrt(0.0625 * 0.9375 / 2000)
