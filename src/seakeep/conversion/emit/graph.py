"""A small ONNX graph builder.

A row that the estimator would refuse (an infinite number in a scaler, a missing one in a linear model) scores NaN:
steps report such rows with :meth:`Graph.refuse`, and the score carries them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from seakeep.conversion.emit.column import Column, Origin, Table
from seakeep.conversion.emit.forest import Forest
from seakeep.conversion.session import CATEGORIES, NUMBERS, SCORE, TERMS, TEXTS
from seakeep.conversion.terms import Analyses, Analysis
from seakeep.records.feature import FeatureKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPSET = 21
_ML_OPSET = 5
_IR_VERSION = 10
ML = "ai.onnx.ml"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A matrix product with fitted coefficients.

    Attributes
    ----------
    output, matrix, weights
        Names of the tensors: ``output = matrix @ weights``.
    width
        Columns of the matrix.
    """

    output: str
    matrix: str
    weights: str
    width: int


class Graph:
    """Builds one model.

    Parameters
    ----------
    names
        Names of the inputs, in the model's order.
    kinds
        Their kinds.

    Attributes
    ----------
    forests
        What trees were emitted, by the tensor that depends on them: those a proof tries the splits of.
    products
        What matrix products were emitted: those a proof changes the coefficients of.
    flat
        Whether some function of the model is constant in places, so that a small change before it may not show.
    analyses
        How texts are split, by column of the input of terms.
    doubts
        Tensors ``(n, 1)``, 1 in rows to which rounding may give either of two answers, which are no estimator's fault.
    """

    def __init__(self, names: Sequence[str], kinds: Sequence[FeatureKind]) -> None:
        self.forests: dict[str, Forest] = {}
        self.products: list[Product] = []
        self.flat = False
        self.doubts: list[str] = []
        self.analyses: list[Analysis] = []
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
        """Add a node of one output and return the output's name; equal nodes are made once."""
        plain = all(isinstance(value, (int, float, str)) for value in attributes.values())
        key = (operator, inputs, domain, *attributes.items()) if plain else ()
        if key and key in self._made:
            return self._made[key]
        output = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        if key:
            self._made[key] = output
        return output

    def nodes(self, operator: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node of several outputs and return their names."""
        outputs = [f"t{len(self._nodes)}_{i}" for i in range(count)]
        self._nodes.append(helper.make_node(operator, list(inputs), outputs, **attributes))
        return outputs

    def number(self, value: float) -> str:
        """A constant number."""
        return self.constant(np.array(float(value)))

    def row(self, values: Any) -> str:
        """A constant ``(1, k)``, to be combined with every row of a matrix."""
        return self.constant(np.asarray(values, dtype=np.float64).reshape(1, -1))

    def take(self, tensor: str, positions: Sequence[int]) -> str:
        """Some columns of a tensor ``(n, k)``."""
        return self.node("Gather", tensor, self.constant(np.array(positions, dtype=np.int64)), axis=1)

    def beside(self, tensors: Sequence[str]) -> str:
        """Tensors ``(n, k)`` side by side."""
        return tensors[0] if len(tensors) == 1 else self.node("Concat", *tensors, axis=1)

    def shape(self, tensor: str, *sizes: int) -> str:
        """The tensor in another shape; -1 stands for what is left."""
        return self.node("Reshape", tensor, self.constant(np.array(sizes, dtype=np.int64)))

    def double(self, flags: str) -> str:
        """Truth values as 0 and 1, or other numbers in double."""
        return self.node("Cast", flags, to=TensorProto.DOUBLE)

    def rows(self, width: int) -> str:
        """The shape ``(n, width)``, to expand constants to."""
        used = next(name for name in (NUMBERS, CATEGORIES) if self._width[name])
        count = self.node("Shape", used, start=0, end=1)
        return self.node("Concat", count, self.constant(np.array([width], dtype=np.int64)), axis=0)

    def product(self, matrix: str, weights: NDArray[Any]) -> str:
        """``matrix @ weights``, with ``weights`` ``(d, k)`` fitted; a row's bits do not depend on its batch."""
        weights = np.asarray(weights, dtype=np.float64)
        constant = self.constant(weights)
        output = self.node("MatMul", matrix, constant)
        found = Product(output=output, matrix=matrix, weights=constant, width=len(weights))
        if found not in self.products:
            self.products.append(found)
        return output

    def total(self, matrix: str, width: int) -> str:
        """Sums of the rows of a matrix of ``width`` columns, ``(n, 1)``; the engine's own sum depends on the batch."""
        return matrix if width == 1 else self.node("MatMul", matrix, self.constant(np.ones((width, 1))))

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
        return self.beside(parts)

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

    def settle(self, output: str) -> str:
        """``output``, double ``(n, k)``, or NaN in the rows that any step refuses."""
        for refusal in dict.fromkeys(self._refusals):
            output = self.node("Add", output, refusal)
        return output

    def model(self, output: str, width: int, *, flat: bool, about: Mapping[str, str] | None = None) -> bytes:
        """The serialised model that gives ``output``, ``(n, width)``, without what it does not need.

        Parameters
        ----------
        flat
            Whether the one column is given as ``(n,)``.
        about
            What the model says about itself.
        """
        last = (
            helper.make_node("Squeeze", [output, self.constant(np.array([1], dtype=np.int64))], [SCORE])
            if flat
            else helper.make_node("Identity", [output], [SCORE])
        )
        nodes, constants = self._needed(last)
        inputs = [
            helper.make_tensor_value_info(name, kind, [None, self._width[name]])
            for name, kind in ((NUMBERS, TensorProto.DOUBLE), (CATEGORIES, TensorProto.STRING))
            if self._width[name]
        ]
        about = dict(about or {})
        if self.analyses:
            inputs.append(helper.make_tensor_value_info(TERMS, TensorProto.STRING, [None, len(self.analyses)]))
            about[TEXTS] = msgspec.json.encode(Analyses(analyses=tuple(self.analyses))).decode()
        graph = helper.make_graph(
            nodes,
            "seakeep",
            inputs,
            [helper.make_tensor_value_info(SCORE, TensorProto.DOUBLE, [None] if flat else [None, width])],
            initializer=constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(ML, _ML_OPSET)],
            ir_version=_IR_VERSION,
            producer_name="seakeep",
        )
        helper.set_model_props(model, about)
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised

    def needed(self, output: str) -> frozenset[str]:
        """The tensors that ``output`` is computed from."""
        nodes, _ = self._needed(helper.make_node("Identity", [output], [SCORE]))
        return frozenset(name for node in nodes for name in node.output)

    def _needed(self, last: Any) -> tuple[list[Any], list[Any]]:
        wanted = set(last.input)
        kept = [last]
        for node in reversed(self._nodes):
            if not wanted.isdisjoint(node.output):
                kept.append(node)
                wanted.update(node.input)
        return kept[::-1], [constant for constant in self._constants if constant.name in wanted]

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
