"""What a fitted estimator answers, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import ConversionError
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.training.usercode import framework_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def outputs_of(estimator: Any) -> Outputs:
    """The most telling answer that a fitted estimator gives: probabilities before decisions before bare classes.

    Raises
    ------
    ConversionError
        It is no fitted classifier, regressor or outlier detector, or predicts several labels at once.
    """
    kind = getattr(estimator, "_estimator_type", None) or _kind(estimator)
    name = type(estimator).__name__
    if kind == "classifier" and _fitted(estimator):
        return _of_classifier(estimator, name)
    if kind == "regressor" and _fitted(estimator):
        return Outputs(kind="value")
    if kind == "outlier_detector" and _fitted(estimator):
        return Outputs(kind="anomaly")
    framework = framework_of(estimator)
    if framework:
        raise ConversionError(
            f"{name}: a bare network of {framework} does not say what it gives",
            hint="wrap it, alone or as the last step: sk.Network(module, gives='logits', inputs=12)",
        )
    raise ConversionError(
        f"{name} is not a fitted classifier, regressor or outlier detector",
        hint="return a fitted estimator from train; labels of a classifier are 0 and 1",
    )


def require_served(outputs: Outputs, name: str, wanted: Outputs = PROBABILITY) -> None:
    """Raise :class:`ConversionError` for what can be emitted and proved, but is not what the label is declared to be."""
    if outputs == wanted or (outputs.kind == wanted.kind and not wanted.of_classes):
        return
    if wanted.of_classes:
        told = f" of {', '.join(outputs.names)}" if outputs.names else ""
        raise ConversionError(
            f"{name} gives {outputs.kind}{told}; the label is declared as {len(wanted.names)} classes, of which a classifier with "
            "predict_proba tells the probabilities",
            hint="return a fitted classifier from train; wrap one without probabilities in CalibratedClassifierCV",
        )
    if not wanted.yes_or_no:
        raise ConversionError(
            f"{name} gives {outputs.kind}; the label is declared as a number, which a regressor of one value predicts",
            hint="return a fitted regressor from train, or leave answers out of the label",
        )
    if outputs.kind != "probability":
        told = f" of {', '.join(outputs.names)}" if outputs.names else ""
        raise ConversionError(
            f"{name} gives {outputs.kind}{told}; what is served is the probability of one of the classes 0 and 1",
            hint="return a fitted binary classifier from train, of labels 0 and 1; or declare the classes: answers=sk.classes(...)",
        )


def served_outputs(estimator: Any, wanted: Outputs = PROBABILITY) -> Outputs:
    """What an estimator is served as: its own answers, or of several classes the ``wanted`` ones, in their order.

    Raises
    ------
    ConversionError
        It gives something else than the label is declared to be, or knows other classes.
    """
    found = outputs_of(estimator)
    if found.of_classes and wanted.of_classes:
        declared_order(estimator, wanted)
        return wanted
    require_served(found, type(estimator).__name__, wanted)
    return found


def declared_order(estimator: Any, wanted: Outputs) -> tuple[int, ...]:
    """Where the declared classes stand among the estimator's.

    Raises
    ------
    ConversionError
        It knows other classes.
    """
    try:
        return wanted.columns_of(np.asarray(estimator.classes_).tolist())
    except ValueError as error:
        raise ConversionError(
            f"{type(estimator).__name__} is fitted on other classes than are declared: {error}",
            hint="fit it on frame.label, which holds the classes' places in sk.classes(...), or on their names; "
            "a network gives one number for each, in their order",
        ) from error


def ask(estimator: Any, outputs: Outputs) -> Callable[[Any], NDArray[np.float64]]:
    """The estimator's own method that gives these outputs, from a data frame: ``(n,)`` or ``(n, k)``, float64."""

    def told(data: Any) -> Any:
        match outputs.kind:
            case "probability":
                return estimator.predict_proba(data)[:, 1]
            case "probabilities":
                return estimator.predict_proba(data)
            case "class":
                return np.searchsorted(estimator.classes_, estimator.predict(data))
            case "value":
                return np.reshape(estimator.predict(data), (len(data), -1))
            case "values":
                return estimator.predict(data)
            case _:
                return estimator.decision_function(data)

    return lambda data: np.ascontiguousarray(told(data), dtype=np.float64)


def _of_classifier(estimator: Any, name: str) -> Outputs:
    classes = estimator.classes_
    if isinstance(classes, list):
        raise ConversionError(
            f"{name} predicts {len(classes)} labels at once", hint="fit one classifier for each of the labels"
        )
    names = tuple(str(one) for one in np.asarray(classes).tolist())
    if hasattr(estimator, "predict_proba"):
        return Outputs() if list(classes) == [0, 1] else Outputs(kind="probabilities", names=names)
    if hasattr(estimator, "decision_function"):
        return Outputs(kind="decision" if len(names) == 2 else "decisions", names=names)
    return Outputs(kind="class", names=names)


def _kind(estimator: Any) -> str:
    from sklearn.utils import get_tags

    try:
        return str(get_tags(estimator).estimator_type)
    except (AttributeError, TypeError, ValueError):
        return ""


def _fitted(estimator: Any) -> bool:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        return False
    return True
