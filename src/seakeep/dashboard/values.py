"""What each page shows, as one frozen value: the page's ``.json`` twin is this value, and the template reads only this.

Numbers that are missing are ``None``; a NaN inside a shared record becomes ``null`` in the twin.
"""

from __future__ import annotations

import math
from typing import Any
from typing import Literal as OneOf

import msgspec
import numpy as np

from seakeep.records.feature import FeatureColumn, FeatureKind
from seakeep.records.finding import Finding, Verdict
from seakeep.records.finding import Page as SentPage
from seakeep.records.gate import GateResult
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.prediction import Prediction, Role
from seakeep.records.release import Receipt, Release, Route
from seakeep.records.run import Metric, Run
from seakeep.records.version import ParityProof, Version


class TrafficWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Answered predictions in ``[from_us, to_us)``; latencies end to end, ``None`` where nothing was answered."""

    from_us: int
    to_us: int
    predictions: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    alert_rate: float | None


class QualityWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of the predictions in ``[from_us, to_us)``, before and after their labels came.

    Attributes
    ----------
    labelled, unlabelled
        Predictions with an outcome known by now, and without.
    estimated
        By metric name (``recall``, ``precision``, ``base_rate``, ``alert_rate``): as estimated before the labels.
    realised
        The same on the labels known by now; a metric is absent while nothing supports it.
    """

    from_us: int
    to_us: int
    labelled: int
    unlabelled: int
    estimated: dict[str, Metric]
    realised: dict[str, Metric]


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout that is still open.

    Attributes
    ----------
    stages
        Shares of keys the candidate answers, stage by stage; ``weight`` is the one in force.
    pairs, pairs_needed
        Requests that both versions scored in this stage, and how many are needed to leave it.
    evidence
        The comparison so far, in words, one sentence each.
    """

    champion: int
    candidate: int
    started_us: int
    weight: float
    stages: tuple[float, ...]
    pairs: int
    pairs_needed: int
    evidence: tuple[str, ...]


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model on the Now page, over the page's window.

    Attributes
    ----------
    quality_metric
        Name of the metric in ``estimated`` and ``realised``, for example ``recall``.
    estimated, realised
        Over the last seven days: as estimated before all labels are in, and on the labels that have come.
    recent
        Equal windows in the order of time, for the small charts.
    """

    name: str
    verdict: Verdict | None
    predictions: int
    errors: int
    p99_ms: float | None
    alert_rate: Metric | None
    quality_metric: str
    estimated: Metric | None
    realised: Metric | None
    champion: Route | None
    candidate: Route | None
    rollout: Rollout | None
    recent: tuple[TrafficWindow, ...]


class NowPage(msgspec.Struct, frozen=True, kw_only=True):
    """All models now, those that need attention first, the pages of the last seven days and the latest receipts.

    Attributes
    ----------
    losses
        What of the records cannot be read or is known to be missing, one sentence each.
    """

    now_us: int
    from_us: int
    to_us: int
    models: tuple[ModelRow, ...]
    receipts: tuple[Receipt, ...]
    pages: tuple[SentPage, ...] = ()
    losses: tuple[str, ...] = ()


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """One version that takes part in answering, over the page's range.

    Attributes
    ----------
    answered, shadowed
        Predictions it answered, and those it only computed beside the answering version.
    """

    route: Route
    since_us: int
    answered: int
    shadowed: int
    p99_ms: float | None
    alert_rate: Metric | None


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of rows by bin (or category) then and now; both sum to 1."""

    bins: tuple[str, ...]
    before: tuple[float, ...]
    now: tuple[float, ...]


class PredictionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction in a list; ``score`` is ``None`` if the request failed, ``decision`` where a number decides nothing.

    ``answer`` is the class of a model of classes, whose probability ``score`` then is.
    """

    id: str
    model: str
    version: int
    role: Role
    time_us: int
    recorded_us: int
    key: str
    score: float | None
    decision: bool | None
    total_us: float
    error: str
    answer: str = ""


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """One model over the range ``[from_us, to_us)``.

    Attributes
    ----------
    first_us, last_us
        The moments of the oldest and of the newest recorded prediction, what the range can show; 0 without any.
    action
        What to do next, in words; empty if nothing.
    gates
        What each gate found, by version reference (``late-arrival:3``).
    findings
        What changed, of every kind; the page ranks drift by the size of its effect.
    distributions
        Then and now, by the ``subject`` of a finding.
    released_us
        When each release took effect, on the time line of the predictions; they may live in the past, releases do not.
    """

    name: str
    now_us: int
    from_us: int
    to_us: int
    first_us: int
    last_us: int
    verdict: Verdict | None
    action: str
    predictions: int
    errors: int
    p99_ms: float | None
    alert_rate: Metric | None
    serving: tuple[Serving, ...]
    rollout: Rollout | None
    traffic: tuple[TrafficWindow, ...]
    quality: tuple[QualityWindow, ...]
    findings: tuple[Finding, ...]
    distributions: dict[str, Distribution]
    releases: tuple[Release, ...]
    released_us: tuple[int, ...]
    gates: dict[str, tuple[GateResult, ...]]
    receipts: tuple[Receipt, ...]
    recent: tuple[PredictionRow, ...]


