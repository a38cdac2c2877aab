"""Puts a foreign ONNX graph into the one that is being built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import AttributeProto, TensorProto, numpy_helper

from seakeep.conversion.emit.registry import require

if TYPE_CHECKING:
    from seakeep.conversion.emit.graph import Graph

_BY_CHANCE = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
_GRAPHS = {AttributeProto.GRAPH, AttributeProto.GRAPHS}
_TORCH_NODE = "pkg.torch.onnx.fx_node"


def inline(graph: Graph, model: Any, inputs: Sequence[str], where: str) -> list[str]:
    """Add the nodes and constants of an ONNX model, and return the names of its outputs.

    A code that an embedding does not have, below 0 or beyond its last, would make the engine fail the whole batch, or
    be counted from the end: here its row is refused, as the framework does.

    Parameters
    ----------
    model
        The ``ModelProto``, which tells the shapes of its tensors; its first input has a row for each of the graph's.
    inputs
        Tensors to give it, in order.

    Raises
    ------
    ConversionError
        It has operators that are not ONNX's own, control flow, or results that depend on chance.
    """
    inner = model.graph
    names = dict(zip((one.name for one in inner.input), inputs, strict=True))
    constants = {one.name: numpy_helper.to_array(one) for one in inner.initializer}
    for name, array in constants.items():
        names[name] = graph.constant(array)
        if array.dtype == np.float32 and array.size > 1:
            graph.weights.append(names[name])
    shapes = {one.name: _dimensions(one) for one in (*inner.value_info, *inner.input)}
    rows = shapes[inner.input[0].name][0]
    for node in inner.node:
        _require_plain(node, where)
        if _is_embedding(node) and node.input[0] in constants:
            table, codes = node.input
            first, *others = shapes.get(codes) or [0]
            sizes = [one for one in others if isinstance(one, int)]
            if first == rows and len(sizes) == len(others):
                names[codes] = _known(graph, names[codes], len(constants[table]), math.prod(sizes))
        given = [names.get(name, name) for name in node.input]  # "": one that is left out
        outputs = graph.nodes(node.op_type, len(node.output), *given, copied=node.attribute)
        names.update(zip(node.output, outputs, strict=True))
    return [names[one.name] for one in inner.output]


def _require_plain(node: Any, where: str) -> None:
    require(
        condition=node.domain in {"", "ai.onnx"} and node.op_type not in _BY_CHANCE,
        where=where,
        what=f"the network has {node.domain}:{node.op_type}".replace(" :", " "),
        hint="use operators whose result depends on their inputs alone, and that ONNX has",
    )
    require(
        condition=not any(attribute.type in _GRAPHS for attribute in node.attribute),
        where=where,
        what=f"the network has control flow ({node.op_type})",
        hint="compute both sides and choose row by row with torch.where",
    )


def _is_embedding(node: Any) -> bool:
    told = {one.key: one.value for one in node.metadata_props}.get(_TORCH_NODE, "")
    return node.op_type == "Gather" and "aten.embedding" in told


def _known(graph: Graph, codes: str, size: int, width: int) -> str:
    """The codes, ``width`` in a row, with those beyond a table of ``size`` as 0 and their rows refused."""
    zero, end = (graph.constant(np.array([value], dtype=np.int64)) for value in (0, size))
    whole = graph.node("Cast", codes, to=TensorProto.INT64)
    sound = graph.node("And", graph.node("GreaterOrEqual", whole, zero), graph.node("Less", whole, end))
    marks = graph.node("Where", sound, graph.number(0.0), graph.number(np.nan))
    graph.refuse(graph.shape(marks, -1, width))
    return graph.node("Where", sound, whole, zero)


def _dimensions(value: Any) -> list[int | str]:
    return [one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim]
