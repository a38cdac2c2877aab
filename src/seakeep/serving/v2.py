"""The Open Inference Protocol, version 2, over HTTP: JSON bodies and the binary tensor extension.

A model's inputs are its feature columns by name, so that any client of the protocol can ask it: a number column is FP64
(smaller and whole numbers are taken where float64 holds them exactly), a category column is BYTES. Shapes are ``[n]`` or
``[n, 1]``. Outputs are ``score``, FP64, and ``decision``, BOOL, of shape ``[n]``.

References
----------
KServe Open Inference Protocol, ``specification/protocol/inference_rest.md``; Triton's binary tensor data extension.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from seakeep.errors import RowError
from seakeep.serving.errors import RequestError
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.v1 import UNREADABLE, RowAnswer, explain, reason, refuse_duplicates

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTPUTS = {"score": "FP64", "decision": "BOOL"}
MAX_TENSORS = 4096

_HINT = "see the model's metadata for its inputs"
_INTEGERS = {"INT8": "i1", "INT16": "i2", "INT32": "i4", "INT64": "i8", "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8"}  # fmt: skip
_FLOATS = {"FP16": "f2", "FP32": "f4", "FP64": "f8"}
_DTYPES = {name: np.dtype(f"<{code}") for name, code in (_FLOATS | _INTEGERS | {"BOOL": "?"}).items()}
_EXACT = 2**53

_Size = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]


class _TensorParameters(msgspec.Struct, frozen=True):
    binary_data_size: _Size | None = None


class _Tensor(msgspec.Struct, frozen=True):
    name: str
    shape: tuple[_Size, ...]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: _TensorParameters | msgspec.UnsetType = msgspec.UNSET


class _OutputParameters(msgspec.Struct, frozen=True):
    binary_data: bool | None = None


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: _OutputParameters | msgspec.UnsetType = msgspec.UNSET


class _RequestParameters(msgspec.Struct, frozen=True):
    binary_data_output: bool | None = None


class _Request(msgspec.Struct, frozen=True):
    inputs: list[_Tensor]
    id: str = ""
    outputs: list[_Output] = []
    parameters: _RequestParameters | msgspec.UnsetType = msgspec.UNSET


@dataclasses.dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed request for inference.

    Attributes
    ----------
    numbers, categories
        float64 ``(n, numbers)`` with NaN for missing, and object ``(n, categories)`` with ``""``.
    outputs
        Names of the outputs wanted, each with whether it is wanted in binary form.
    """

    id: str
    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    outputs: tuple[tuple[str, bool], ...]


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
    columns = _read_inputs(request, binary, version, max_rows)
    rows = len(next(iter(columns.values()))) if columns else 0
    if not rows:
        raise RequestError(400, "there are no rows", hint=_HINT)
    return InferRequest(
        id=request.id,
        numbers=_beside([columns[name] for name in version.numbers], rows, np.float64),
        categories=_beside([columns[name] for name in version.categories], rows, object),
        outputs=_wanted(request),
    )


