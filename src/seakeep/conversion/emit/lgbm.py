"""LightGBM.

Read from LightGBM's source after 4.6.0, ``include/LightGBM/tree.h`` (``NumericalDecision``, ``CategoricalDecision``),
``src/io/tree.cpp``, ``src/boosting/``, ``src/objective/`` (``ConvertOutput``) and ``src/c_api.cpp``; held against 4.7.0.
Everything is in double; a number within 1e-35 of 0 is 0; a value goes left if it is at most the threshold; infinite
numbers are accepted. A feature's missing type says what NaN is: ``None``: the number 0; ``Zero``: missing, and so is 0;
``NaN``: missing. What is missing goes where ``default_left`` says. A categorical split cuts the code off to a whole
number and sends the codes it names to the left, and NaN, negative and unknown ones to the right. ``boosting="rf"``
averages. A linear leaf adds coefficients times features to its constant, or gives its plain value if one of them is
missing. Trees after the best iteration are left out. The model's text is read, not its JSON, which cuts off thresholds
at 1e300.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.forest import Forest, Tree, stump
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.pointwise import curve, log1p, logistic, softmax
from seakeep.conversion.emit.registry import (
    EXACT,
    ROUNDED,
    Scored,
    first_highest,
    predictor,
    require,
    require_dense,
    require_numbers,
)
from seakeep.conversion.emit.tree import follow, reached

_ZERO = float(np.float32(1e-35))
_CATEGORICAL, _DEFAULT_LEFT, _MISSING_SHIFT, _MISSING_MASK = 1, 2, 2, 3  # bits of a node's decision_type
_MISSING_NONE, _MISSING_ZERO = 0, 1
_EXPONENTIAL = {"poisson", "gamma", "tweedie"}
_IDENTITY = {"regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"}


@dataclasses.dataclass(frozen=True, slots=True)
class _Text:
    """One tree's lines of the model's text, by name."""

    lines: dict[str, str]

    def numbers(self, name: str, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
        return np.array(self.lines.get(name, "").split(), dtype=dtype)


@predictor(LGBMClassifier)
def classes(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The logistic function of the margin, the softmax of several, or several logistic functions."""
    raw, outputs, objective, settings, tolerance = _margin(graph, step, table, where)
    count = len(step.classes_)
    if objective == "binary":
        score = logistic(graph, _times(graph, raw, settings.get("sigmoid", 1.0)))
        both = graph.beside([graph.node("Sub", graph.number(1.0), score), score])
        return Scored(tolerance=tolerance, positive=score, label=lambda: first_highest(graph, both))
    require(
        condition=objective in {"multiclass", "multiclassova"} and outputs == count,
        where=where,
        what=f"objective={objective!r} gives no probabilities of the classes",
        hint="use binary, multiclass or multiclassova",
    )
    if objective == "multiclass":
        return Scored(tolerance=tolerance, classes=count, probabilities=softmax(graph, raw, count))
    shares = logistic(graph, _times(graph, raw, settings.get("sigmoid", 1.0)), count)
    return Scored(tolerance=tolerance, classes=count, probabilities=shares)


