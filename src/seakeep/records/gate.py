"""Gates: what must be true of a version before it may serve, and what was found."""

from __future__ import annotations

import msgspec


class MetricGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="gate", tag="metric"):
    """A validation metric must lie on the right side of a limit."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None


class BaselineGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="gate", tag="baseline"):
    """The log-loss (of a number: the squared error) must be better than the constant's and the linear model's, beyond doubt
    (paired interval).
    """


class ChampionGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="gate", tag="champion"):
    """The log-loss must be shown not to be worse than the champion's on the same rows by more than ``margin``.

    Of a number it is the squared error, and the margin is a share of the champion's.
    """

    margin: float = 0.01


class SliceGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="gate", tag="slices"):
    """In every slice of ``column`` with ``min_rows`` labelled rows, the metric must be within the limits."""

    column: str
    metric: str = "roc_auc"
    at_least: float | None = 0.5
    min_rows: int = 500
    at_most: float | None = None


class LatencyGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="gate", tag="latency"):
    """99 % of single-row inferences must take at most this long."""

    p99_ms: float


class ParityGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="gate", tag="parity"):
    """The served model must be proved to be the trained model."""


Gate = MetricGate | BaselineGate | ChampionGate | SliceGate | LatencyGate | ParityGate


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate found.

    Attributes
    ----------
    gate
        Name of the gate, for example ``"roc_auc"`` or ``"slices:carrier"``.
    passed
        Whether the version may pass.
    observed, required
        In words, with numbers and units.
    evidence
        The record that supports it, for example ``"run r-3f2a"`` or a sha256 of a proof.
    """

    gate: str
    passed: bool
    observed: str
    required: str
    evidence: str


def metric(name: str, *, at_least: float | None = None, at_most: float | None = None) -> MetricGate:
    """Require a validation metric to be at least or at most a limit."""
    return MetricGate(metric=name, at_least=at_least, at_most=at_most)


def better_than_baselines() -> BaselineGate:
    """Require the model to beat the constant and the linear baseline."""
    return BaselineGate()


def no_worse_than_champion(*, margin: float = 0.01) -> ChampionGate:
    """Require proof, with 95 % confidence, that the log-loss is within ``margin`` of the champion's on the same rows."""
    return ChampionGate(margin=margin)


def slices(
    column: str,
    *,
    metric: str = "roc_auc",
    at_least: float | None = None,
    at_most: float | None = None,
    min_rows: int = 500,
) -> SliceGate:
    """Require a metric to be at least or at most a limit in every slice of a column; without limits at least 0.5."""
    if at_least is None and at_most is None:
        at_least = 0.5
    return SliceGate(column=column, metric=metric, at_least=at_least, min_rows=min_rows, at_most=at_most)


def latency(*, p99_ms: float) -> LatencyGate:
    """Require the 99th percentile of single-row inference to be at most ``p99_ms`` milliseconds."""
    return LatencyGate(p99_ms=p99_ms)


def parity() -> ParityGate:
    """Require the parity proof."""
    return ParityGate()
