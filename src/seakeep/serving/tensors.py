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

_HINT = "see the model's metadata for its inputs"
_INTEGERS = {"INT8": "i1", "INT16": "i2", "INT32": "i4", "INT64": "i8", "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8"}  # fmt: skip
_FLOATS = {"FP16": "f2", "FP32": "f4", "FP64": "f8"}
DTYPES = {name: np.dtype(f"<{code}") for name, code in (_FLOATS | _INTEGERS | {"BOOL": "?"}).items()}
"""How the elements of each datatype lie in memory; BYTES is not among them."""
_FP64 = DTYPES["FP64"]
_EXACT = 2**53


class Tensor(msgspec.Struct, frozen=True):
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
    """

    id: str
    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    outputs: tuple[tuple[str, bool], ...]


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
    columns, rows = _read_columns(tensors, version, max_rows)
    if not rows:
        raise RequestError(400, "there are no rows", hint=_HINT)
    return InferRequest(
        id=id_,
        numbers=_numbers(columns, version.numbers, rows),
        categories=_categories(columns, version.categories, rows),
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


_Column = Any
"""Values of an input: an array of ``n``, or the bytes of as many FP64."""


def _read_columns(
    tensors: Iterable[Tensor], version: LoadedVersion, max_rows: int
) -> tuple[dict[str, _Column], int]:
    """The inputs by name, and their number of rows."""
    kinds = version.kinds
    columns: dict[str, _Column] = {}
    sizes: set[int] = set()
    for tensor in tensors:
        name, content = tensor.name, tensor.content
        kind = kinds.get(name)
        if kind is None or name in columns:
            what = "is there twice" if name in columns else "is not an input of this model"
            raise RequestError(400, f"{name[:64]!r} {what}", hint=_HINT)
        found = _rows_of(tensor, max_rows)
        dtype = _datatype(tensor, kind)
        if isinstance(content, bytes):
            columns[name] = _from_binary(tensor, dtype, content, found)
        elif isinstance(content, msgspec.Raw):
            columns[name] = _from_json(tensor, dtype, content, found)
        else:
            columns[name] = _from_values(tensor, dtype, content, found)
        sizes.add(found)
    missing = next((name for name in kinds if name not in columns), None)
    if missing is not None:
        raise RequestError(400, f"input {missing!r} is missing", hint=_HINT)
    if len(sizes) > 1:
        raise RequestError(400, "the inputs differ in their number of rows")
    return columns, sizes.pop() if sizes else 0


def _rows_of(tensor: Tensor, max_rows: int) -> int:
    shape = tensor.shape
    if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        raise fault(tensor.name, f"has shape {list(shape[:8])}, not [n] or [n, 1]")
    rows = shape[0]
    if rows < 0:
        raise fault(tensor.name, f"has shape {list(shape)}, with a negative size")
    if rows > max_rows:
        raise RequestError(413, f"{rows} rows are more than {max_rows}", hint="send several requests")
    return rows


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


def _from_binary(tensor: Tensor, dtype: np.dtype[Any] | None, blob: bytes, rows: int) -> _Column:
    if dtype is None:
        return _strings(tensor, blob, rows)
    if len(blob) != rows * dtype.itemsize:
        raise fault(tensor.name, f"has {len(blob)} bytes, but its shape needs {rows * dtype.itemsize}")
    if dtype is _FP64:
        return blob
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
    """Values as float64, which must hold them exactly."""
    if values.dtype.kind != "f" and values.itemsize == 8 and ((values > _EXACT) | (values < -_EXACT)).any():
        raise fault(tensor.name, "has a whole number that float64 does not hold exactly")
    return values.astype(np.float64)


def _numbers(columns: dict[str, _Column], names: Sequence[str], rows: int) -> NDArray[np.float64]:
    """Columns beside one another, looked at together: NaN is missing, and nothing is infinite."""
    sent = [columns[name] for name in names]
    if all([type(values) is bytes for values in sent]):
        matrix: NDArray[np.float64] = np.frombuffer(b"".join(sent), _FP64).reshape(len(sent), rows).T.copy()
    else:
        matrix = np.empty((rows, len(sent)))
        for position, values in enumerate(sent):
            matrix[:, position] = np.frombuffer(values, _FP64) if isinstance(values, bytes) else values
    infinite = np.isinf(matrix)
    if infinite.any():
        name = names[int(infinite.any(axis=0).argmax())]
        raise fault(name, "has an infinite number, or one too large for its type")
    return matrix


def _categories(columns: dict[str, _Column], names: Sequence[str], rows: int) -> NDArray[np.object_]:
    matrix = np.empty((rows, len(names)), dtype=object)
    for position, name in enumerate(names):
        matrix[:, position] = columns[name]
    return matrix
