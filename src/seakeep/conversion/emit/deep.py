"""Networks of PyTorch and Keras.

The program that ``torch.export`` made of the network becomes ONNX by ``torch.onnx.export(dynamo=True)`` alone: the older
exporter follows the branch that an example takes, silently. Numbers become float32 at the network's border, as in training,
and the logistic function and the softmax of logits are taken in double. A missing or infinite number, or one beyond
1e15, is refused, and so is a code without an embedding. PyTorch and the engine add the same products in other orders,
in float32: answers agree to :data:`SINGLE`; where a made-up row has an input beyond 10,000 in the network's own units,
single precision may lose what the others add, and a difference is told, not judged. Read from torch 2.13.0.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from onnx import TensorProto

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import OPSET, Graph
from seakeep.conversion.emit.inline import inline
from seakeep.conversion.emit.pointwise import highest, logistic, softmax
from seakeep.conversion.emit.registry import Scored, predictor, require, require_dense, require_numbers
from seakeep.errors import ConversionError
from seakeep.training.network import LARGEST, Network

SINGLE = 1e-5
"""A float32 sum of ``d`` products is off by at most ``d 2**-24 sum|w x|`` (Higham, Accuracy and Stability of Numerical
Algorithms, 3.1): so for sums of 160 in all, layer after layer; measured are 1e-7 to 1e-6."""
_UNUSUAL = 1e4


@predictor(Network)
def network(graph: Graph, step: Network, table: Table, where: str) -> Scored:
    """The network's output, as it says what that is."""
    raw, width = _forward(graph, step, table, where), step.outputs
    graph.flat = True
    if step.gives == "values":
        return Scored(tolerance=SINGLE, value=raw, targets=width)
    if width == 1:
        score = logistic(graph, raw) if step.gives == "logits" else raw
        above = graph.double(graph.node("Greater", score, graph.number(0.5)))
        return Scored(tolerance=SINGLE, positive=score, label=above)
    shares = softmax(graph, raw, width) if step.gives == "logits" else raw
    return Scored(tolerance=SINGLE, classes=width, probabilities=shares)


def _forward(graph: Graph, step: Network, table: Table, where: str) -> str:
    """What the network gives, double ``(n, outputs)``."""
    require_dense(table, where)
    require_numbers(table, where)
    require(
        condition=len(table.columns) == step.inputs,
        where=where,
        what=f"it takes {step.inputs} numbers a row and gets {len(table.columns)}",
        hint="let inputs= be the number of columns that the steps before it give",
    )
    matrix = graph.matrix(table.columns)
    size = graph.node("Abs", matrix)
    sound = graph.node("LessOrEqual", size, graph.number(LARGEST))  # NaN is not
    zero = graph.number(0.0)
    graph.refuse(graph.node("Where", sound, zero, graph.number(np.nan)))
    matrix = graph.node("Where", sound, matrix, zero)
    graph.doubts.append(graph.double(graph.node("Greater", highest(graph, size), graph.number(_UNUSUAL))))
    single = graph.node("Cast", matrix, to=TensorProto.FLOAT)
    (given,) = inline(graph, _onnx(step, where), [single], where)
    return graph.shape(graph.double(given), -1, step.outputs)


def _onnx(step: Network, where: str) -> Any:
    """The network as an ONNX model of its own."""
    import torch

    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.onnx.export(step.program, (), dynamo=True, opset_version=OPSET, verbose=False)
    except Exception as error:
        told = (str(error).strip().splitlines() or [""])[0]
        raise ConversionError(
            f"{where}: torch cannot write the network as ONNX: {type(error).__name__}: {told[:300]}",
            hint="use operators that torch.onnx knows; each unknown one is named above",
        ) from error
    return made.model_proto
