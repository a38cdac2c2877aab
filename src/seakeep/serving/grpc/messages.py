"""The protocol's messages, made at run time from one table: no generated code to go stale, no compiler to install.

They live in a pool of their own, so that a process may also hold the classes of a client library, which declare the same
names.

References
----------
KServe Open Inference Protocol, ``specification/protocol/inference_grpc.md``; Triton's ``ModelStreamInfer``.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_TENSOR_METADATA = {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "int64*")}
_PARAMETERS = "InferParameter{}"
_TENSOR = _TENSOR_METADATA | {"parameters": (4, _PARAMETERS), "contents": (5, "InferTensorContents")}
_NAMED = {"name": (1, "string"), "version": (2, "string")}

_INFER = {
    "model_name": (1, "string"),
    "model_version": (2, "string"),
    "id": (3, "string"),
    "parameters": (4, _PARAMETERS),
    "inputs": (5, "ModelInferRequest.InferInputTensor*"),
    "outputs": (6, "ModelInferRequest.InferRequestedOutputTensor*"),
    "raw_input_contents": (7, "bytes*"),
}
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": (1, "bool")},
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": _NAMED | {"extensions": (3, "string*")},
    "ModelMetadataRequest": _NAMED,
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "string*"),
        "platform": (3, "string"),
        "inputs": (4, "ModelMetadataResponse.TensorMetadata*"),
        "outputs": (5, "ModelMetadataResponse.TensorMetadata*"),
    },
    "ModelMetadataResponse.TensorMetadata": _TENSOR_METADATA,
    "InferParameter": {
        "bool_param": (1, "bool?"),
        "int64_param": (2, "int64?"),
        "string_param": (3, "string?"),
        "double_param": (4, "double?"),
        "uint64_param": (5, "uint64?"),
    },
    "InferTensorContents": {
        "bool_contents": (1, "bool*"),
        "int_contents": (2, "int32*"),
        "int64_contents": (3, "int64*"),
        "uint_contents": (4, "uint32*"),
        "uint64_contents": (5, "uint64*"),
        "fp32_contents": (6, "float*"),
        "fp64_contents": (7, "double*"),
        "bytes_contents": (8, "bytes*"),
    },
    "ModelInferRequest": _INFER,
    "UnreadInferRequest": _INFER | {"inputs": (5, "bytes*")},
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": {"name": (1, "string"), "parameters": (2, _PARAMETERS)},
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, _PARAMETERS),
        "outputs": (5, "ModelInferResponse.InferOutputTensor*"),
        "raw_output_contents": (6, "bytes*"),
    },
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "ModelStreamInferResponse": {"error_message": (1, "string"), "infer_response": (2, "ModelInferResponse")},
}
"""Fields by message: number and type; ``*`` many, ``?`` one of the message's only choice, ``{}`` a map from names.

``UnreadInferRequest`` has the bytes of ``ModelInferRequest``: on the wire a message within another is a string of bytes.
"""


def _descriptor() -> FileDescriptorProto:
    file = FileDescriptorProto(name="seakeep/open_inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, DescriptorProto] = {}
    for name, fields in _MESSAGES.items():
        outer, _, inner = name.rpartition(".")
        message = made[name] = (made[outer].nested_type if outer else file.message_type).add(name=inner)
        if any(kind.endswith("?") for _, kind in fields.values()):
            message.oneof_decl.add(name="parameter_choice")
        for field, (number, kind) in fields.items():
            _add(message, name, field, number, kind)
    return file


def _add(message: DescriptorProto, path: str, name: str, number: int, kind: str) -> None:
    one = FieldDescriptorProto
    field = message.field.add(name=name, number=number, label=one.LABEL_OPTIONAL)
    if kind.endswith("{}"):
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, f"{path}.{entry.name}", "key", 1, "string")
        _add(entry, f"{path}.{entry.name}", "value", 2, kind[:-2])
        kind = f"{path}.{entry.name}*"
    if kind.endswith("*"):
        field.label = one.LABEL_REPEATED
    if kind.endswith("?"):
        field.oneof_index = 0
    kind = kind.rstrip("*?")
    if kind[0].isupper():
        field.type, field.type_name = one.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = one.Type.Value(f"TYPE_{kind.upper()}")


_pool = DescriptorPool()
_pool.Add(_descriptor())


@functools.cache
def message(name: str) -> Any:
    """The class of a message of the protocol."""
    return GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


ModelInferRequest = message("ModelInferRequest")
ModelInferResponse = message("ModelInferResponse")
ModelMetadataResponse = message("ModelMetadataResponse")
ModelStreamInferResponse = message("ModelStreamInferResponse")
ServerMetadataResponse = message("ServerMetadataResponse")
UnreadInferRequest = message("UnreadInferRequest")
InferInputTensor = message("ModelInferRequest.InferInputTensor")
