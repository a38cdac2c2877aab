"""Which emitter stands for which estimator: by exact type, because a subclass may compute anything."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from seakeep.conversion.emit.column import Table
from seakeep.conversion.emit.graph import Graph
from seakeep.errors import ConversionError

EXACT = 1e-12
"""Every row reaches the same leaves; what remains is the rounding of a sum and of ``exp``."""
ROUNDED = 1e-10
"""A dot product of ``d`` terms added in another order differs by at most ``2 d eps sum|w x|`` (Higham, Accuracy and
Stability of Numerical Algorithms, 3.1), the probability by a quarter of it; so this allows ``d sum|w x|`` up to 9e5."""

Lazy = str | Callable[[], str] | None
"""A tensor's name, or what emits it if somebody asks for it, or ``None``: the estimator has no such answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a fitted predictor answers; all tensors are double.

    Attributes
    ----------
    tolerance
        Largest difference from the estimator that rounding explains.
    classes
        How many classes it tells apart, if it is a classifier.
    probabilities
        ``(n, classes)``.
    positive
        Of a binary classifier, the probability of the second class, ``(n, 1)``.
    decision
        ``(n, 1)`` of a binary classifier (above 0: the second class) or an outlier detector (below 0: an outlier),
        otherwise ``(n, classes)``.
    label
        Position of the predicted class, ``(n, 1)``; by default by the decision, or else the most probable class.
    value
        Of a regressor, ``(n, targets)``.
    targets
        How many numbers a regressor predicts.
    """

    tolerance: float
    classes: int = 2
    probabilities: Lazy = None
    positive: Lazy = None
    decision: Lazy = None
    label: Lazy = None
    value: Lazy = None
    targets: int = 1


Transform = Callable[[Graph, Any, Table, str], Table]
"""``(graph, fitted step, its inputs, where) -> its outputs``; ``where`` names the step in messages."""
Predict = Callable[[Graph, Any, Table, str], Scored]

_TRANSFORMERS: dict[type, Transform] = {}
_PREDICTORS: dict[type, Predict] = {}
_Emitter = TypeVar("_Emitter", bound=Callable[..., Any])


def transformer(*types: type) -> Callable[[_Emitter], _Emitter]:
    """Register the emitter of transformers of exactly these types."""
    return _register(_TRANSFORMERS, types)


def predictor(*types: type) -> Callable[[_Emitter], _Emitter]:
    """Register the emitter of classifiers, regressors or outlier detectors of exactly these types."""
    return _register(_PREDICTORS, types)


def transform(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Emit a fitted transformer.

    Raises
    ------
    ConversionError
        No emitter stands for its type, or the emitter cannot stand for its settings.
    """
    made = _find(_TRANSFORMERS, step, where)(graph, step, table, where)
    named = getattr(step, "_sklearn_output_config", {}).get("transform") not in {None, "default"}
    return _renamed(made, step) if named else made


