"""ONNX models, taken as they are (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3)."""

from __future__ import annotations

from collections.abc import Sequence

from seakeep.conversion.formats.format import Format, Taken
from seakeep.conversion.reading import Reading
from seakeep.records.feature import FeatureColumn

_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})  # of ModelProto
_GRAPH = 7


def _is_onnx(content: bytes, _name: str) -> bool:
    """Whether the bytes are, from first to last, the fields of a ModelProto with a graph among them."""
    at = 0
    fields: set[int] = set()
    while at < len(content):
        tag, at = _varint(content, at)
        field, wire = tag >> 3, tag & 7
        if at < 0 or field not in _FIELDS or wire not in {0, 2}:
            return False
        size, at = _varint(content, at)
        if at < 0:
            return False
        at += size if wire == 2 else 0
        fields.add(field)
    return at == len(content) and _GRAPH in fields


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        value |= (content[at] & 127) << shift
        at += 1
        if content[at - 1] < 128:
            return value, at
    return 0, -1


def _take(content: bytes, columns: Sequence[FeatureColumn], _reading: Reading) -> Taken:
    from seakeep.conversion.onnxgraph import imported
    from seakeep.conversion.session import ScoringSession

    emission = imported(content, columns)
    return Taken(trained=ScoringSession(content).score, emission=emission, name="the ONNX model")


FORMAT = Format(
    name="onnx",
    told="an ONNX model",
    suffixes=(".onnx",),
    extra="sklearn",
    recognise=_is_onnx,
    take=_take,
    caveat="it came as ONNX and was held against itself: proved is that it answers every row alike in every batch, with "
    "the same bits and errors each time; that it answers as what it was exported from is not proved",
)