class FeatureValue(msgspec.Struct, frozen=True, kw_only=True):
    """One input of the model as it was.

    Attributes
    ----------
    view
        The view it came from; ``""`` for the request itself.
    value
        ``None`` where it was missing.
    known_us
        When the newest event in its view became known; 0 if there was none or it came with the request.
    """

    name: str
    kind: FeatureKind
    view: str
    value: float | str | None
    known_us: int


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Time a request spent in one stage, in microseconds."""

    name: str
    spent_us: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it, yes or no or a number or a class, and when that could first be known."""

    value: bool | float | str
    known_us: int


class Reexecution(msgspec.Struct, frozen=True, kw_only=True):
    """The prediction computed again from its recorded inputs by the same bundle.

    Attributes
    ----------
    result
        ``equal``: every bit of the score is the same; ``different``; ``not-run``.
    score
        The score computed again, if it ran.
    detail
        Where it ran, or why it could not, in words.
    """

    result: OneOf["equal", "different", "not-run"]
    score: float | None
    detail: str


class PredictionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Why one prediction came out as it did: its inputs as they were, and whether they still give the same answer.

    Attributes
    ----------
    threshold
        The score from which the version's decision is "yes"; ``None`` if the version is gone.
    """

    row: PredictionRow
    bundle: str
    principal: str
    pair: str
    threshold: float | None
    request: dict[str, Any]
    features: tuple[FeatureValue, ...]
    stages: tuple[Stage, ...]
    outcome: Outcome | None
    reexecution: Reexecution


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """One training run and the versions made from it."""

    run: Run
    versions: tuple[Version, ...]


class VersionPage(msgspec.Struct, frozen=True, kw_only=True):
    """One version: its proof, its gates, and what it did in production.

    Attributes
    ----------
    route
        Its part in answering now; ``None`` if it has none.
    releases
        Those it took part in, and those that took it out.
    receipts
        Of the rollouts in which it was the candidate.
    """

    version: Version
    parity: ParityProof | None
    gates: tuple[GateResult, ...]
    route: Route | None
    releases: tuple[Release, ...]
    receipts: tuple[Receipt, ...]


Page = NowPage | ModelPage | PredictionPage | RunPage | VersionPage


def to_json(value: msgspec.Struct) -> bytes:
    """A value as JSON; a NumPy scalar, which is a float by type but not to the encoder, as its number.

    Raises
    ------
    TypeError
        It holds something that is not a value.
    """
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a page")


def prediction_row(prediction: Prediction, outputs: Outputs = PROBABILITY) -> PredictionRow:
    """A recorded prediction as one line of a list; ``outputs`` tells what its score is."""
    return PredictionRow(
        id=prediction.id,
        model=prediction.model,
        version=prediction.version,
        role=prediction.role,
        time_us=prediction.time_us,
        recorded_us=prediction.recorded_us,
        key=prediction.key,
        score=prediction.score if math.isfinite(prediction.score) else None,
        decision=prediction.decision if outputs.yes_or_no else None,
        total_us=prediction.total_us,
        error=prediction.error,
        answer=prediction.answer,
    )


def feature_values(
    prediction: Prediction, columns: tuple[FeatureColumn, ...], views: tuple[str, ...]
) -> tuple[FeatureValue, ...]:
    """The model's inputs as they were recorded.

    Parameters
    ----------
    columns
        The inputs of the definition that made the prediction, in its order.
    views
        Names of its views, in the order of ``prediction.feature_times_us``.
    """
    numbers, categories = iter(prediction.numbers), iter(prediction.categories)
    known = dict(zip(views, prediction.feature_times_us, strict=False))
    found: list[FeatureValue] = []
    for column in columns:
        value: float | str | None
        if column.kind == "number":
            number = next(numbers, math.nan)
            value = None if math.isnan(number) else number
        else:
            value = next(categories, "") or None
        found.append(
            FeatureValue(
                name=column.name, kind=column.kind, view=column.view, value=value, known_us=known.get(column.view, 0)
            )
        )
    return tuple(found)


def stages(prediction: Prediction) -> tuple[Stage, ...]:
    """Where the time went, in the order a request passes."""
    return (
        Stage(name="parse", spent_us=prediction.parse_us),
        Stage(name="features", spent_us=prediction.features_us),
        Stage(name="queue", spent_us=prediction.queue_us),
        Stage(name="model", spent_us=prediction.model_us),
    )
