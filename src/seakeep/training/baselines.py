"""What a model must beat: the base rate, and a linear model that anybody could have written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

import numpy as np

from seakeep.features.frame import Frame
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.training import multinomial

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_ROWS = 200_000
_MAX_CATEGORIES = 30
_MIN_CATEGORY_ROWS = 20
_RIDGE = 1.0
_MAX_STEPS = 30


class Baseline(Protocol):
    """A fitted baseline."""

    def score(self, frame: Frame) -> NDArray[np.float64]:
        """Probability of the positive class, or the number predicted: float64 ``(n,)``; or of each class, ``(n, classes)``."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Constant:
    """Gives every row the base rate of the training rows, or the mean number, or the share of each class."""

    rate: float | NDArray[np.float64]

    def score(self, frame: Frame) -> NDArray[np.float64]:
        """The same for each of ``n`` rows."""
        return np.full((len(frame), *np.shape(self.rate)), self.rate)


@dataclasses.dataclass(frozen=True, slots=True)
class NumberTerms:
    """How a number enters the linear model: standardised, its median where missing, and a flag for missing."""

    median: float
    mean: float
    deviation: float
    flagged: bool

    def terms(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """One or two columns ``(n,)``."""
        gaps = np.isnan(values)
        terms = [(np.where(gaps, self.median, values) - self.mean) / self.deviation]
        return [*terms, gaps.astype(np.float64)] if self.flagged else terms


@dataclasses.dataclass(frozen=True, slots=True)
class CategoryTerms:
    """How a category enters the linear model: one column for each frequent value."""

    values: tuple[str, ...]

    def terms(self, values: NDArray[np.object_]) -> list[NDArray[np.float64]]:
        """One column ``(n,)`` for each frequent value."""
        place = {value: position for position, value in enumerate(self.values)}
        codes = np.array([place.get(value, -1) for value in values.tolist()], dtype=np.int64)
        return [(codes == position).astype(np.float64) for position in range(len(self.values))]


@dataclasses.dataclass(frozen=True, slots=True)
class Linear:
    """Ridge regression on standardised numbers and frequent categories: logistic, multinomial, or of a number."""

    encoders: dict[str, NumberTerms | CategoryTerms]
    weights: NDArray[np.float64]
    outputs: Outputs = PROBABILITY

    def score(self, frame: Frame) -> NDArray[np.float64]:
        """Probability of the positive class, or the number: float64 ``(n,)``; or of each class, ``(n, classes)``."""
        margin = np.asarray(_design(self.encoders, frame) @ self.weights, dtype=np.float64)
        if self.outputs.of_classes:
            return multinomial.softmax(margin)
        return _sigmoid(margin) if self.outputs.yes_or_no else margin


def fit_constant(frame: Frame, outputs: Outputs = PROBABILITY) -> Constant:
    """The base rate, or the mean number, or the share of each class, of labelled rows."""
    return Constant(_came(frame, outputs).mean(axis=0) if outputs.of_classes else float(frame.label.mean()))


def fit_linear(frame: Frame, outputs: Outputs = PROBABILITY) -> Linear:
    """Fit ridge logistic regression to labelled rows by iteratively reweighted least squares; to numbers, least squares;
    to classes, multinomial logistic regression.

    Of more than 200,000 rows, that many evenly spread ones are used. The intercept is not penalised.

    References
    ----------
    Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, section 4.4.1.
    le Cessie and van Houwelingen (1992), Ridge estimators in logistic regression, Applied Statistics 41(1).
    """
    if len(frame) > _MAX_ROWS:
        frame = frame.select(np.linspace(0, len(frame) - 1, _MAX_ROWS).astype(np.int64))
    encoders = {column.name: _encoder(column, frame) for column in frame.columns}
    design = _design(encoders, frame)
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[0] = 0.0
    if outputs.of_classes:
        return Linear(encoders, multinomial.solve(design, _came(frame, outputs), penalty), outputs)
    if not outputs.yes_or_no:
        solved = np.linalg.solve(design.T @ design + np.diag(penalty + 1e-9), design.T @ frame.label)
        return Linear(encoders, solved.astype(np.float64), outputs)
    rate = float(np.clip(frame.label.mean(), 1e-6, 1 - 1e-6))
    weights = np.zeros(design.shape[1])
    weights[0] = np.log(rate / (1 - rate))
    loss = _loss(design, frame.label, weights, penalty)
    for _ in range(_MAX_STEPS):
        probability = _sigmoid(design @ weights)
        curvature = np.maximum(probability * (1 - probability), 1e-9)
        gradient = design.T @ (probability - frame.label) + penalty * weights
        # The tiny addition keeps the system solvable when the intercept alone explains everything.
        hessian = (design * curvature[:, None]).T @ design + np.diag(penalty + 1e-9)
        step: NDArray[np.float64] = np.linalg.solve(hessian, gradient).astype(np.float64)
        weights, before, loss = _descend(design, frame.label, (weights, step, loss), penalty)
        if before - loss <= 1e-9 * abs(before):
            break
    return Linear(encoders, weights)


def _came(frame: Frame, outputs: Outputs) -> NDArray[np.float64]:
    """1 at the class that came, else 0: ``(n, classes)``."""
    return np.eye(len(outputs.names))[frame.label.astype(np.int64)]


def _descend(
    design: NDArray[np.float64],
    label: NDArray[np.float64],
    state: tuple[NDArray[np.float64], NDArray[np.float64], float],
    penalty: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float, float]:
    """Take the step, halved until the loss does not rise: Newton's method alone can diverge."""
    weights, step, before = state
    for _ in range(20):
        moved = weights - step
        loss = _loss(design, label, moved, penalty)
        if loss <= before:
            return moved, before, loss
        step = step / 2
    return weights, before, before


def _loss(
    design: NDArray[np.float64], label: NDArray[np.float64], weights: NDArray[np.float64], penalty: NDArray[np.float64]
) -> float:
    margin = design @ weights
    return float(np.sum(np.logaddexp(0.0, margin) - label * margin) + 0.5 * np.sum(penalty * weights**2))


def _sigmoid(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -margin)), dtype=np.float64)


def _design(encoders: dict[str, NumberTerms | CategoryTerms], frame: Frame) -> NDArray[np.float64]:
    terms = [np.ones(len(frame))]
    for name, encoder in encoders.items():
        terms += encoder.terms(frame.values[name])
    return np.column_stack(terms)


def _encoder(column: FeatureColumn, frame: Frame) -> NumberTerms | CategoryTerms:
    values = frame.values[column.name]
    if column.kind == "category":
        names, counts = np.unique(values, return_counts=True)
        frequent = np.argsort(-counts, kind="stable")[:_MAX_CATEGORIES]
        return CategoryTerms(tuple(str(names[one]) for one in frequent if counts[one] >= _MIN_CATEGORY_ROWS))
    gaps = np.isnan(values)
    median = float(np.median(values[~gaps])) if not gaps.all() else 0.0
    filled = np.where(gaps, median, values)
    return NumberTerms(median, float(filled.mean()), float(filled.std()) or 1.0, bool(gaps.any()))
