"""The walk over a message's fields agrees with the library that reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("google.protobuf")

from google.protobuf.message import DecodeError

from seakeep.serving.errors import RequestError
from seakeep.serving.grpc.fields import MAX_FIELDS, check_fields
from seakeep.serving.grpc.messages import ModelInferRequest

EMPTY = {"input": b"\x2a\x00", "output": b"\x32\x00", "raw content": b"\x3a\x00", "unknown": b"\x78\x00"}


@pytest.mark.parametrize("field", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("before", [b"", b"\x7b\x7c", b"\x79" + bytes(8), b"\x7d" + bytes(4)], ids=len)
def test_a_message_of_too_many_fields_is_refused_whatever_stands_before_them(field, before):
    check_fields(before + field * (MAX_FIELDS - 4))
    with pytest.raises(RequestError, match="more than 16384 fields"):
        check_fields(before + field * (MAX_FIELDS + 1))


def test_what_is_inside_a_field_does_not_count():
    message = ModelInferRequest(model_name="late")
    tensor = message.inputs.add(name="carrier", datatype="BYTES", shape=[4 * MAX_FIELDS])
    tensor.contents.bytes_contents.extend([b""] * 4 * MAX_FIELDS)
    check_fields(message.SerializeToString())


@given(st.binary(max_size=60), st.integers(0, 5))
def test_whatever_is_no_message_is_left_to_the_library(noise, repeat):
    """Nothing but the refusal is raised, and what the library takes is never refused for less than the limit."""
    body = noise * (repeat + 1)
    check_fields(body)
    try:
        ModelInferRequest.FromString(body)
    except DecodeError:
        return
    with pytest.raises(RequestError):
        check_fields(body + b"\x2a\x00" * (MAX_FIELDS + 1))
