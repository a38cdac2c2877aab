"""Messages of inference become requests, and answers become messages; what tensors mean is not decided here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from seakeep.serving import priority
from seakeep.serving.deadline import MOST_US, PARAMETER
from seakeep.serving.errors import RequestError
from seakeep.serving.grpc.messages import InferInputTensor, ModelInferResponse
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.tensors import (
    MAX_TENSORS,
    OUTPUTS,
    PREDICTION_IDS,
    RUNG,
    Content,
    InferRequest,
    Layout,
    fault,
    layout_of,
    output_bytes,
    output_shape,
    output_values,
    prediction_ids,
    read_request,
    recalled,
    remember,
)
from seakeep.serving.v1 import Answer

CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the typed elements of each datatype stand; FP16 travels as raw bytes only."""
_HEAD_BYTES = 256
"""How large a head in a layout that is remembered may be on average."""


def read_infer(message: Any, version: LoadedVersion, max_rows: int) -> InferRequest:
    """The request of an ``UnreadInferRequest`` to a version; its answer goes back raw if its tensors came raw.

    Raises
    ------
    RequestError
        Its tensors are not the model's inputs.
    """
    heads = message.inputs[:]
    if len(heads) > MAX_TENSORS:
        raise RequestError(400, f"more than {MAX_TENSORS} inputs")
    wanted = [(output.name, None) for output in message.outputs]
    contents: Sequence[Content] = message.raw_input_contents[:]
    raw = bool(contents)
    if raw:
        if len(contents) != len(heads):
            raise RequestError(400, f"there are {len(heads)} inputs, but {len(contents)} raw contents")
        layout = _layout(tuple(heads), version, max_rows)
    else:
        tensors = [_tensor(head) for head in heads]
        contents = [_values(tensor) for tensor in tensors]
        layout = layout_of(tensors, version, max_rows)
    found = read_request(message.id, layout, contents, wanted, binary=raw)
    timeout_us = _whole(message, PARAMETER, MOST_US)
    urgency = _whole(message, priority.PARAMETER, priority.MOST)
    if timeout_us or urgency:
        return msgspec.structs.replace(found, timeout_us=timeout_us, priority=urgency)
    return found


def answer(request: InferRequest, version: LoadedVersion, answers: Sequence[Answer]) -> Any:
    """The ``ModelInferResponse`` to a request."""
    message = ModelInferResponse(model_name=version.model, model_version=str(answers[0].version), id=request.id)
    message.parameters[PREDICTION_IDS].string_param = prediction_ids(answers)
    if answers[0].rung:
        message.parameters[RUNG].string_param = answers[0].rung
    for name, as_binary in request.outputs:
        values = output_values(name, answers)
        datatype, shape = OUTPUTS[name], output_shape(name, answers, values)
        output = message.outputs.add(name=name, datatype=datatype, shape=shape)
        if as_binary:
            message.raw_output_contents.append(output_bytes(name, values))
        else:
            typed = map(str.encode, values) if datatype == "BYTES" else values
            getattr(output.contents, CONTENTS[datatype]).extend(typed)
    return message


def _whole(message: Any, name: str, most: int) -> int:
    """A request's parameter that is a whole number from 0 to ``most``; 0 if it is not there."""
    if name not in message.parameters:
        return 0
    parameter = message.parameters[name]
    kind = parameter.WhichOneof("parameter_choice")
    value = getattr(parameter, kind) if kind in {"int64_param", "uint64_param"} else -1
    if not 0 <= value <= most:
        raise RequestError(400, f"parameter {name!r} is not a whole number from 0 to {most}")
    return int(value)


def _layout(heads: tuple[bytes, ...], version: LoadedVersion, max_rows: int) -> Layout:
    """Where raw contents belong."""
    layout = recalled(heads, version, max_rows)
    if layout is None:
        tensors = [_tensor(head) for head in heads]
        both = next((tensor.name for tensor in tensors if tensor.HasField("contents")), None)
        if both is not None:
            raise fault(both, "has both typed and raw contents")
        layout = layout_of(tensors, version, max_rows)
        if sum(map(len, heads)) <= _HEAD_BYTES * len(heads):
            remember(heads, version, layout)
    return layout


def _tensor(head: bytes) -> Any:
    try:
        return InferInputTensor.FromString(head)
    except DecodeError as error:
        raise RequestError(400, "an input is no InferInputTensor") from error


def _values(tensor: Any) -> Sequence[Any]:
    field = CONTENTS.get(tensor.datatype)
    given = [one.name for one, _ in tensor.contents.ListFields()]
    other = next((name for name in given if name != field), None)
    if other is not None:
        raise fault(tensor.name, f"is {tensor.datatype[:16]!r}, but has {other}")
    if field is None and tensor.datatype == "FP16":
        raise fault(tensor.name, "is 'FP16', which travels in raw_input_contents alone")
    values: Sequence[Any] = getattr(tensor.contents, field) if field else ()
    return values
