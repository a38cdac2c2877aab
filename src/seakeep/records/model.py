"""A model as its owner declares it, and the part of the declaration that travels with every version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from seakeep.clock import parse_duration
from seakeep.records.expression import Expression, Node, as_node
from seakeep.records.feature import FeatureColumn, FeatureView, RequestFeatures
from seakeep.records.gate import Gate
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.source import ColumnSchema, Events


class Label(msgspec.Struct, frozen=True):
    """What became of it: an expression over a later event with the same key.

    Parameters
    ----------
    source
        The events that tell the outcome; their ``key`` must hold the values of the asking source's ``key``.
    value
        True (or 1) for the positive class; a number, or the name of a class, where ``answers`` says so. Missing where the
        expression is missing.
    delay
        How long after the prediction the outcome is usually known; older predictions without one count as unlabelled.
    answers
        What is to be predicted: by default the probability of the positive class; :func:`seakeep.number` for a number,
        :func:`seakeep.classes` for one of several classes.
    """

    source: Events
    value: Node
    delay: str = "1d"
    answers: Outputs | msgspec.UnsetType = msgspec.UNSET  # not in the JSON of what says nothing: digests stay

    @property
    def outputs(self) -> Outputs:
        """What a model with this label answers."""
        return PROBABILITY if self.answers is msgspec.UNSET else self.answers

    @property
    def delay_us(self) -> int:
        """The delay in microseconds."""
        return parse_duration(self.delay)


class Threshold(msgspec.Struct, frozen=True, tag_field="decision", tag="threshold"):
    """Decide "yes" at scores of at least ``score``."""

    score: float = 0.5


class TopShare(msgspec.Struct, frozen=True, tag_field="decision", tag="top-share"):
    """Decide "yes" for the highest-scoring share of the validation rows; the threshold is fixed when trained."""

    share: float


Decision = Threshold | TopShare


class Canary(msgspec.Struct, frozen=True):
    """Let a new version answer growing shares of the traffic while it is compared with the champion.

    Parameters
    ----------
    stages
        Shares of keys answered by the candidate, growing to 1.
    min_pairs
        Paired predictions needed before a stage may be left.
    """

    stages: Sequence[float] = (0.01, 0.1, 0.5, 1.0)
    min_pairs: int = 200


class AlertBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How many times a week people may be interrupted for this model."""

    per_week: int = 1


class ModelDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a model's declaration that needs no Python to be understood; it is stored in every bundle.

    Attributes
    ----------
    request
        The source whose rows ask for predictions.
    schemas
        Columns of every source the definition reads, by source name, as seen when trained.
    columns
        The model's inputs, in order.
    rule
        The score where the model cannot answer, from the asking row alone; None: there is none.
    """

    name: str
    request: Events
    views: tuple[FeatureView, ...]
    request_features: dict[str, Node]
    label: Label
    decision: Decision
    schemas: dict[str, tuple[ColumnSchema, ...]] = {}
    columns: tuple[FeatureColumn, ...] = ()
    rule: Node | None = None


class Model:
    """A model: what asks for a prediction, from which features, of what, how trained and how released.

    Parameters
    ----------
    name
        Lower-case name, used in references, routes and the recorder.
    on
        The source whose rows ask for predictions.
    features
        Feature views and request features, in the order of the model's inputs.
    label
        The outcome.
    train
        ``train(frame) -> fitted estimator``; it gets labelled rows only.
    decision
        From which score on the answer is "yes"; by default 0.5.
    gates
        What must be true before a version may serve.
    rollout
        How a version that passed takes over.
    alerts
        How often people may be interrupted.
    rule
        The score where neither features nor a model can answer in time: a number, or an expression over the columns of the
        asking row. Without one such a request fails.

    Attributes
    ----------
    definition
        The part that travels with every version.
    """

    __slots__ = ("alerts", "definition", "gates", "rollout", "train")

    def __init__(  # noqa: PLR0913 -- one declaration, all by keyword
        self,
        name: str,
        *,
        on: Events,
        features: Sequence[FeatureView | RequestFeatures],
        label: Label,
        train: Callable[[Any], Any],
        decision: Decision | None = None,
        gates: Sequence[Gate] = (),
        rollout: Canary | None = None,
        alerts: AlertBudget | None = None,
        rule: Expression | float | None = None,
    ) -> None:
        requested: dict[str, Node] = {}
        for group in features:
            if isinstance(group, RequestFeatures):
                requested.update(group.features)
        self.definition = ModelDefinition(
            name=name,
            request=on,
            views=tuple(group for group in features if isinstance(group, FeatureView)),
            request_features=requested,
            label=label,
            decision=decision or Threshold(),
            rule=None if rule is None else as_node(rule),
        )
        self.train = train
        self.gates = tuple(gates)
        self.rollout = rollout or Canary()
        self.alerts = alerts or AlertBudget()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.definition.name
