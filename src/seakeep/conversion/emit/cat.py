"""CatBoost.

Read from CatBoost's source, ``catboost/libs/model/cpu/quantization.h``, ``evaluator_impl.cpp``, ``libs/model/eval_processing.h``,
``libs/eval_result/eval_helpers.cpp`` and ``core.py``, and from what 1.2.10 exports as JSON; held against 1.2.10. Numbers become
float32; a value goes to the right if it is greater than the border, also float32; infinite numbers are accepted. A missing
number goes to the right if training had some in that feature and ``nan_value_treatment`` is ``AsTrue`` (``nan_mode="Max"``),
otherwise to the left. Level ``i`` of a symmetric tree is bit ``i`` of the leaf's number; trees of other policies are nested
nodes. Leaves are added up in double from the first tree to the last, then scaled, then the bias is added: what remains is the
rounding of ``exp``. A regression with any loss gives this sum, unless ``predict`` takes its exponential. Trees after the best
iteration are not in the model. Its own categorical, text and embedding features are refused by name.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from catboost import CatBoostClassifier, CatBoostError, CatBoostRegressor
from onnx import TensorProto

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.forest import Forest, Tree
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, logistic, softmax
from seakeep.conversion.emit.registry import (
    EXACT,
    Scored,
    first_highest,
    predictor,
    require,
    require_dense,
    require_numbers,
)
from seakeep.conversion.emit.tree import follow, gather
from seakeep.errors import ConversionError

_KINDS = ("categorical", "text", "embedding")


@predictor(CatBoostClassifier)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of the margin, the softmax of several, or several logistic functions."""
    raw, outputs, model = _margin(graph, step, table, where)
    if outputs == 1:  # of whichever loss, an objective of one's own among them
        return Scored(
            tolerance=EXACT,
            positive=lambda: logistic(graph, raw),
            label=lambda: _above(graph, raw, step.get_probability_threshold()),
        )
    loss, count = model["model_info"]["params"]["loss_function"]["type"], len(step.classes_)
    require(
        condition=loss in {"MultiClass", "MultiClassOneVsAll"} and outputs == count,
        where=where,
        what=f"loss_function={loss!r} gives {outputs} numbers, which are no probabilities of {count} classes",
        hint="use Logloss, CrossEntropy, MultiClass or MultiClassOneVsAll, and data that hold every class",
    )
    shares = softmax if loss == "MultiClass" else logistic
    return Scored(
        tolerance=EXACT,
        classes=count,
        probabilities=lambda: shares(graph, raw, count),
        label=lambda: first_highest(graph, raw),
    )


@predictor(CatBoostRegressor)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The margin as it is, its exponential (Poisson, Tweedie), or a mean and the variance around it."""
    raw, outputs, _ = _margin(graph, step, table, where)
    kind = step._get_default_prediction_type()  # noqa: SLF001 -- predict's own choice, by the name of the loss
    if kind == "Exponent":
        raw = curve(graph, "Exp", raw, outputs)
    elif kind == "RMSEWithUncertainty":  # the second margin is the logarithm of a deviation
        twice = graph.node("Mul", graph.take(raw, [1]), graph.number(2.0))
        raw = graph.beside([graph.take(raw, [0]), curve(graph, "Exp", twice, 1)])
    return Scored(tolerance=EXACT, value=raw, targets=outputs)


def _margin(graph: Graph, step: Any, table: Table, where: str) -> tuple[str, int, dict[str, Any]]:
    """The scaled sum of leaves ``(n, outputs)``, how many outputs there are, and CatBoost's export."""
    _refuse_kinds(step, table, where)
    require_dense(table, where)
    require_numbers(table, where)
    model = _exported(step, where)
    scale, bias = model["scale_and_bias"]
    features = {one["feature_index"]: one for one in model["features_info"].get("float_features") or []}
    grown = [_tree(one, features, len(bias)) for one in model.get("oblivious_trees") or []]
    grown += [_nested(one, features) for one in model.get("trees") or []]
    require(condition=bool(grown), where=where, what="it has no trees", hint="fit it with iterations of at least 1")
    matrix = graph.double(graph.node("Cast", graph.matrix(table.columns), to=TensorProto.FLOAT))
    forest = Forest(trees=tuple(grown), columns=table.columns, matrix=matrix, single=True, missing=True)
    if len(bias) == 1:
        flat = tuple(dataclasses.replace(one, value=one.value[:, 0]) for one in grown)
        total = follow(graph, dataclasses.replace(forest, trees=flat))
    else:
        total = gather(graph, forest)
    if scale != 1:
        total = graph.node("Mul", total, graph.number(float(scale)))
    if any(bias):
        total = graph.node("Add", total, graph.row(bias))
    return total, len(bias), model


