"""Tensors become a model's inputs: the one reading of datatypes, shapes and limits, whatever carried them.

A model's inputs are its feature columns by name, so that any client of the protocol can ask it: a number column is FP64
(smaller and whole numbers are taken where float64 holds them exactly), a category column is BYTES. Shapes are ``[n]`` or
``[n, 1]``. Outputs are ``score``, FP64, and ``decision``, BOOL, or of a number ``value``,
FP64; of shape ``[n]``. Of a model of classes they are ``class``, BYTES ``[n]``, and ``probabilities``, FP64 ``[n, classes]``, in
the declared order of the classes, row by row.

References
----------
KServe Open Inference Protocol, version 2, *Tensor data*; Triton's binary tensor data extension.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec
import numpy as np

from seakeep.serving.errors import RequestError
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.v1 import UNREADABLE, Answer, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTPUTS = {"score": "FP64", "decision": "BOOL", "value": "FP64", "class": "BYTES", "probabilities": "FP64"}
"""Every output and its datatype."""
OUTPUTS_OF: dict[str, tuple[str, ...]] = {
    "probability": ("score", "decision"),
    "probabilities": ("class", "probabilities"),
    "value": ("value",),
}
"""The outputs of a model by what it answers (:class:`seakeep.records.outputs.Outputs`)."""
PROBABILITIES = "probabilities"
"""The output of several numbers a row."""
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
_FP64 = DTYPES["FP64"]
_EXACT = 2**53
_LARGE_BYTES = 512 * 1024
"""Above this size the elements of a tensor in JSON are counted before they are kept: each takes some 30 bytes."""
_LAYOUTS = 64
"""Layouts that are remembered of a version."""
_columns = msgspec.json.Decoder(list[list[float | None]])


class Head(Protocol):
    """What is said of an input before its elements."""

    @property
    def name(self) -> str:
        """Whose input it is."""
        ...

    @property
    def datatype(self) -> str:
        """Of its elements."""
        ...

    @property
    def shape(self) -> Sequence[int]:
        """How many elements, in each dimension."""
        ...


Content = msgspec.Raw | bytes | Sequence[Any]
"""The elements of an input: JSON, their bytes, or their values."""


class Column(msgspec.Struct, frozen=True):
    """An input that may be one.

    Attributes
    ----------
    dtype
        Of its elements; None for BYTES.
    nested
        Whether its shape is ``[n, 1]``.
    """

    name: str
    datatype: str
    dtype: np.dtype[Any] | None
    rows: int
    nested: bool


class Layout(msgspec.Struct, frozen=True):
    """The heads of a request's inputs, found to be those of a version.

    Attributes
    ----------
    columns
        In the order in which they were sent.
    numbers, categories
        Where the version's number and category inputs, in its order, are among them.
    plain
        Whether all numbers are FP64.
    flat
        Whether all their shapes are ``[n]``.
    outputs
        What the version can be asked for.
    """

    rows: int
    columns: tuple[Column, ...]
    numbers: tuple[int, ...]
    categories: tuple[int, ...]
    plain: bool
    flat: bool
    outputs: tuple[str, ...] = OUTPUTS_OF["probability"]


class InferRequest(msgspec.Struct, frozen=True, eq=False):
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


def layout_of(heads: Iterable[Head], version: LoadedVersion, max_rows: int) -> Layout:
    """What a version is asked with inputs of these heads.

    Raises
    ------
    RequestError
        They are not its inputs.
    """
    kinds = version.kinds
    places: dict[str, int] = {}
    columns: list[Column] = []
    for head in heads:
        name = head.name
        kind = kinds.get(name)
        if kind is None or name in places:
            what = "is there twice" if name in places else "is not an input of this model"
            raise RequestError(400, f"{name[:64]!r} {what}", hint=_HINT)
        places[name] = len(columns)
        rows = _rows_of(head, max_rows)
        columns.append(Column(name, head.datatype, _dtype(head, kind), rows, len(head.shape) == 2))
    missing = next((name for name in kinds if name not in places), None)
    if missing is not None:
        raise RequestError(400, f"input {missing!r} is missing", hint=_HINT)
    rows = columns[0].rows if columns else 0
    other = next((column for column in columns if column.rows != rows), None)
    if other is not None:
        told = f"{columns[0].name!r} has {rows}, {other.name!r} has {other.rows}"
        raise RequestError(400, f"the inputs differ in their number of rows: {told}")
    if not rows:
        raise RequestError(400, "there are no rows", hint=_HINT)
    return Layout(
        rows=rows,
        columns=tuple(columns),
        numbers=tuple(places[name] for name in version.numbers),
        categories=tuple(places[name] for name in version.categories),
        plain=all(columns[places[name]].dtype is _FP64 for name in version.numbers),
        flat=not any(columns[places[name]].nested for name in version.numbers),
        outputs=OUTPUTS_OF[version.outputs.kind],
    )


def recalled(said: Hashable, version: LoadedVersion, max_rows: int) -> Layout | None:
    """The layout of heads that were read before, if it is remembered: clients say the same of their inputs each time.

    Parameters
    ----------
    said
        The heads, as their transport has them.
    """
    layout: Layout | None = version.memory.get(said)
    return layout if layout is not None and layout.rows <= max_rows else None


def remember(said: Hashable, version: LoadedVersion, layout: Layout) -> None:
    """Keep what heads were found to say, for :func:`recalled`; they are kept, too, and so must not be large."""
    if len(version.memory) >= _LAYOUTS:
        version.memory.clear()
    version.memory[said] = layout


def read_request(
    id_: str,
    layout: Layout,
    contents: Sequence[Content],
    wanted: Sequence[tuple[str, bool | None]],
    *,
    binary: bool = False,
) -> InferRequest:
    """A request to the version that its inputs were laid out for.

    Parameters
    ----------
    contents
        Of the inputs, in the order in which they were sent.
    wanted
        Names of the outputs asked for, each with whether it is wanted in binary form, or None; empty: all of them.
    binary
        Whether outputs for which nothing else is said are wanted in binary form.

    Raises
    ------
    RequestError
        The contents do not fit their heads, or an output is not one of the model's.
    """
    return InferRequest(
        id=id_,
        numbers=_numbers(layout, contents),
        categories=_categories(layout, contents),
        outputs=_outputs(wanted, layout.outputs, binary=binary),
    )


def output_values(name: str, answers: Sequence[Answer]) -> list[Any]:
    """The values of one output, in the order of the rows; of several a row those of the first row come first."""
    if name == PROBABILITIES:
        return [value for answer in answers for value in answer.probabilities.values()]  # type: ignore[union-attr]
    attribute = "answer" if name == "class" else name
    return [getattr(answer, attribute) for answer in answers]


def output_shape(name: str, answers: Sequence[Answer], values: list[Any]) -> list[int]:
    """The shape of an output with these values."""
    rows = len(answers)
    return [rows, len(values) // rows] if name == PROBABILITIES else [rows]


def output_bytes(name: str, values: list[Any]) -> bytes:
    """An output's values in binary form."""
    if OUTPUTS[name] == "BYTES":
        return b"".join(struct.pack("<I", len(one)) + one for one in map(str.encode, values))
    return np.array(values, dtype=DTYPES[OUTPUTS[name]]).tobytes()


