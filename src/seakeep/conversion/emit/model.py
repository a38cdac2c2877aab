"""A whole fitted estimator becomes a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from seakeep.conversion.emit import compose, encode, ensemble, linear, numeric
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.registry import classifiers, classify
from seakeep.conversion.emit.tree import Forest
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn

_FAMILIES = (compose, encode, ensemble, linear, numeric)  # importing them registers their emitters


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """A model and what a proof must know about it.

    Attributes
    ----------
    columns
        The inputs, in order.
    model
        The serialised ONNX model; equal estimators give equal bytes.
    tolerance
        Largest difference of scores that rounding explains.
    forest
        The trees it follows, if any.
    matrix
        A serialised model of the same inputs whose output is the matrix that the trees or coefficients look at.
    """

    columns: tuple[FeatureColumn, ...]
    model: bytes
    tolerance: float
    forest: Forest | None
    matrix: bytes


def estimators() -> frozenset[type]:
    """Types of classifiers that :func:`emit` can write, pipelines of them apart."""
    return classifiers() - {Pipeline}


def emit(estimator: Any, columns: Sequence[FeatureColumn]) -> Emission:
    """Write a fitted binary classifier as ONNX.

    Parameters
    ----------
    estimator
        Fitted on a data frame of exactly these columns, with classes 0 and 1.
    columns
        The model's inputs, in order.

    Raises
    ------
    ConversionError
        A step or a setting has no exact emitter, or the classes are not 0 and 1. The message names the step.
    """
    name = type(estimator).__name__
    if list(getattr(estimator, "classes_", ())) != [0, 1]:
        raise ConversionError(
            f"{name} is not a fitted classifier of the classes 0 and 1",
            hint="return a fitted binary classifier from train; labels are 0 and 1",
        )
    fitted_on = getattr(estimator, "feature_names_in_", None)
    names = [column.name for column in columns]
    if fitted_on is not None and list(fitted_on) != names:
        raise ConversionError(
            f"{name} was fitted on {', '.join(map(str, fitted_on))}; the model's inputs are {', '.join(names)}",
            hint="fit on the frame as it is given; choose columns inside the estimator, with a ColumnTransformer",
        )
    graph = Graph(names, [column.kind for column in columns])
    try:
        scored = classify(graph, estimator, graph.inputs, name)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ConversionError(
            f"{name} is not built as the emitters know it: {type(error).__name__}: {error}",
            hint="fit it with the scikit-learn release that this version of Seakeep is tested with",
        ) from error
    forest = scored.forest
    looked_at = (forest.matrix, len(forest.columns)) if forest else scored.weighted
    return Emission(
        columns=tuple(columns),
        model=graph.model(scored.score),
        tolerance=scored.tolerance,
        forest=forest,
        matrix=graph.model(*looked_at) if looked_at else b"",
    )
