"""Takes an ONNX model as it is: only if nothing in it reaches beyond itself and it asks for the model's own inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from seakeep.conversion.emit.model import Emission
from seakeep.conversion.session import CATEGORIES, NUMBERS, SCORE, TERMS, TEXTS, ScoringSession
from seakeep.conversion.terms import Analyses, Analysis, is_linear
from seakeep.errors import ConversionError, IntegrityError
from seakeep.records.feature import FeatureColumn

OPSETS = {"": range(9, 26), "ai.onnx.ml": range(1, 6)}
"""The domains whose operators are taken, and their versions."""
FORBIDDEN = frozenset(
    {"Loop", "If", "Scan", "SequenceMap", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
    | {"Multinomial", "Bernoulli", "Dropout"}
)
"""Operators without bound, and those that answer differently each time."""
_MOST_NODES, _MOST_UNITS = 100_000, 32


def imported(content: bytes, columns: Sequence[FeatureColumn]) -> Emission:
    """A checked ONNX model of the served form (:class:`seakeep.conversion.session.ScoringSession`).

    Raises
    ------
    ConversionError
        It is damaged, refers to other files, has operators that are not taken, or other inputs and outputs.
    """
    import onnx

    try:
        model = onnx.load_from_string(content)
    except Exception as error:
        raise ConversionError(f"the ONNX model is damaged: {error}", hint="export it again") from error
    analyses = _analyses(model)
    for fault in (
        _reaches(model),
        _operators(model.graph),
        _splits(analyses, columns),
        _signature(model.graph, columns, len(analyses)),
    ):
        if fault:
            raise ConversionError(f"the ONNX model {fault}", hint=f"give one that takes {_wanted(columns)}")
    try:
        outputs = ScoringSession(content).outputs
    except IntegrityError as error:  # told as if it were one of ours
        raise ConversionError(f"an ONNX model cannot be loaded: {error.__cause__}", hint="export it again") from error
    return Emission(columns=tuple(columns), outputs=outputs, model=content, tolerance=0.0)


def _reaches(model: Any) -> str:
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        if opset.version not in OPSETS.get(domain, ()):
            return f"needs operators of {domain or 'ai.onnx'} {opset.version}, which are not taken"
    if model.functions or model.training_info:
        return "brings functions or a training of its own"
    if model.graph.sparse_initializer:
        return "has sparse weights"
    outside = [one.name for one in model.graph.initializer if one.external_data or one.data_location]
    return f"keeps {outside[0]} in another file" if outside else ""


def _operators(graph: Any) -> str:
    if len(graph.node) > _MOST_NODES:
        return f"has {len(graph.node):,} nodes, more than {_MOST_NODES:,}"
    for node in graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain not in OPSETS or node.op_type in FORBIDDEN:
            return f"has the operator {domain}{'.' if domain else ''}{node.op_type}, which is not taken"
        for attribute in node.attribute:
            tensors = [attribute.t, *attribute.tensors]
            if attribute.HasField("g") or attribute.graphs:
                return f"has a graph inside {node.op_type}"
            if any(one.external_data or one.data_location for one in tensors):
                return f"keeps a constant of {node.op_type} in another file"
    return ""


def _analyses(model: Any) -> tuple[Analysis, ...]:
    """How the model says that its texts are split, if it takes terms of them."""
    if TERMS not in {one.name for one in model.graph.input}:
        return ()
    told = next((one.value for one in model.metadata_props if one.key == TEXTS), "")
    try:
        return msgspec.json.decode(told, type=Analyses).analyses
    except msgspec.DecodeError as error:
        raise ConversionError(
            f"the ONNX model does not say how its texts are split: {error}", hint="convert what it was made from"
        ) from error


def _splits(analyses: Sequence[Analysis], columns: Sequence[FeatureColumn]) -> str:
    """Data from elsewhere that decide how long a text of a client is worked on."""
    categories = sum(column.kind == "category" for column in columns)
    for one in analyses:
        if not is_linear(one.pattern):
            return f"splits texts by {one.pattern[:100]!r}, which is not known to take time by their length"
        if not (0 <= one.column < categories and 1 <= one.shortest <= one.longest <= _MOST_UNITS):
            return f"splits category {one.column} into terms of {one.shortest} to {one.longest} units"
    return ""


def _signature(graph: Any, columns: Sequence[FeatureColumn], terms: int) -> str:
    known = {one.name for one in graph.initializer}
    found = {one.name: _form(one) for one in graph.input if one.name not in known}
    wanted = {**_inputs(columns), TERMS: (_STRING, terms)}
    if not set(found) <= set(wanted) or [one.name for one in graph.output] != [SCORE]:
        return f"has inputs {sorted(found)} and outputs {[one.name for one in graph.output]}"
    for name, (kind, width) in found.items():
        if kind != wanted[name][0] or width != wanted[name][1]:
            return f"takes {width or 'an unknown number of'} {name}; the definition has {wanted[name][1]}, as {_KINDS[name]}"
    return "" if _form(graph.output[0])[0] == _DOUBLE else "gives no score in double precision"


_DOUBLE, _STRING = 11, 8  # TensorProto.DataType
_KINDS = {NUMBERS: "float64", CATEGORIES: "strings", TERMS: "strings"}


def _form(value: Any) -> tuple[int, int]:
    tensor = value.type.tensor_type
    shape = [one.dim_value for one in tensor.shape.dim]
    return tensor.elem_type, shape[1] if len(shape) == 2 else 0


def _inputs(columns: Sequence[FeatureColumn]) -> dict[str, tuple[int, int]]:
    numbers = sum(column.kind == "number" for column in columns)
    return {NUMBERS: (_DOUBLE, numbers), CATEGORIES: (_STRING, len(columns) - numbers)}


def _wanted(columns: Sequence[FeatureColumn]) -> str:
    forms = [f"{name} ({_KINDS[name]}, n x {width})" for name, (_, width) in _inputs(columns).items() if width]
    return f"{' and '.join(forms)} and gives {SCORE} (float64, n), of the opsets {_told()}"


def _told() -> str:
    return ", ".join(f"{name or 'ai.onnx'} {some[0]} to {some[-1]}" for name, some in OPSETS.items())