def encode_answer(
    request: InferRequest, version: LoadedVersion, answers: Sequence[RowAnswer]
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON part if outputs follow it in binary form."""
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, as_binary in request.outputs:
        values = [getattr(answer, name) for answer in answers]
        output: dict[str, Any] = {"name": name, "datatype": OUTPUTS[name], "shape": [len(values)]}
        if as_binary:
            blob = np.array(values, dtype=_DTYPES[OUTPUTS[name]]).tobytes()
            output["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            output["data"] = values
        outputs.append(output)
    told = {
        "model_name": version.model,
        "model_version": str(version.number),
        "id": request.id,
        "parameters": {"prediction_ids": ",".join([answer.id for answer in answers])},
        "outputs": outputs,
    }
    head = _encode(told)
    return (b"".join((head, *blobs)), len(head)) if blobs else (head, None)


def server_metadata(version: str) -> bytes:
    """Body of ``GET /v2``."""
    return _encode({"name": "seakeep", "version": version, "extensions": ["binary_tensor_data"]})


def model_metadata(version: LoadedVersion, numbers: Sequence[int]) -> bytes:
    """Body of ``GET /v2/models/{model}``; ``numbers`` are the versions loaded."""
    kinds = {"number": "FP64", "category": "BYTES"}
    inputs = [
        {"name": column.name, "datatype": kinds[column.kind], "shape": [-1]} for column in version.definition.columns
    ]
    outputs = [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS.items()]
    return _encode(
        {
            "name": version.model,
            "versions": [str(number) for number in numbers],
            "platform": "onnxruntime_onnx",
            "inputs": inputs,
            "outputs": outputs,
        }
    )


def _wanted(request: _Request) -> tuple[tuple[str, bool], ...]:
    default = bool(request.parameters and request.parameters.binary_data_output)
    if not request.outputs:
        return tuple((name, default) for name in OUTPUTS)
    unknown = next((output.name for output in request.outputs if output.name not in OUTPUTS), None)
    if unknown is not None or len({output.name for output in request.outputs}) < len(request.outputs):
        what = f"there is no output {unknown[:64]!r}" if unknown is not None else "an output is wanted twice"
        raise RequestError(400, what, hint=f"outputs: {', '.join(OUTPUTS)}")
    asked = ((output.name, output.parameters.binary_data if output.parameters else None) for output in request.outputs)
    return tuple((name, default if binary is None else binary) for name, binary in asked)


def _check_names(head: bytes, request: _Request) -> None:
    """Refuse objects in which a name stands twice; looks closely only if there are more of some name than were found."""
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
        or head.count(b'"binary_data') > settings
        or head.count(b'"id"') > 1
        or head.count(b"\\u")
    ):
        try:
            refuse_duplicates(head)
        except RowError as error:
            raise RequestError(400, error.message, hint=error.hint) from error


def _read_inputs(request: _Request, binary: bytes, version: LoadedVersion, max_rows: int) -> dict[str, NDArray[Any]]:
    kinds = {column.name: column.kind for column in version.definition.columns}
    columns: dict[str, NDArray[Any]] = {}
    at = 0
    for tensor in request.inputs:
        kind = kinds.get(tensor.name)
        if kind is None or tensor.name in columns:
            what = "is there twice" if tensor.name in columns else "is not an input of this model"
            raise RequestError(400, f"{tensor.name[:64]!r} {what}", hint=_HINT)
        rows = _rows_of(tensor, max_rows)
        size = tensor.parameters.binary_data_size if tensor.parameters else None
        if size is not None:
            if tensor.data is not msgspec.UNSET:
                raise _fault(tensor, "has both data and a binary size")
            if at + size > len(binary):
                raise _fault(tensor, f"is said to have {size} bytes, but {len(binary) - at} are left of the body")
            blob, at = binary[at : at + size], at + size
            columns[tensor.name] = _from_binary(tensor, kind, blob, rows)
        elif tensor.data is not msgspec.UNSET:
            columns[tensor.name] = _from_json(tensor, kind, tensor.data, rows)
        else:
            raise _fault(tensor, "has no data")
    if at != len(binary):
        raise RequestError(400, f"{len(binary) - at} bytes of the body belong to no input")
    missing = next((name for name in kinds if name not in columns), None)
    if missing is not None:
        raise RequestError(400, f"input {missing!r} is missing", hint=_HINT)
    if len({len(values) for values in columns.values()}) > 1:
        raise RequestError(400, "the inputs differ in their number of rows")
    return columns


def _rows_of(tensor: _Tensor, max_rows: int) -> int:
    shape = tensor.shape
    if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        raise _fault(tensor, f"has shape {list(shape[:8])}, not [n] or [n, 1]")
    if shape[0] > max_rows:
        raise RequestError(413, f"{shape[0]} rows are more than {max_rows}", hint="send several requests")
    return shape[0]


def _fault(tensor: _Tensor, what: str) -> RequestError:
    return RequestError(400, f"input {tensor.name[:64]!r} {what}", hint=_HINT)


def _datatype(tensor: _Tensor, kind: str) -> np.dtype[Any] | None:
    """The type of a number input's elements; None for BYTES."""
    if kind == "category":
        if tensor.datatype != "BYTES":
            raise _fault(tensor, f"is {tensor.datatype[:16]!r}, not BYTES")
        return None
    dtype = _DTYPES.get(tensor.datatype)
    if dtype is None:
        raise _fault(tensor, f"is {tensor.datatype[:16]!r}, not FP64 or another number type")
    return dtype


def _from_binary(tensor: _Tensor, kind: str, blob: bytes, rows: int) -> NDArray[Any]:
    dtype = _datatype(tensor, kind)
    if dtype is None:
        return _strings(tensor, blob, rows)
    if len(blob) != rows * dtype.itemsize:
        raise _fault(tensor, f"has {len(blob)} bytes, but its shape needs {rows * dtype.itemsize}")
    if dtype.kind == "b":
        if blob.translate(None, b"\x00\x01"):
            raise _fault(tensor, "has a BOOL that is neither 0 nor 1")
        return np.frombuffer(blob, dtype=dtype).astype(np.float64)
    return _exactly(tensor, np.frombuffer(blob, dtype=dtype))


def _strings(tensor: _Tensor, blob: bytes, rows: int) -> NDArray[np.object_]:
    """BYTES elements: each a little-endian 32-bit length and that many bytes of UTF-8."""
    found: list[str] = []
    at = 0
    try:
        while at < len(blob):
            (size,) = struct.unpack_from("<I", blob, at)
            at += 4 + size
            if at > len(blob) or len(found) == rows:
                raise _fault(tensor, "has lengths that do not fit its bytes and shape")
            found.append(blob[at - size : at].decode())
    except (struct.error, UnicodeDecodeError) as error:
        raise _fault(tensor, "has elements that are cut off or not UTF-8") from error
    if len(found) != rows:
        raise _fault(tensor, f"has {len(found)} elements, but its shape needs {rows}")
    return np.array(found, dtype=object)


def _from_json(tensor: _Tensor, kind: str, data: msgspec.Raw, rows: int) -> NDArray[Any]:
    dtype = _datatype(tensor, kind)
    cell = _cell(dtype)
    nested = len(tensor.shape) == 2 and bytes(memoryview(data)[1:].tobytes().lstrip()[:1]) == b"["
    wanted: Any = list[tuple[cell | None]] if nested else list[cell | None]  # type: ignore[valid-type]
    try:
        values: list[Any] = msgspec.json.decode(data, type=wanted)
    except UNREADABLE as error:
        raise _fault(tensor, f"has data that are not {tensor.datatype}: {reason(error)}") from error
    if nested:
        values = [value for (value,) in values]
    if len(values) != rows:
        raise _fault(tensor, f"has {len(values)} elements, but its shape needs {rows}")
    if dtype is None:
        return np.array(["" if value is None else value for value in values], dtype=object)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            numbers = np.array(values, dtype=np.float64).astype(dtype)  # None becomes NaN
        return _exactly(tensor, numbers)
    if any(value is not None and abs(value) > _EXACT for value in values):
        raise _fault(tensor, "has a whole number that float64 does not hold exactly")
    return np.array(values, dtype=np.float64)


def _cell(dtype: np.dtype[Any] | None) -> Any:
    if dtype is None:
        return str
    if dtype.kind == "f":
        return float
    if dtype.kind == "b":
        return bool
    limits = np.iinfo(dtype)
    top = min(int(limits.max), 2**63 - 1)
    return Annotated[int, msgspec.Meta(ge=int(limits.min), le=top)]


def _exactly(tensor: _Tensor, values: NDArray[Any]) -> NDArray[np.float64]:
    """Values as float64, which must hold them exactly; NaN is missing, and nothing is infinite."""
    numbers = values.astype(np.float64)
    if values.dtype.kind == "f":
        if np.isinf(numbers).any():
            raise _fault(tensor, "has an infinite number, or one too large for its type")
    elif values.itemsize == 8 and ((values > _EXACT) | (values < -_EXACT)).any():
        raise _fault(tensor, "has a whole number that float64 does not hold exactly")
    return numbers


def _beside(columns: list[NDArray[Any]], rows: int, dtype: Any) -> NDArray[Any]:
    matrix = np.empty((rows, len(columns)), dtype=dtype)
    for position, values in enumerate(columns):
        matrix[:, position] = values
    return matrix