def predict(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Emit a fitted predictor; raises as :func:`transform` does."""
    return _find(_PREDICTORS, step, where)(graph, step, table, where)


def registered() -> tuple[frozenset[type], frozenset[type]]:
    """Types of transformers and of predictors that have an emitter."""
    return frozenset(_TRANSFORMERS), frozenset(_PREDICTORS)


def emitter_of(kind: type) -> Callable[..., Any]:
    """The emitter of a registered type."""
    return _PREDICTORS[kind] if kind in _PREDICTORS else _TRANSFORMERS[kind]


def positive(graph: Graph, scored: Scored) -> str:
    """The probability of the second of two classes, ``(n, 1)``."""
    return _made(scored.positive) or graph.take(_needed(scored.probabilities), [1])


def probabilities(graph: Graph, scored: Scored) -> str:
    """The probability of every class, ``(n, classes)``."""
    made = _made(scored.probabilities)
    if made:
        return made
    second = _needed(scored.positive)
    return graph.beside([graph.node("Sub", graph.number(1.0), second), second])


def decision(graph: Graph, scored: Scored) -> str:  # noqa: ARG001 -- as its siblings
    """The decision function, ``(n, 1)`` or ``(n, classes)``."""
    return _needed(scored.decision)


def value(graph: Graph, scored: Scored) -> str:  # noqa: ARG001 -- as its siblings
    """What a regressor predicts, ``(n, targets)``."""
    return _needed(scored.value)


def label(graph: Graph, scored: Scored) -> str:
    """The position of the predicted class, ``(n, 1)``."""
    graph.flat = True
    made = _made(scored.label)
    if made:
        return made
    told = _made(scored.decision)
    if told and scored.classes == 2:
        return graph.double(graph.node("Greater", told, graph.number(0.0)))
    return first_highest(graph, told or probabilities(graph, scored))


def first_highest(graph: Graph, matrix: str) -> str:
    """The position of the greatest element of each row, the first of equal ones, ``(n, 1)``; as :func:`numpy.argmax`."""
    return graph.double(graph.node("ArgMax", matrix, axis=1, keepdims=1, select_last_index=0))


def require(*, condition: bool, where: str, what: str, hint: str) -> None:
    """Raise :class:`ConversionError` unless ``condition`` holds; ``what`` says which setting stands in the way."""
    if not condition:
        raise ConversionError(f"{where}: {what}", hint=hint)


def require_numbers(table: Table, where: str) -> None:
    """Raise :class:`ConversionError` if a column is text."""
    text = [column.name for column in table.columns if column.kind == "category"]
    require(
        condition=not text,
        where=where,
        what=f"text column {text[0]!r} reaches a step that takes numbers" if text else "",
        hint="encode category columns first, for example with OrdinalEncoder in a ColumnTransformer",
    )


def require_dense(table: Table, where: str) -> None:
    """Raise :class:`ConversionError` if scikit-learn holds the table as a sparse matrix, on which the step differs."""
    require(
        condition=not table.sparse,
        where=where,
        what="a sparse matrix reaches this step",
        hint="give the encoder sparse_output=False and the ColumnTransformer sparse_threshold=0",
    )


def finite(graph: Graph, table: Table, where: str) -> str:
    """The table's matrix, double; rows with a missing or infinite number are refused, as most estimators do."""
    require_numbers(table, where)
    matrix = graph.matrix(table.columns)
    graph.refuse_nonfinite(matrix)
    return matrix


def not_infinite(graph: Graph, table: Table, where: str) -> str:
    """The table's matrix, double; rows with an infinite number are refused, missing ones pass."""
    require_numbers(table, where)
    matrix = graph.matrix(table.columns)
    graph.refuse_infinite(matrix)
    return matrix


def _renamed(table: Table, step: Any) -> Table:
    """With names as the data frame has them that the step was told to give, by which later steps may choose."""
    names = [str(name) for name in np.asarray(step.get_feature_names_out()).tolist()]
    columns = zip(table.columns, names, strict=True)
    return Table(tuple(dataclasses.replace(column, name=name) for column, name in columns), sparse=table.sparse)


def _made(tensor: Lazy) -> str | None:
    return tensor() if callable(tensor) else tensor


def _needed(tensor: Lazy) -> str:
    made = _made(tensor)
    if made is None:
        message = "an emitter does not give the answer it was asked for"
        raise ConversionError(message, hint="please report this estimator")
    return made


def _register(emitters: dict[type, Any], types: tuple[type, ...]) -> Callable[[_Emitter], _Emitter]:
    def keep(emitter: _Emitter) -> _Emitter:
        emitters.update(dict.fromkeys(types, emitter))
        return emitter

    return keep


def _find(emitters: Mapping[type, _Emitter], step: Any, where: str) -> _Emitter:
    emitter = emitters.get(type(step))
    if emitter is None:
        name = type(step).__qualname__
        known = sorted(kind.__name__ for kind in emitters if not kind.__name__.startswith("_"))
        ending = re.findall(r"[A-Z][a-z]*|$", name)[-2:][0]  # Classifier, Regressor, Scaler, Encoder …
        alike = [one for one in known if ending and one.endswith(ending)] or known
        raise ConversionError(f"{where}: {name} has no exact emitter here", hint=f"use one of {', '.join(alike)}")
    return emitter