def prediction_ids(answers: Sequence[Answer]) -> str:
    """The value of :data:`PREDICTION_IDS`."""
    return ",".join([answer.id for answer in answers])


def fault(name: str, what: str) -> RequestError:
    """What to tell a client about one of its tensors."""
    return RequestError(400, f"input {name[:64]!r} {what}", hint=_HINT)


def _outputs(
    wanted: Sequence[tuple[str, bool | None]], given: tuple[str, ...], *, binary: bool
) -> tuple[tuple[str, bool], ...]:
    if not wanted:
        return tuple((name, binary) for name in given)
    unknown = next((name for name, _ in wanted if name not in given), None)
    if unknown is not None or len(dict(wanted)) < len(wanted):
        what = f"there is no output {unknown[:64]!r}" if unknown is not None else "an output is wanted twice"
        raise RequestError(400, what, hint=f"outputs: {', '.join(given)}")
    return tuple((name, binary if asked is None else asked) for name, asked in wanted)


def _rows_of(head: Head, max_rows: int) -> int:
    shape = head.shape
    if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        raise fault(head.name, f"has shape {list(shape[:8])}, not [n] or [n, 1]")
    if shape[0] < 0:
        raise fault(head.name, f"has shape {list(shape)}, with a negative size")
    if shape[0] > max_rows:
        raise RequestError(413, f"{shape[0]} rows are more than {max_rows}", hint="send several requests")
    return shape[0]


