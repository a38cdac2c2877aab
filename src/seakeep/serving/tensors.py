"""Tensors become a model's inputs: the one reading of datatypes, shapes and limits, whatever carried them.

A model's inputs are its feature columns by name, so that any client of the protocol can ask it: a number column is FP64
(smaller and whole numbers are taken where float64 holds them exactly), a category column is BYTES. Shapes are ``[n]`` or
``[n, 1]``. Outputs are ``score``, FP64, and ``decision``, BOOL, of shape ``[n]``.

References
----------
KServe Open Inference Protocol, version 2, *Tensor data*; Triton's binary tensor data extension.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from seakeep.serving.errors import RequestError
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.v1 import UNREADABLE, RowAnswer, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTPUTS = {"score": "FP64", "decision": "BOOL"}
KINDS = {"number": "FP64", "category": "BYTES"}
"""The datatype that the metadata name for a column of each kind."""
MAX_TENSORS = 4096
PREDICTION_IDS = "prediction_ids"
"""The parameter of an answer that names its predictions."""
RUNG = "rung"
"""The parameter of an answer that tells what stood in for a full one; not there otherwise."""

_HINT = "see the model's metadata for its inputs"
_INTEGERS = {"INT8": "i1", "INT16": "i2", "INT32": "i4", "INT64": "i8", "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8"}  # fmt: skip
_FLOATS = {"FP16": "f2", "FP32": "f4", "FP64": "f8"}
DTYPES = {name: np.dtype(f"<{code}") for name, code in (_FLOATS | _INTEGERS | {"BOOL": "?"}).items()}
"""How the elements of each datatype lie in memory; BYTES is not among them."""
_EXACT = 2**53


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """One input as it was sent.

    Attributes
    ----------
    content
        JSON (``msgspec.Raw``), the elements' bytes, or a sequence of their values.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    content: msgspec.Raw | bytes | Sequence[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed request for inference.

    Attributes
    ----------
    numbers, categories
        float64 ``(n, numbers)`` with NaN for missing, and object ``(n, categories)`` with ``""``.
    outputs
        Names of the outputs wanted, each with whether it is wanted in binary form.
    timeout_us
        How long its client waits, microseconds; 0: it does not say.
    priority
        1 for the most urgent class, larger for others; 0: it does not say.
    """

    id: str
    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    outputs: tuple[tuple[str, bool], ...]
    timeout_us: int = 0
    priority: int = 0


def read_request(
    id_: str,
    tensors: Iterable[Tensor],
    wanted: Sequence[tuple[str, bool | None]],
    version: LoadedVersion,
    max_rows: int,
    *,
    binary: bool = False,
) -> InferRequest:
    """A request to a version.

    Parameters
    ----------
    wanted
        Names of the outputs asked for, each with whether it is wanted in binary form, or None; empty: all of them.
    binary
        Whether outputs for which nothing else is said are wanted in binary form.

    Raises
    ------
    RequestError
        The tensors are not the model's inputs, or an output is not one of its own.
    """
    columns = _read_columns(tensors, version, max_rows)
    rows = len(next(iter(columns.values()))) if columns else 0
    if not rows:
        raise RequestError(400, "there are no rows", hint=_HINT)
    return InferRequest(
        id=id_,
        numbers=_beside([columns[name] for name in version.numbers], rows, np.float64),
        categories=_beside([columns[name] for name in version.categories], rows, object),
        outputs=_outputs(wanted, binary=binary),
    )


def output_values(name: str, answers: Sequence[RowAnswer]) -> list[Any]:
    """The values of one output, in the order of the rows."""
    return [getattr(answer, name) for answer in answers]


def output_bytes(name: str, values: list[Any]) -> bytes:
    """An output's values in binary form."""
    return np.array(values, dtype=DTYPES[OUTPUTS[name]]).tobytes()


def prediction_ids(answers: Sequence[RowAnswer]) -> str:
    """The value of :data:`PREDICTION_IDS`."""
    return ",".join([answer.id for answer in answers])


def fault(name: str, what: str) -> RequestError:
    """What to tell a client about one of its tensors."""
    return RequestError(400, f"input {name[:64]!r} {what}", hint=_HINT)


def _outputs(wanted: Sequence[tuple[str, bool | None]], *, binary: bool) -> tuple[tuple[str, bool], ...]:
    if not wanted:
        return tuple((name, binary) for name in OUTPUTS)
    unknown = next((name for name, _ in wanted if name not in OUTPUTS), None)
    if unknown is not None or len(dict(wanted)) < len(wanted):
        what = f"there is no output {unknown[:64]!r}" if unknown is not None else "an output is wanted twice"
        raise RequestError(400, what, hint=f"outputs: {', '.join(OUTPUTS)}")
    return tuple((name, binary if asked is None else asked) for name, asked in wanted)


def _read_columns(tensors: Iterable[Tensor], version: LoadedVersion, max_rows: int) -> dict[str, NDArray[Any]]:
    kinds = {column.name: column.kind for column in version.definition.columns}
    columns: dict[str, NDArray[Any]] = {}
    for tensor in tensors:
        kind = kinds.get(tensor.name)
        if kind is None or tensor.name in columns:
            what = "is there twice" if tensor.name in columns else "is not an input of this model"
            raise RequestError(400, f"{tensor.name[:64]!r} {what}", hint=_HINT)
        rows = _rows_of(tensor, max_rows)
        dtype = _datatype(tensor, kind)
        if isinstance(tensor.content, bytes):
            columns[tensor.name] = _from_binary(tensor, dtype, tensor.content, rows)
        elif isinstance(tensor.content, msgspec.Raw):
            columns[tensor.name] = _from_json(tensor, dtype, tensor.content, rows)
        else:
            columns[tensor.name] = _from_values(tensor, dtype, tensor.content, rows)
    missing = next((name for name in kinds if name not in columns), None)
    if missing is not None:
        raise RequestError(400, f"input {missing!r} is missing", hint=_HINT)
    if len({len(values) for values in columns.values()}) > 1:
        raise RequestError(400, "the inputs differ in their number of rows")
    return columns


