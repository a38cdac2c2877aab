"""The table of messages: what stands on the wire, and that it is what the clients' own classes say."""

import subprocess
import sys

import pytest

pytest.importorskip("grpc")

from seakeep.serving.grpc.messages import ModelInferRequest, ModelStreamInferResponse, message

SAME = """
import sys, warnings
warnings.simplefilter("ignore")
from google.protobuf.descriptor_pb2 import DescriptorProto
from {module} import {name} as theirs
from seakeep.serving.grpc import messages

def sorted_(message):
    nested = sorted(message.nested_type, key=lambda one: one.name)
    for one in nested:
        sorted_(one)
    copies = [DescriptorProto.FromString(one.SerializeToString()) for one in nested]
    del message.nested_type[:]
    message.nested_type.extend(copies)
    for field in message.field:
        field.ClearField("json_name")
    return message

seen = []
for ours in messages._descriptor().message_type:
    if ours.name in theirs.DESCRIPTOR.message_types_by_name:
        other = DescriptorProto()
        theirs.DESCRIPTOR.message_types_by_name[ours.name].CopyToProto(other)
        assert sorted_(ours) == sorted_(other), (ours, other)
        seen.append(ours.name)
print(len(seen))
"""


@pytest.mark.parametrize(("module", "name", "count"), [("tritonclient.grpc", "service_pb2", 15), ("kserve.protocol.grpc", "grpc_predict_v2_pb2", 14)])  # fmt: skip
@pytest.mark.slow
def test_the_messages_are_those_of_the_clients(module, name, count):
    """In a process of its own: two client libraries declare the same names in the pool they share."""
    code = f"import sys; sys.path[:0] = {sys.path!r}\n" + SAME.format(module=module, name=name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if f"No module named '{module.partition('.')[0]}'" in done.stderr:
        pytest.skip(f"{module.partition('.')[0]} is not installed")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= count


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
