import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.errors import IntegrityError
from seakeep.security.signing import Signer, Verifier, canonical

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
SIGNER, VERIFIER = Signer(b"k" * 32), Verifier(Signer(b"k" * 32).public)


def reordered(value, random):
    if isinstance(value, dict):
        items = [(key, reordered(inner, random)) for key, inner in value.items()]
        random.shuffle(items)
        return dict(items)
    return [reordered(inner, random) for inner in value] if isinstance(value, list) else value


@given(VALUES, st.randoms(use_true_random=False))
def test_equal_values_have_equal_bytes_in_any_order_of_keys(value, random):
    assert canonical(reordered(value, random)) == canonical(value)


@given(VALUES)
def test_the_bytes_tell_the_value(value):
    assert msgspec.json.decode(canonical(value)) == json.loads(canonical(value)) == value


@given(VALUES)
def test_bytes_that_were_read_are_written_the_same(value):
    assert canonical(msgspec.json.decode(canonical(value))) == canonical(value)


@given(VALUES, VALUES)
def test_different_values_have_different_bytes(value, other):
    if canonical(value) == canonical(other):
        assert value == other


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_every_bit(value):
    again = msgspec.json.decode(canonical([value]), type=list[float])[0]
    assert math.copysign(1, again) == math.copysign(1, value)
    assert again.hex() == value.hex()


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_signature_is_of_its_content_alone(content, other):
    signature = SIGNER.sign(content)
    VERIFIER.verify(content, signature)
    if other != content:
        with pytest.raises(IntegrityError):
            VERIFIER.verify(other, signature)


@given(st.binary(max_size=100), st.binary(min_size=32, max_size=32))
def test_a_signature_is_of_its_key_alone(content, private):
    if private != b"k" * 32:
        with pytest.raises(IntegrityError):
            VERIFIER.verify(content, Signer(private).sign(content))
