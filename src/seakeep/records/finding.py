"""What watching finds: findings, estimates, verdicts and the morning brief."""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec

from seakeep.records.run import Metric

Cause = OneOf["nothing", "world-changed", "model-failing", "both", "cannot-tell"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that changed.

    Attributes
    ----------
    kind
        ``silence``, ``latency``, ``errors``, ``throughput``, ``drift``, ``quality`` or ``alert-rate``.
    subject
        What changed, for example a feature or a metric.
    effect
        Size of the change in units of the series' own noise (standard deviations of its past windows).
    p_value
        After correction for the number of subjects looked at.
    before, now
        The value then and now.
    sentence
        For a person, with numbers.
    """

    kind: OneOf["silence", "latency", "errors", "throughput", "drift", "quality", "alert-rate"]
    subject: str
    effect: float
    p_value: float
    before: float
    now: float
    sentence: str


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of a window before all its labels are in.

    Attributes
    ----------
    labelled, unlabelled
        Predictions with an outcome known by then, and without; one younger than outcomes usually take counts as without.
    metrics
        ``base_rate``, ``recall``, ``precision``, ``alert_rate`` by name: realised on labelled rows, estimated on the
        others, with a 95 % interval.
    anchored
        Whether outcomes of the last two weeks corrected the estimate; else it rests on the validation rows alone.
    """

    from_us: int
    to_us: int
    labelled: int
    unlabelled: int
    metrics: dict[str, Metric]
    anchored: bool = True


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Did the world change, or is the model failing?

    Attributes
    ----------
    cause
        What the evidence supports, or ``cannot-tell``.
    confidence
        0 to 1: the share of resampled histories that give the same cause.
    headline
        One sentence for a person.
    evidence
        One sentence each, with numbers and intervals, in the order they matter.
    numbers
        The numbers behind the sentences, by name.
    """

    cause: Cause
    confidence: float
    headline: str
    evidence: tuple[str, ...]
    numbers: dict[str, Metric]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody was told at once.

    Attributes
    ----------
    time_us
        The moment that was judged, in the time of the predictions.
    reasons
        What was wrong, one sentence each, the most important first.
    action
        What to do next, in words; empty if nothing.
    """

    model: str
    version: int
    time_us: int
    reasons: tuple[str, ...]
    action: str


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """How far a version of numbers or of classes errs, on outcomes alone: nothing is estimated.

    Attributes
    ----------
    from_us, to_us
        The predictions spoken of; none so young that its outcome is not usually known.
    days
        Days with an outcome, of these or of the validation rows, whichever has fewer.
    labelled, unlabelled
        Predictions with an outcome known by then, and without.
    metrics, accepted
        ``mae``, ``rmse`` and ``bias``, or ``log_loss``, ``brier``, ``accuracy`` and ``macro_f1``, with 95 % intervals; the
        same of its validation rows.
    """

    from_us: int
    to_us: int
    days: int
    labelled: int
    unlabelled: int
    metrics: dict[str, Metric]
    accepted: dict[str, Metric]


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """What a person should know in the morning, on one screen.

    Attributes
    ----------
    lines
        What changed, most important first; empty on a quiet night.
    page
        Whether somebody should have been woken, within the alert budget.
    errors, refused
        Requests that failed here, and those that were the client's mistake.
    pages
        Those that were sent in the seven days before.
    action
        What to do next, in words; empty if nothing.
    quality
        Of a version of numbers, which has no ``estimate``: None without predictions old enough; absent for others.
    """

    model: str
    version: int
    now_us: int
    from_us: int
    to_us: int
    predictions: int
    errors: int
    p99_ms: float
    estimate: Estimate | None
    verdict: Verdict
    lines: tuple[Finding, ...]
    page: bool
    action: str
    pages: tuple[Page, ...] = ()
    refused: int = 0
    quality: Errors | msgspec.UnsetType | None = msgspec.UNSET