@predictor(LGBMRegressor)
def values(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """The margin through the inverse link of the objective."""
    raw, outputs, objective, settings, tolerance = _margin(graph, step, table, where)
    if objective in _EXPONENTIAL:
        raw = curve(graph, "Exp", raw, outputs)
    elif objective == "cross_entropy":
        raw = logistic(graph, raw, outputs)
    elif objective == "cross_entropy_lambda":
        raw = log1p(graph, curve(graph, "Exp", raw, outputs), outputs)
    elif "sqrt" in settings:
        raw = graph.node("Mul", graph.node("Sign", raw), graph.node("Mul", raw, raw))
    else:
        require(
            condition=objective in _IDENTITY,
            where=where,
            what=f"objective={objective!r} is not known",
            hint=f"use one of {', '.join(sorted(_IDENTITY | _EXPONENTIAL))}",
        )
    return Scored(tolerance=tolerance, value=raw, targets=outputs)


def _margin(graph: Graph, step: Any, table: Table, where: str) -> tuple[str, int, str, dict[str, float], float]:
    """The sum of leaves ``(n, outputs)``, how many outputs there are, the objective with its settings, the tolerance."""
    require_dense(table, where)
    require_numbers(table, where)
    header, *blocks = step.booster_.model_to_string().split("\nTree=")
    told = _lines(header)
    objective, settings = _objective(told.get("objective", "custom"))
    require(
        condition=not callable(step.objective) and not step.booster_.pandas_categorical,
        where=where,
        what="an objective of one's own is opaque, and so are a data frame's own categories",
        hint="use one of LightGBM's objectives, and encode categories with OrdinalEncoder",
    )
    require(
        condition=not step.get_params().get("pred_early_stop", False),
        where=where,
        what="pred_early_stop leaves out trees that might not matter",
        hint="leave it out",
    )
    outputs, zeros = int(told["num_tree_per_iteration"]), np.zeros((1, len(table.columns)), dtype=bool)
    texts = [_Text(_lines(block)) for block in blocks]
    trees = tuple(_tree(one, i % outputs, zeros) for i, one in enumerate(texts))
    near = graph.node("LessOrEqual", graph.node("Abs", graph.matrix(table.columns)), graph.number(_ZERO))
    values = graph.node("Where", near, graph.number(0.0), graph.matrix(table.columns))
    matrix = _matrix(graph, values, trees, zeros)
    forest = Forest(trees=trees, columns=table.columns, matrix=matrix, single=False, missing=True)
    linear = any(one.lines.get("is_linear") == "1" for one in texts)
    total = _linear(graph, values, forest, texts, outputs) if linear else follow(graph, forest, [0.0] * outputs)
    if "average_output" in told:
        total = graph.node("Div", total, graph.number(len(trees) // outputs))
    return total, outputs, objective, settings, ROUNDED if linear else EXACT


def _lines(text: str) -> dict[str, str]:
    """``name=value`` by name, up to the end of the trees."""
    parts = (line.partition("=") for line in text.partition("\nend of trees")[0].splitlines())
    return {name: value for name, _, value in parts}


def _objective(told: str) -> tuple[str, dict[str, float]]:
    """``"binary sigmoid:1"`` as a name and its settings."""
    name, *rest = told.split()
    parts = (one.partition(":") for one in rest)
    return name, {key: float(value) if _is_number(value) else 1.0 for key, _, value in parts}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _tree(text: _Text, target: int, zeros: np.ndarray[Any, Any]) -> Tree:
    """A tree, inner nodes first, leaves after them; marks in ``zeros`` the columns in which 0 is missing."""
    leaves = text.numbers("leaf_value")
    count = len(leaves)
    if count == 1:
        return dataclasses.replace(stump(leaves[0]), target=target)
    column, kind = text.numbers("split_feature", np.int64), text.numbers("decision_type", np.int64)
    threshold, missing = text.numbers("threshold"), kind >> _MISSING_SHIFT & _MISSING_MASK
    zeros[0, column[(missing == _MISSING_ZERO) & (kind & _CATEGORICAL == 0)]] = True
    default = np.where(missing == _MISSING_NONE, threshold >= 0.0, kind & _DEFAULT_LEFT != 0)
    children = [text.numbers(f"{side}_child", np.int64) for side in ("left", "right")]
    ends = np.full(count, -1)
    sets = text.numbers("cat_threshold", np.uint32)
    bounds = text.numbers("cat_boundaries", np.int64)
    categorical = np.flatnonzero(kind & _CATEGORICAL)
    members = {
        int(node): _codes(sets[bounds[place] : bounds[place + 1]])
        for node, place in zip(categorical, threshold[categorical].astype(np.int64), strict=True)
    }
    default[categorical] = False
    return Tree(
        column=np.concatenate([column, np.zeros(count, dtype=np.int64)]),
        threshold=np.concatenate([np.where(kind & _CATEGORICAL, 0.0, threshold), np.zeros(count)]),
        left=np.concatenate([np.where(children[0] < 0, ~children[0] + count - 1, children[0]), ends]),
        right=np.concatenate([np.where(children[1] < 0, ~children[1] + count - 1, children[1]), ends]),
        missing_left=np.concatenate([default, np.zeros(count, dtype=bool)]),
        members=members,
        value=np.concatenate([np.zeros(count - 1), leaves]),
        target=target,
    )


def _codes(words: np.ndarray[Any, Any]) -> tuple[float, ...]:
    """The codes whose bit is set in words of 32 bits."""
    flags = np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little")
    return tuple(np.flatnonzero(flags).astype(float).tolist())


def _matrix(graph: Graph, values: str, trees: tuple[Tree, ...], zeros: np.ndarray[Any, Any]) -> str:
    """The numbers with codes cut off to whole ones, and NaN where 0 is missing."""
    matrix, coded = values, np.zeros_like(zeros)
    for tree in trees:
        coded[0, tree.column[list(tree.members)]] = True
    if coded.any():
        negative = graph.node("Less", matrix, graph.number(0.0))
        whole = graph.node("Where", negative, graph.node("Ceil", matrix), graph.node("Floor", matrix))
        matrix = graph.node("Where", graph.constant(coded), whole, matrix)
    if zeros.any():
        missing = graph.node("And", graph.node("Equal", matrix, graph.number(0.0)), graph.constant(zeros))
        matrix = graph.node("Where", missing, graph.number(np.nan), matrix)
    return matrix


def _linear(graph: Graph, values: str, forest: Forest, texts: list[_Text], outputs: int) -> str:
    """The sum over trees of what their leaves compute: constant plus coefficients times features, in this order."""
    plain, starts, used, weights = (np.concatenate(part) for part in zip(*map(_leaves, texts), strict=True))
    width, most, count = len(forest.columns), int(used.max(initial=0)), len(texts)
    features = np.concatenate([one.numbers("leaf_features", np.int64) for one in texts])
    # Of each leaf the numbers of its features; the column after the last one holds 0.
    filled = np.arange(most) < used[:, None]
    chosen, factors = np.full((len(plain), most), width, dtype=np.int64), np.zeros((len(plain), most))
    chosen[filled], factors[filled] = features, weights
    places = reached(graph, forest)
    pads = graph.constant(np.array([0, 0, 0, 1], dtype=np.int64))
    padded = graph.node("Pad", values, pads, graph.number(0.0), mode="constant")

    def of_leaf(table: np.ndarray[Any, Any]) -> str:
        return graph.node("Gather", graph.constant(np.ascontiguousarray(table)), places, axis=0)

    followed, probed = graph.forests.popitem()
    graph.forests[followed] = dataclasses.replace(probed, steps=False, table=graph.constant(starts.reshape(-1, 1)))
    two = graph.constant(np.array([2], dtype=np.int64))
    total, missing = graph.node("Squeeze", of_leaf(starts.reshape(-1, 1)), two), ""
    for k in range(most):
        seen = graph.node("GatherElements", padded, of_leaf(chosen[:, k]), axis=1)
        absent = graph.node("IsNaN", seen)
        missing = graph.node("Or", missing, absent) if missing else absent
        total = graph.node("Add", total, graph.node("Mul", of_leaf(factors[:, k]), seen))
    if missing:
        total = graph.node("Where", missing, of_leaf(plain), total)
    graph.flat = True
    rounds = graph.shape(total, -1, count // outputs, outputs)
    return graph.node("ReduceSum", rounds, graph.constant(np.array([1], dtype=np.int64)), keepdims=0)


def _leaves(text: _Text) -> tuple[np.ndarray[Any, Any], ...]:
    """Of each leaf the plain value, the constant and how many features it uses; and all coefficients."""
    plain = text.numbers("leaf_value")
    if text.lines.get("is_linear") != "1":
        return plain, plain, np.zeros(len(plain), dtype=np.int64), np.empty(0)
    return plain, text.numbers("leaf_const"), text.numbers("num_features", np.int64), text.numbers("leaf_coeff")


def _times(graph: Graph, raw: str, factor: float) -> str:
    return raw if factor == 1.0 else graph.node("Mul", raw, graph.number(factor))