def _rows_of(tensor: Tensor, max_rows: int) -> int:
    shape = tensor.shape
    if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        raise fault(tensor.name, f"has shape {list(shape[:8])}, not [n] or [n, 1]")
    if shape[0] > max_rows:
        raise RequestError(413, f"{shape[0]} rows are more than {max_rows}", hint="send several requests")
    return shape[0]


def _datatype(tensor: Tensor, kind: str) -> np.dtype[Any] | None:
    """The type of a number input's elements; None for BYTES."""
    if kind == "category":
        if tensor.datatype != "BYTES":
            raise fault(tensor.name, f"is {tensor.datatype[:16]!r}, not BYTES")
        return None
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise fault(tensor.name, f"is {tensor.datatype[:16]!r}, not FP64 or another number type")
    return dtype


def _from_binary(tensor: Tensor, dtype: np.dtype[Any] | None, blob: bytes, rows: int) -> NDArray[Any]:
    if dtype is None:
        return _strings(tensor, blob, rows)
    if len(blob) != rows * dtype.itemsize:
        raise fault(tensor.name, f"has {len(blob)} bytes, but its shape needs {rows * dtype.itemsize}")
    if dtype.kind == "b":
        if blob.translate(None, b"\x00\x01"):
            raise fault(tensor.name, "has a BOOL that is neither 0 nor 1")
        return np.frombuffer(blob, dtype=dtype).astype(np.float64)
    return _exactly(tensor, np.frombuffer(blob, dtype=dtype))


def _strings(tensor: Tensor, blob: bytes, rows: int) -> NDArray[np.object_]:
    """BYTES elements: each a little-endian 32-bit length and that many bytes of UTF-8."""
    found: list[str] = []
    at = 0
    try:
        while at < len(blob):
            (size,) = struct.unpack_from("<I", blob, at)
            at += 4 + size
            if at > len(blob) or len(found) == rows:
                raise fault(tensor.name, "has lengths that do not fit its bytes and shape")
            found.append(blob[at - size : at].decode())
    except (struct.error, UnicodeDecodeError) as error:
        raise fault(tensor.name, "has elements that are cut off or not UTF-8") from error
    _check_count(tensor, len(found), rows)
    return np.array(found, dtype=object)


def _from_json(tensor: Tensor, dtype: np.dtype[Any] | None, data: msgspec.Raw, rows: int) -> NDArray[Any]:
    cell = _cell(dtype)
    nested = len(tensor.shape) == 2 and bytes(memoryview(data)[1:].tobytes().lstrip()[:1]) == b"["
    wanted: Any = list[tuple[cell | None]] if nested else list[cell | None]  # type: ignore[valid-type]
    try:
        values: list[Any] = msgspec.json.decode(data, type=wanted)
    except UNREADABLE as error:
        raise fault(tensor.name, f"has data that are not {tensor.datatype}: {reason(error)}") from error
    if nested:
        values = [value for (value,) in values]
    _check_count(tensor, len(values), rows)
    if dtype is None:
        return np.array(["" if value is None else value for value in values], dtype=object)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            numbers = np.array(values, dtype=np.float64).astype(dtype)  # None becomes NaN
        return _exactly(tensor, numbers)
    if any(value is not None and abs(value) > _EXACT for value in values):
        raise fault(tensor.name, "has a whole number that float64 does not hold exactly")
    return np.array(values, dtype=np.float64)


def _from_values(tensor: Tensor, dtype: np.dtype[Any] | None, values: Sequence[Any], rows: int) -> NDArray[Any]:
    """Elements that are Python's already; each BYTES element is UTF-8."""
    _check_count(tensor, len(values), rows)
    if dtype is None:
        try:
            return np.array([value.decode() for value in values], dtype=object)
        except UnicodeDecodeError as error:
            raise fault(tensor.name, "has elements that are not UTF-8") from error
    try:
        return _exactly(tensor, np.array(list(values), dtype=dtype))
    except OverflowError as error:
        raise fault(tensor.name, f"has a number that is not {tensor.datatype}") from error


def _check_count(tensor: Tensor, found: int, rows: int) -> None:
    if found != rows:
        raise fault(tensor.name, f"has {found} elements, but its shape needs {rows}")


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


def _exactly(tensor: Tensor, values: NDArray[Any]) -> NDArray[np.float64]:
    """Values as float64, which must hold them exactly; NaN is missing, and nothing is infinite."""
    numbers = values.astype(np.float64)
    if values.dtype.kind == "f":
        if np.isinf(numbers).any():
            raise fault(tensor.name, "has an infinite number, or one too large for its type")
    elif values.itemsize == 8 and ((values > _EXACT) | (values < -_EXACT)).any():
        raise fault(tensor.name, "has a whole number that float64 does not hold exactly")
    return numbers


def _beside(columns: list[NDArray[Any]], rows: int, dtype: Any) -> NDArray[Any]:
    matrix = np.empty((rows, len(columns)), dtype=dtype)
    for position, values in enumerate(columns):
        matrix[:, position] = values
    return matrix