def _dtype(head: Head, kind: str) -> np.dtype[Any] | None:
    """The type of a number input's elements; None for BYTES."""
    if kind == "category":
        if head.datatype != "BYTES":
            raise fault(head.name, f"is {head.datatype[:16]!r}, not BYTES")
        return None
    dtype = DTYPES.get(head.datatype)
    if dtype is None:
        raise fault(head.name, f"is {head.datatype[:16]!r}, not FP64 or another number type")
    return dtype


def _numbers(layout: Layout, contents: Sequence[Content]) -> NDArray[np.float64]:
    """The numbers, float64 ``(n, numbers)``: NaN is missing, and nothing is infinite."""
    matrix = _at_once(layout, [contents[place] for place in layout.numbers])
    if matrix is None:
        matrix = np.empty((layout.rows, len(layout.numbers)))
        for position, place in enumerate(layout.numbers):
            matrix[:, position] = _elements(layout.columns[place], contents[place])
    infinite = np.isinf(matrix)
    if infinite.any():
        column = layout.columns[layout.numbers[int(infinite.any(axis=0).argmax())]]
        raise fault(column.name, "has an infinite number, or one too large for its type")
    return matrix


def _at_once(layout: Layout, sent: list[Content]) -> NDArray[np.float64] | None:
    """FP64 that came in one form, of all inputs together; None: each is to be looked at, and may be at fault."""
    if not layout.plain:
        return None
    rows = layout.rows
    blobs = [one for one in sent if isinstance(one, bytes) and len(one) == rows * _FP64.itemsize]
    if len(blobs) == len(sent):
        return np.frombuffer(b"".join(blobs), _FP64).reshape(len(sent), rows).T.copy()
    texts = [one for one in sent if isinstance(one, msgspec.Raw)]
    if layout.flat and len(texts) == len(sent) and sum(map(len, texts)) <= _LARGE_BYTES:
        try:
            values = _columns.decode(b"[" + b",".join(texts) + b"]")  # each is a whole value: it was parsed before
        except UNREADABLE:
            return None
        if [len(column) for column in values] == [rows] * len(sent):
            cells = list(itertools.chain.from_iterable(values))
            return np.array(cells, dtype=np.float64).reshape(len(sent), rows).T.copy()  # None becomes NaN
    return None


def _categories(layout: Layout, contents: Sequence[Content]) -> NDArray[np.object_]:
    """The categories, object ``(n, categories)``: ``""`` is missing."""
    matrix = np.empty((layout.rows, len(layout.categories)), dtype=object)
    for position, place in enumerate(layout.categories):
        matrix[:, position] = _elements(layout.columns[place], contents[place])
    return matrix


def _elements(column: Column, content: Content) -> NDArray[Any]:
    if isinstance(content, bytes):
        return _from_binary(column, content)
    if isinstance(content, msgspec.Raw):
        return _from_json(column, content)
    return _from_values(column, content)


