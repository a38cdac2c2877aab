"""Feature definitions: one declaration, used to train and to serve."""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec

from seakeep.records.expression import Binary, Column, Constant, Expression, Node, Unary
from seakeep.records.source import Events

AggregateName = OneOf["mean", "sum", "count", "latest"]
FeatureKind = OneOf["number", "category"]


class Aggregation(msgspec.Struct, frozen=True, kw_only=True):
    """A function over the recent events of one entity.

    An event belongs to the window of length ``w`` at time ``t`` when ``t - w <= known < t``, where ``known`` is the
    event's time plus its source's delay: the moment ``t`` itself is outside.
    """

    function: AggregateName
    value: Node
    windows: tuple[str, ...]


class FeatureView(msgspec.Struct, frozen=True):
    """Aggregations over the recent events of ``source`` that share ``entity`` with the asking row.

    Its inputs to the model are named ``{name}.{feature}_{window}``, for example ``carrier_recent.late_rate_24h``; those
    of :func:`latest` are named ``{name}.{feature}``.
    """

    name: str
    source: Events
    entity: str
    features: dict[str, Aggregation]


class RequestFeatures:
    """Features computed from the row that asks for a prediction: ``RequestFeatures(hour=col("scheduled").dt.hour())``."""

    def __init__(self, **features: Expression) -> None:
        self.features: dict[str, Node] = {name: _value(node) for name, node in features.items()}


class FeatureColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One input of the model: its name, its kind, and the view it comes from (``""``: the request)."""

    name: str
    kind: FeatureKind
    view: str = ""


def mean(value: Expression | str, *, over: list[str]) -> Aggregation:
    """Mean of the non-missing values in each window; missing when there is none."""
    return Aggregation(function="mean", value=_value(value), windows=tuple(over))


def total(value: Expression | str, *, over: list[str]) -> Aggregation:
    """Sum of the non-missing values in each window; 0 when there is none."""
    return Aggregation(function="sum", value=_value(value), windows=tuple(over))


def count(*, over: list[str]) -> Aggregation:
    """Number of events in each window."""
    return Aggregation(function="count", value=Constant(1.0), windows=tuple(over))


def latest(value: Expression | str, *, within: str) -> Aggregation:
    """Value of the last event known before the prediction, if it is at most ``within`` old; else missing."""
    return Aggregation(function="latest", value=_value(value), windows=(within,))


def _value(value: Expression | str) -> Node:
    if isinstance(value, str):
        return Column(value)
    if isinstance(value, (Column, Constant, Unary, Binary)):
        return value
    message = f"{value!r} is not an expression; build it from seakeep.col"
    raise TypeError(message)