def _refuse_kinds(step: Any, table: Table, where: str) -> None:
    indices = (step.get_cat_feature_indices(), step.get_text_feature_indices(), step.get_embedding_feature_indices())
    for kind, chosen in zip(_KINDS, indices, strict=True):
        names = ", ".join(repr(table.columns[i].name) for i in chosen)
        require(
            condition=not names,
            where=where,
            what=f"CatBoost computes numbers of its own from the {kind} features {names}",
            hint="encode them in a ColumnTransformer before it, or serve this model by its native runtime",
        )


def _exported(step: Any, where: str) -> dict[str, Any]:
    """The model as JSON, whose numbers have all their digits; CatBoost writes it into files alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        try:
            step.save_model(str(path), format="json")
        except CatBoostError as error:
            raise ConversionError(
                f"{where}: CatBoost cannot write the model as JSON: {error}",
                hint="train on finite numbers up to 3.4e38, so that no border is infinite",
            ) from error
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return told


def _tree(tree: dict[str, Any], features: dict[int, Any], outputs: int) -> Tree:
    """A symmetric tree, level by level from the root, which asks the last split: its answer is the highest bit."""
    splits = tree.get("splits") or []
    depth = len(splits)
    asked = [split for i in range(depth) for split in [splits[depth - 1 - i]] * 2**i]
    inner, leaves = len(asked), 2**depth
    nodes, ends = np.arange(inner), np.full(leaves, -1)
    return _made(
        asked,
        features,
        (np.concatenate([2 * nodes + 1, ends]), np.concatenate([2 * nodes + 2, ends])),
        np.concatenate([np.zeros((inner, outputs)), np.reshape(tree["leaf_values"], (leaves, outputs))]),
    )


def _nested(root: dict[str, Any], features: dict[int, Any]) -> Tree:
    """A tree of nested nodes, inner nodes first and leaves after them."""
    inner: list[dict[str, Any]] = []
    leaves: list[dict[str, Any]] = []
    pending = [root]
    while pending:
        node = pending.pop()
        (inner if "split" in node else leaves).append(node)
        pending += [node["right"], node["left"]] if "split" in node else []
    place = {id(node): i for i, node in enumerate(inner + leaves)}
    ends = [-1] * len(leaves)
    left, right = (np.array([place[id(node[side])] for node in inner] + ends) for side in ("left", "right"))
    ended = np.reshape([node["value"] for node in leaves], (len(leaves), -1))
    value = np.concatenate([np.zeros((len(inner), ended.shape[1])), ended])
    return _made([node["split"] for node in inner], features, (left, right), value)


def _made(
    splits: list[dict[str, Any]], features: dict[int, Any], children: tuple[Any, Any], value: np.ndarray[Any, Any]
) -> Tree:
    """The tree of these splits, one for each of the first nodes."""
    count = len(value)
    column, threshold = np.zeros(count, dtype=np.int64), np.zeros(count)
    missing = np.zeros(count, dtype=bool)
    for i, split in enumerate(splits):
        feature = features[split["float_feature_index"]]
        column[i], threshold[i] = feature["flat_feature_index"], np.float32(split["border"])
        missing[i] = not (feature["has_nans"] and feature["nan_value_treatment"] == "AsTrue")
    return Tree(
        column=column,
        threshold=threshold,
        left=children[0],
        right=children[1],
        missing_left=missing,
        members={},
        value=value,
    )


def _above(graph: Graph, raw: str, threshold: float) -> str:
    """Whether the probability is greater than the threshold, asked of the margin as ``predict`` does."""
    with np.errstate(divide="ignore"):
        border = -np.log(1 / np.float64(threshold) - 1)
    return graph.double(graph.node("Greater", raw, graph.number(border)))
