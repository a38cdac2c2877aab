"""The Open Inference Protocol, version 2, over HTTP: JSON bodies and the binary tensor extension.

What the tensors mean is in :mod:`seakeep.serving.tensors`.

References
----------
KServe Open Inference Protocol, ``specification/protocol/inference_rest.md``; Triton's binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from seakeep.errors import RowError
from seakeep.serving import priority
from seakeep.serving.deadline import MOST_US
from seakeep.serving.errors import RequestError
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
from seakeep.serving.v1 import UNREADABLE, Answer, explain, refuse_duplicates

_CLOSELY_BYTES = 64 * 1024
"""So much JSON beside the data is looked at name by name, if need be: some 10 ms."""

_Size = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]


class _TensorParameters(msgspec.Struct, frozen=True, gc=False):
    binary_data_size: _Size | None = None


class _Tensor(msgspec.Struct, frozen=True, gc=False):
    name: str
    shape: tuple[_Size, ...]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: _TensorParameters | msgspec.UnsetType = msgspec.UNSET


class _OutputParameters(msgspec.Struct, frozen=True, gc=False):
    binary_data: bool | None = None


class _Output(msgspec.Struct, frozen=True, gc=False):
    name: str
    parameters: _OutputParameters | msgspec.UnsetType = msgspec.UNSET


class _RequestParameters(msgspec.Struct, frozen=True, gc=False):
    binary_data_output: bool | None = None
    timeout: Annotated[int, msgspec.Meta(ge=0, le=MOST_US)] | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=priority.MOST)] | None = None


class _Request(msgspec.Struct, frozen=True, gc=False):
    inputs: list[_Tensor]
    id: str = ""
    outputs: list[_Output] = []
    parameters: _RequestParameters | msgspec.UnsetType = msgspec.UNSET


_request = msgspec.json.Decoder(_Request)
_encode = msgspec.json.Encoder().encode


def parse_infer(body: bytes, json_bytes: int | None, version: LoadedVersion, max_rows: int) -> InferRequest:
    """Parse a request to a version.

    Parameters
    ----------
    json_bytes
        Length of the JSON part, from ``Inference-Header-Content-Length``; None if all of the body is JSON.

    Raises
    ------
    RequestError
        The body is not of the form, or its tensors are not the model's inputs.
    """
    if json_bytes is not None and json_bytes > len(body):
        raise RequestError(400, f"the JSON part is said to have {json_bytes} bytes, but the body has {len(body)}")
    head = body if json_bytes is None else body[:json_bytes]
    binary = b"" if json_bytes is None else body[json_bytes:]
    try:
        request = _request.decode(head)
    except UNREADABLE as error:
        raise explain(head, error, "see the Open Inference Protocol, version 2") from error
    if len(request.inputs) > MAX_TENSORS:
        raise RequestError(400, f"more than {MAX_TENSORS} inputs")
    _check_names(head, request)
    parameters = request.parameters or _RequestParameters()
    default = bool(parameters.binary_data_output)
    wanted = [(one.name, one.parameters.binary_data if one.parameters else None) for one in request.outputs]
    layout = _layout(request.inputs, version, max_rows)
    found = read_request(request.id, layout, _contents(request, binary), wanted, binary=default)
    if parameters.timeout or parameters.priority:
        return msgspec.structs.replace(found, timeout_us=parameters.timeout or 0, priority=parameters.priority or 0)
    return found


def encode_answer(request: InferRequest, version: LoadedVersion, answers: Sequence[Answer]) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON part if outputs follow it in binary form."""
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, as_binary in request.outputs:
        values = output_values(name, answers)
        output: dict[str, Any] = {"name": name, "datatype": OUTPUTS[name], "shape": output_shape(name, answers, values)}
        if as_binary:
            blob = output_bytes(name, values)
            output["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            output["data"] = values
        outputs.append(output)
    parameters = {PREDICTION_IDS: prediction_ids(answers)}
    if answers[0].rung:
        parameters[RUNG] = answers[0].rung
    told = {
        "model_name": version.model,
        "model_version": str(answers[0].version),
        "id": request.id,
        "parameters": parameters,
        "outputs": outputs,
    }
    head = _encode(told)
    return (b"".join((head, *blobs)), len(head)) if blobs else (head, None)


def _layout(inputs: list[_Tensor], version: LoadedVersion, max_rows: int) -> Layout:
    said = tuple([(one.name, one.shape, one.datatype) for one in inputs])
    layout = recalled(said, version, max_rows)
    if layout is None:
        layout = layout_of(inputs, version, max_rows)
        remember(said, version, layout)
    return layout


def _check_names(head: bytes, request: _Request) -> None:
    """Refuse objects in which a name stands twice; looks closely only if there are more of some name than were found."""
    if len(head) > _CLOSELY_BYTES:
        head = _without_data(head, request.inputs)
        if len(head) > _CLOSELY_BYTES:
            message = f"more than {_CLOSELY_BYTES} bytes of JSON beside the inputs' data"
            raise RequestError(400, message, hint="send the protocol's own names and parameters alone")
    if head.count(b'"') == _quotes(request):
        return
    inputs, outputs = request.inputs, request.outputs
    optional = (request.parameters, *(one.parameters for one in inputs), *(one.parameters for one in outputs))
    given = [parameters for parameters in optional if parameters is not msgspec.UNSET]
    settings = sum(value is not None for one in given for value in msgspec.structs.astuple(one))
    if (
        head.count(b'"inputs"') + head.count(b'"outputs"') > 1 + bool(outputs)
        or head.count(b'"name"') > len(inputs) + len(outputs)
        or head.count(b'"shape"') + head.count(b'"datatype"') > 2 * len(inputs)
        or head.count(b'"data"') > sum(one.data is not msgspec.UNSET for one in inputs)
        or head.count(b'"parameters"') > len(given)
        or head.count(b'"binary_data') + head.count(b'"timeout"') + head.count(b'"priority"') > settings
        or head.count(b'"id"') > 1
        or head.count(b"\\u")
    ):
        try:
            refuse_duplicates(head)
        except RowError as error:
            raise RequestError(400, error.message, hint=error.hint) from error


def _quotes(request: _Request) -> int:
    """How many quotation marks stand around the names and strings of inputs and id: with no more, nothing is beside them."""
    data = sum([one.data is not msgspec.UNSET for one in request.inputs])
    return 2 * (1 + 2 * bool(request.id) + 5 * len(request.inputs) + data)


def _without_data(head: bytes, inputs: list[_Tensor]) -> bytes:
    """The JSON with 0 in the place of what the inputs hold."""
    pieces, at = [], 0
    for one in inputs:
        data = b"" if one.data is msgspec.UNSET else bytes(one.data)
        place = head.find(data, at)
        if data and place >= 0:
            pieces.append(head[at:place])
            at = place + len(data)
    return b"0".join((*pieces, head[at:]))


def _contents(request: _Request, binary: bytes) -> list[Content]:
    """What the inputs hold; those in binary form follow one another in the body."""
    contents: list[Content] = []
    at = 0
    for tensor in request.inputs:
        size = tensor.parameters.binary_data_size if tensor.parameters else None
        if size is not None:
            if tensor.data is not msgspec.UNSET:
                raise fault(tensor.name, "has both data and a binary size")
            if at + size > len(binary):
                raise fault(tensor.name, f"is said to have {size} bytes, but {len(binary) - at} are left of the body")
            contents.append(binary[at : at + size])
            at += size
        elif tensor.data is not msgspec.UNSET:
            contents.append(tensor.data)
        else:
            raise fault(tensor.name, "has no data")
    if at != len(binary):
        raise RequestError(400, f"{len(binary) - at} bytes of the body belong to no input")
    return contents
