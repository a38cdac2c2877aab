"""A small ONNX graph builder, and the columns that travel through it.

A row that the estimator would refuse (an infinite number in a scaler, a missing one in a linear model) scores NaN:
steps report such rows with :meth:`Graph.refuse`, and the score carries them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from seakeep.conversion.session import CATEGORIES, NUMBERS, SCORE
from seakeep.records.feature import FeatureKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPSET = 21
_ML_OPSET = 5
_IR_VERSION = 10
ML = "ai.onnx.ml"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a column's values come from, so that a split of a tree can be told in terms of the model's inputs.

    Attributes
    ----------
    position
        Index of the input among the number inputs or among the category inputs.
    scale, shift
        A number input ``x`` reaches the column as the value ``v`` with ``x = v * scale + shift`` (up to rounding).
    choices
        The input's values that matter, where the column depends on which one it is rather than on how large it is.
    """

    kind: FeatureKind
    position: int
    scale: float = 1.0
    shift: float = 0.0
    choices: tuple[str | float, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table: column ``position`` of a tensor ``(n, k)``.

    Attributes
    ----------
    codes, default
        If ``codes`` is not ``None``, the tensor holds text and the column is the number ``codes`` gives each text
        (``default`` for others). The mapping is emitted where the column is used, so that mappings compose.
    """

    name: str
    tensor: str
    position: int
    kind: FeatureKind
    origin: Origin | None
    codes: Mapping[str, float] | None = None
    default: float = np.nan


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """What one step hands to the next.

    Attributes
    ----------
    sparse
        Whether scikit-learn holds it as a sparse matrix there, which changes what some estimators refuse.
    """

    columns: tuple[Column, ...]
    sparse: bool = False


class Graph:
    """Builds one model.

    Parameters
    ----------
    names
        Names of the inputs, in the model's order.
    kinds
        Their kinds.
    """

    def __init__(self, names: Sequence[str], kinds: Sequence[FeatureKind]) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._made: dict[tuple[Any, ...], str] = {}
        self._refusals: list[str] = []
        self._width = {NUMBERS: kinds.count("number"), CATEGORIES: kinds.count("category")}
        columns = []
        seen = dict.fromkeys(self._width, 0)
        for name, kind in zip(names, kinds, strict=True):
            tensor = NUMBERS if kind == "number" else CATEGORIES
            origin = Origin(kind=kind, position=seen[tensor])
            columns.append(Column(name=name, tensor=tensor, position=seen[tensor], kind=kind, origin=origin))
            seen[tensor] += 1
        self.inputs = Table(tuple(columns))

    def constant(self, array: NDArray[Any]) -> str:
        """The name of an initialiser that holds ``array``."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._made:
            self._made[key] = f"c{len(self._constants)}"
            self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), self._made[key]))
        return self._made[key]

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        output = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def new_columns(self, tensor: str, like: Sequence[Column]) -> tuple[Column, ...]:
        """The columns of a fresh number tensor ``(n, len(like))`` that keep the names and origins of ``like``."""
        self._width[tensor] = len(like)
        return tuple(
            Column(name=column.name, tensor=tensor, position=i, kind="number", origin=column.origin)
            for i, column in enumerate(like)
        )

    def matrix(self, columns: Sequence[Column]) -> str:
        """A double tensor ``(n, len(columns))`` of number columns."""
        parts = []
        for (tensor, coded), run in itertools.groupby(columns, key=lambda c: (c.tensor, c.codes is not None)):
            if coded:
                parts += [self._coded(column) for column in run]
            else:
                parts.append(self._gather(tensor, [column.position for column in run]))
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def refuse(self, marks: str) -> None:
        """Give rows with a NaN in ``marks``, double ``(n, k)``, the score NaN; other elements of it must be 0."""
        axis = self.constant(np.array([1], dtype=np.int64))
        self._refusals.append(self.node("ReduceSum", marks, axis, keepdims=1))

    def refuse_infinite(self, matrix: str) -> None:
        """Refuse rows with an infinite element."""
        nan, zero = self.constant(np.array(np.nan)), self.constant(np.array(0.0))
        self.refuse(self.node("Where", self.node("IsInf", matrix), nan, zero))

    def refuse_nonfinite(self, matrix: str) -> None:
        """Refuse rows with an infinite or missing element: ``x - x`` is 0 for all others."""
        self.refuse(self.node("Sub", matrix, matrix))

    def settle(self, score: str) -> str:
        """``score``, double ``(n, 1)``, or NaN in the rows refused so far."""
        for refusal in self._refusals:
            score = self.node("Add", score, refusal)
        self._refusals = []
        return score

    def model(self, output: str, columns: int | None = None) -> bytes:
        """The serialised model that gives ``output``: ``(n, columns)``, or ``score (n,)`` without ``columns``."""
        shape: list[int | None] = [None] if columns is None else [None, columns]
        last = (
            helper.make_node("Squeeze", [output, self.constant(np.array([1], dtype=np.int64))], [SCORE])
            if columns is None
            else helper.make_node("Identity", [output], [SCORE])
        )
        inputs = [
            helper.make_tensor_value_info(name, kind, [None, self._width[name]])
            for name, kind in ((NUMBERS, TensorProto.DOUBLE), (CATEGORIES, TensorProto.STRING))
            if self._width[name]
        ]
        graph = helper.make_graph(
            [*self._nodes, last],
            "seakeep",
            inputs,
            [helper.make_tensor_value_info(SCORE, TensorProto.DOUBLE, shape)],
            initializer=self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(ML, _ML_OPSET)],
            ir_version=_IR_VERSION,
            producer_name="seakeep",
        )
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised

    def _gather(self, tensor: str, positions: list[int]) -> str:
        if positions == list(range(self._width[tensor])):
            return tensor
        key = ("gather", tensor, tuple(positions))
        if key not in self._made:
            index = self.constant(np.array(positions, dtype=np.int64))
            self._made[key] = self.node("Gather", tensor, index, axis=1)
        return self._made[key]

    def _coded(self, column: Column) -> str:
        codes = column.codes or {}
        keys = list(codes)
        return self.node(
            "LabelEncoder",
            self._gather(column.tensor, [column.position]),
            domain=ML,
            keys_tensor=texts("keys", keys),
            values_tensor=helper.make_tensor("values", TensorProto.DOUBLE, [len(keys)], list(codes.values())),
            default_tensor=helper.make_tensor("default", TensorProto.DOUBLE, [1], [column.default]),
        )


def texts(name: str, values: Sequence[str]) -> TensorProto:
    """A string tensor ``(len(values),)``, for an attribute."""
    return numpy_helper.from_array(np.array(values, dtype=object), name)
