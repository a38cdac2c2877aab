"""The table of messages: what stands on the wire, and that it is what the clients' own classes say."""

import importlib.util
import subprocess
import sys

import pytest

pytest.importorskip("grpc")

from seakeep.serving.grpc.messages import ModelInferRequest, ModelStreamInferResponse, message

CONTAINED = """
import sys, warnings
warnings.simplefilter("ignore")
from {module} import {name} as theirs
from seakeep.serving.grpc import messages

def compare(theirs, ours):
    nested = {{one.name: one for one in ours.nested_types}}
    for one in theirs.nested_types:
        compare(one, nested[one.name])
    for field in theirs.fields:
        same = ours.fields_by_number[field.number]
        for what in ("name", "type", "is_repeated", "has_presence"):
            assert getattr(field, what) == getattr(same, what), (field.full_name, what)
        assert (field.message_type and field.message_type.full_name) == (same.message_type and same.message_type.full_name)

names = [name for name in messages._MESSAGES if "." not in name]
known = [name for name in names if name in theirs.DESCRIPTOR.message_types_by_name]
for name in known:
    compare(theirs.DESCRIPTOR.message_types_by_name[name], messages.message(name).DESCRIPTOR)
print(len(known))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "count"),
    [("tritonclient.grpc", "service_pb2", 15), ("kserve.protocol.grpc", "grpc_predict_v2_pb2", 14)],
)
def test_the_messages_hold_those_of_the_clients(module, name, count):
    """In a process of its own: two client libraries declare the same names in the pool they share."""
    package = module.partition(".")[0]
    if not importlib.util.find_spec(package):
        pytest.skip(f"{package} is not installed")
    code = f"import sys; sys.path[:0] = {sys.path!r}\n" + CONTAINED.format(module=module, name=name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == count


def test_a_request_has_the_bytes_of_the_specification():
    made = ModelInferRequest(model_name="m", raw_input_contents=[b"\x01"])
    made.inputs.add(name="x", datatype="BOOL", shape=[1])
    assert made.SerializeToString() == b"\x0a\x01m\x2a\x0c\x0a\x01x\x12\x04BOOL\x1a\x01\x01\x3a\x01\x01"


def test_a_parameter_is_one_of_its_kinds():
    made = message("InferParameter")(bool_param=False)
    assert made.WhichOneof("parameter_choice") == "bool_param"
    made.string_param = "x"
    assert made.WhichOneof("parameter_choice") == "string_param"


def test_what_a_newer_client_adds_is_ignored():
    assert ModelInferRequest.FromString(b"\x0a\x01m\xc2\x3e\x01x").model_name == "m"


def test_an_answer_of_a_stream_holds_an_error_or_a_response():
    made = ModelStreamInferResponse(error_message="no")
    assert not made.HasField("infer_response")
    made.infer_response.id = "r1"
    again = ModelStreamInferResponse.FromString(made.SerializeToString())
    assert (again.error_message, again.infer_response.id) == ("no", "r1")