def _from_binary(column: Column, blob: bytes) -> NDArray[Any]:
    dtype = column.dtype
    if dtype is None:
        return _strings(column, blob)
    if len(blob) != column.rows * dtype.itemsize:
        raise fault(column.name, f"has {len(blob)} bytes, but its shape needs {column.rows * dtype.itemsize}")
    if dtype.kind == "b" and blob.translate(None, b"\x00\x01"):
        raise fault(column.name, "has a BOOL that is neither 0 nor 1")
    return _exactly(column, np.frombuffer(blob, dtype=dtype))


def _strings(column: Column, blob: bytes) -> NDArray[np.object_]:
    """BYTES elements: each a little-endian 32-bit length and that many bytes of UTF-8."""
    found: list[str] = []
    at = 0
    try:
        while at < len(blob):
            (size,) = struct.unpack_from("<I", blob, at)
            at += 4 + size
            if at > len(blob) or len(found) == column.rows:
                raise fault(column.name, "has lengths that do not fit its bytes and shape")
            found.append(blob[at - size : at].decode())
    except (struct.error, UnicodeDecodeError) as error:
        raise fault(column.name, "has elements that are cut off or not UTF-8") from error
    _check_count(column, len(found))
    return np.array(found, dtype=object)


def _from_json(column: Column, data: msgspec.Raw) -> NDArray[Any]:
    dtype = column.dtype
    sent = memoryview(data)
    rows = column.rows
    if sent.nbytes > _LARGE_BYTES and dtype is not None and sent.tobytes().count(b",") >= rows:  # before any is kept
        raise fault(column.name, f"has more elements than its shape needs, {rows}")
    nested = column.nested and sent[1:].tobytes().lstrip()[:1] == b"["
    try:
        values: list[Any] = _decoder(dtype, nested=nested).decode(data)
    except UNREADABLE as error:
        raise fault(column.name, f"has data that are not {column.datatype}: {reason(error)}") from error
    if nested:
        values = [value for (value,) in values]
    _check_count(column, len(values))
    if dtype is None:
        return np.array(["" if value is None else value for value in values], dtype=object)
    if dtype.kind == "f":
        numbers = np.array(values, dtype=np.float64)  # None becomes NaN
        if dtype.itemsize < numbers.itemsize:
            with np.errstate(over="ignore"):
                numbers = numbers.astype(dtype).astype(np.float64)
        return numbers
    if any(value is not None and abs(value) > _EXACT for value in values):
        raise fault(column.name, "has a whole number that float64 does not hold exactly")
    return np.array(values, dtype=np.float64)


def _from_values(column: Column, values: Sequence[Any]) -> NDArray[Any]:
    """Elements that are Python's already; each BYTES element is UTF-8."""
    dtype = column.dtype
    _check_count(column, len(values))
    if dtype is None:
        try:
            return np.array([value.decode() for value in values], dtype=object)
        except UnicodeDecodeError as error:
            raise fault(column.name, "has elements that are not UTF-8") from error
    try:
        return _exactly(column, np.array(list(values), dtype=dtype))
    except OverflowError as error:
        raise fault(column.name, f"has a number that is not {column.datatype}") from error


def _check_count(column: Column, found: int) -> None:
    if found != column.rows:
        raise fault(column.name, f"has {found} elements, but its shape needs {column.rows}")


@functools.cache
def _decoder(dtype: np.dtype[Any] | None, *, nested: bool) -> msgspec.json.Decoder[Any]:
    cell = _cell(dtype) | None
    wanted: Any = list[tuple[cell]] if nested else list[cell]  # type: ignore[valid-type]
    return msgspec.json.Decoder(wanted)


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


def _exactly(column: Column, values: NDArray[Any]) -> NDArray[np.float64]:
    """Values as float64, which must hold them exactly."""
    if values.dtype.kind != "f" and values.itemsize == 8 and ((values > _EXACT) | (values < -_EXACT)).any():
        raise fault(column.name, "has a whole number that float64 does not hold exactly")
    return values.astype(np.float64)
