"""Which emitter stands for which estimator: by exact type, because a subclass may compute anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from seakeep.conversion.emit.graph import Graph, Table
from seakeep.conversion.emit.tree import Forest
from seakeep.errors import ConversionError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a classifier gives.

    Attributes
    ----------
    score
        Tensor ``(n, 1)``, double: the probability of the positive class.
    tolerance
        Largest difference from the estimator that rounding explains.
    forest
        The trees it follows, if it follows any.
    weighted
        The matrix that a linear model multiplies with its coefficients, and how many columns it has.
    """

    score: str
    tolerance: float
    forest: Forest | None = None
    weighted: tuple[str, int] | None = None


Transform = Callable[[Graph, Any, Table, str], Table]
"""``(graph, fitted step, its inputs, where) -> its outputs``; ``where`` names the step in messages."""
Classify = Callable[[Graph, Any, Table, str], Scored]

_TRANSFORMERS: dict[type, Transform] = {}
_CLASSIFIERS: dict[type, Classify] = {}
_Emitter = TypeVar("_Emitter", bound=Callable[..., Any])


def transformer(*types: type) -> Callable[[_Emitter], _Emitter]:
    """Register the emitter of transformers of exactly these types."""
    return _register(_TRANSFORMERS, types)


def classifier(*types: type) -> Callable[[_Emitter], _Emitter]:
    """Register the emitter of classifiers of exactly these types."""
    return _register(_CLASSIFIERS, types)


def transform(graph: Graph, step: Any, table: Table, where: str) -> Table:
    """Emit a fitted transformer.

    Raises
    ------
    ConversionError
        No emitter stands for its type, or the emitter cannot stand for its settings.
    """
    return _find(_TRANSFORMERS, step, where)(graph, step, table, where)


def classify(graph: Graph, step: Any, table: Table, where: str) -> Scored:
    """Emit a fitted classifier; raises as :func:`transform` does."""
    return _find(_CLASSIFIERS, step, where)(graph, step, table, where)


def classifiers() -> frozenset[type]:
    """Types of classifiers that have an emitter."""
    return frozenset(_CLASSIFIERS)


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


def _register(emitters: dict[type, Any], types: tuple[type, ...]) -> Callable[[_Emitter], _Emitter]:
    def keep(emitter: _Emitter) -> _Emitter:
        emitters.update(dict.fromkeys(types, emitter))
        return emitter

    return keep


def _find(emitters: Mapping[type, _Emitter], step: Any, where: str) -> _Emitter:
    emitter = emitters.get(type(step))
    if emitter is None:
        known = ", ".join(sorted(kind.__name__ for kind in emitters))
        name = type(step).__qualname__
        raise ConversionError(f"{where}: {name} has no exact emitter here", hint=f"use one of {known}")
    return emitter
