"""A whole fitted estimator becomes a model."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import msgspec
from sklearn.base import RegressorMixin
from sklearn.utils import get_tags

from seakeep.conversion.emit import families, registry
from seakeep.conversion.emit.forest import Forest
from seakeep.conversion.emit.graph import Graph, Product
from seakeep.conversion.emit.registry import Scored, predict
from seakeep.conversion.outputs import declared_order, outputs_of
from seakeep.conversion.session import OUTPUTS
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import PROBABILITY, Outputs


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """A model and what a proof must know about it.

    Attributes
    ----------
    columns
        The inputs, in order.
    outputs
        What it answers; the model says so itself.
    model
        The serialised ONNX model; equal estimators give equal bytes.
    tolerance
        Largest difference of answers that rounding explains.
    forests, products
        The trees it follows and the products it forms, each with a serialised model of the same inputs whose output
        is the matrix that they look at.
    texts
        Positions of the category inputs that it splits into terms.
    flat
        Whether some function of it is constant in places, so that a small change before it may not show.
    doubt
        A serialised model of the same inputs that gives 0 to rows whose answer no rounding changes, if there are
        others.
    """

    columns: tuple[FeatureColumn, ...]
    outputs: Outputs = PROBABILITY
    model: bytes
    tolerance: float
    forests: tuple[tuple[Forest, bytes], ...] = ()
    products: tuple[tuple[Product, bytes], ...] = ()
    texts: tuple[int, ...] = ()
    flat: bool = False
    doubt: bytes = b""


def estimators() -> frozenset[type]:
    """Types of classifiers with probabilities, and of regressors, that :func:`emit` can write and that need no other."""
    families.load()
    _, predictors = registry.registered()
    return frozenset(kind for kind in predictors if kind.__name__[0] != "_" and _stands_alone(kind))


def emit(estimator: Any, columns: Sequence[FeatureColumn], wanted: Outputs = PROBABILITY) -> Emission:
    """Write a fitted classifier, regressor or outlier detector as ONNX.

    Parameters
    ----------
    estimator
        Fitted on a data frame of exactly these columns.
    columns
        The model's inputs, in order.
    wanted
        Of several classes, the declared ones: the model answers with theirs, in their order.

    Raises
    ------
    ConversionError
        It is not fitted, knows other classes than the declared ones, or a step or a setting has no exact emitter. The message names the step.
    """
    families.load()
    name = type(estimator).__name__
    outputs = outputs_of(estimator)
    fitted_on = getattr(estimator, "feature_names_in_", None)
    names = [column.name for column in columns]
    if fitted_on is not None and list(fitted_on) != names:
        raise ConversionError(
            f"{name} was fitted on {', '.join(map(str, fitted_on))}; the model's inputs are {', '.join(names)}",
            hint="fit on the frame as it is given; choose columns inside the estimator, with a ColumnTransformer",
        )
    graph = Graph(names, [column.kind for column in columns])
    try:
        scored = predict(graph, estimator, graph.inputs, name)
        outputs, answer, width = _answer(graph, scored, outputs)
        if wanted.of_classes and outputs.kind in {"probability", "probabilities"}:
            order, outputs = declared_order(estimator, wanted), wanted
            answer = answer if order == tuple(range(width)) else graph.take(answer, order)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ConversionError(
            f"{name} is not built as the emitters know it: {type(error).__name__}: {error}",
            hint="fit it with the scikit-learn release that this version of Seakeep is tested with",
        ) from error
    answer = graph.settle(answer)
    used = graph.needed(answer)
    about = {} if outputs == PROBABILITY else {OUTPUTS: msgspec.json.encode(outputs).decode()}

    def looked_at(matrix: str, wide: int) -> bytes:
        return graph.model(matrix, wide, flat=False)

    return Emission(
        columns=tuple(columns),
        outputs=outputs,
        model=graph.model(answer, width, flat=outputs.single, about=about),
        tolerance=scored.tolerance,
        forests=tuple(
            (forest, looked_at(forest.matrix, len(forest.columns)))
            for output, forest in graph.forests.items()
            if output in used
        ),
        products=tuple(
            (product, looked_at(product.matrix, product.width)) for product in graph.products if product.output in used
        ),
        texts=tuple(sorted({analysis.column for analysis in graph.analyses})),
        doubt=looked_at(graph.beside(graph.doubts), len(graph.doubts)) if graph.doubts else b"",
        flat=graph.flat or not outputs.single or _layered(graph, used),
    )


def _answer(graph: Graph, scored: Scored, outputs: Outputs) -> tuple[Outputs, str, int]:
    """The outputs, the tensor that holds them, and its width."""
    kind, width = outputs.kind, 1 if outputs.single else len(outputs.names)
    if kind == "probability":
        return outputs, registry.positive(graph, scored), width
    if kind == "probabilities":
        return outputs, registry.probabilities(graph, scored), width
    if kind in {"decision", "decisions", "anomaly"}:
        return outputs, registry.decision(graph, scored), width
    if kind == "class":
        return outputs, registry.label(graph, scored), width
    if scored.targets > 1:
        outputs = Outputs(kind="values", names=tuple(str(i) for i in range(scored.targets)))
    return outputs, registry.value(graph, scored), scored.targets


def _layered(graph: Graph, used: frozenset[str]) -> bool:
    """Whether trees or products look at what other ones gave, which may thin out a change until it does not show."""
    fitted = {product.output for product in graph.products} | set(graph.forests)
    seen = [forest.matrix for output, forest in graph.forests.items() if output in used]
    seen += [product.matrix for product in graph.products if product.output in used]
    return any(not fitted.isdisjoint(graph.needed(matrix)) for matrix in seen)


def is_regressor_class(kind: Any) -> bool:
    """Whether a class is one of regressors."""
    return inspect.isclass(kind) and (
        issubclass(kind, RegressorMixin) or getattr(kind, "_estimator_type", "") == "regressor"
    )


def _stands_alone(kind: Any) -> bool:
    """Whether it gives probabilities or numbers as it comes, of any numbers."""
    needed = [one for one in inspect.signature(kind).parameters.values() if one.default is inspect.Parameter.empty]
    if (
        not (hasattr(kind, "predict_proba") or is_regressor_class(kind))
        or any(one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL} for one in needed)
        or kind.__name__ in _WITH_OTHERS
    ):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some are to be removed from a later scikit-learn
        made = kind()
    return (hasattr(made, "predict_proba") or is_regressor_class(kind)) and not get_tags(made).input_tags.positive_only


_WITH_OTHERS = frozenset(
    {
        "AdaBoostClassifier",
        "AdaBoostRegressor",
        "BaggingClassifier",
        "BaggingRegressor",
        "CalibratedClassifierCV",
        "TransformedTargetRegressor",
    }
)
"""Estimators that hold another one, which they make themselves if none is given."""
