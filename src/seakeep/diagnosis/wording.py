"""Verdicts in words, from the numbers alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from seakeep.records.finding import Cause, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seakeep.diagnosis.evidence import Evidence
    from seakeep.records.run import Metric

STEADY = 0.05
"""Changes smaller than this share are called steady."""
MATERIAL = 1.25
"""A fall of recall by this factor is told."""


def headline(cause: Cause, evidence: Evidence) -> str:
    """One sentence for a person."""
    alerts = moved("Alerts", evidence.all_alerts_before, evidence.all_alerts_now)
    positives = moved("positives", evidence.metrics["base_rate_before"].value, evidence.metrics["base_rate"].value)
    joint = "and" if cause == "world-changed" and _same_way(evidence) else "while"
    told = f"{alerts} {joint} {positives}"
    if cause == "nothing":
        return f"{told}: nothing changed beyond the usual"
    if cause == "world-changed":
        recall, accepted = evidence.metrics["recall"].value, evidence.metrics["recall_reference"].value
        if recall < accepted / MATERIAL:
            return (
                f"{told}: the world changed, and recall fell from {accepted:.1%} to {recall:.1%} as the scores foretold"
            )
        return f"{told}: the world changed, and the model is as good as when it was accepted"
    if evidence.threshold_moved:
        before, after = evidence.threshold_moved
        where = f"from {before:.3g} to {after:.3g}" if math.isfinite(after) else f"above every score, was {before:.3g}"
        return f"{told}: the decision threshold moved {where}"
    if evidence.broken_inputs:
        return f"{told}: the model is failing on a broken input: {evidence.broken_inputs[0]}"
    model = fault(evidence)
    return f"{told}: {model}" if cause == "model-failing" else f"{told}: the world changed, and {model}"


def _same_way(evidence: Evidence) -> bool:
    alerts = evidence.all_alerts_now - evidence.all_alerts_before
    return alerts * float(evidence.actual.world) >= 0


def fault(evidence: Evidence) -> str:
    """What the model does wrong, most telling first."""
    actual = evidence.actual
    worst = max(
        (-float(actual.recall), "the model is missing what it used to catch"),
        (float(actual.false_positive), "the model raises false alarms it did not raise before"),
        (-float(actual.separation), "the model no longer separates as it did"),
    )
    return worst[1]


def sentences(evidence: Evidence) -> tuple[str, ...]:
    """The evidence, one sentence each, in the order it matters."""
    metrics = evidence.metrics
    days = f"{len(evidence.recent)} days, {evidence.recent.total[:, :2].sum():,.0f} predictions with outcomes"
    actual = evidence.actual
    false_positives, false_positives_then = metrics["false_positive_rate"], metrics["false_positive_rate_reference"]
    promised = f"recall {factor(actual.recall_promised)}, missed positives {factor(actual.missed)}, false alarms {factor(actual.false_alarms)}"
    lines = [
        f"Positives: {span(metrics['base_rate'])} of predictions, before {span(metrics['base_rate_before'])} ({days}).",
        f"Recall: {span(metrics['recall'])} of positives were alerted, {span(metrics['recall_reference'])} when accepted.",
        f"Against what the scores promised: {promised}.",
        f"False-positive rate: {span(false_positives)}, {span(false_positives_then)} when accepted.",
        f"ROC AUC: {number(metrics['roc_auc'])}, {number(metrics['roc_auc_reference'])} when accepted.",
    ]
    if evidence.threshold_moved:
        before, after = evidence.threshold_moved
        now = f"{after:.3g}" if math.isfinite(after) else "nothing is alerted"
        lines.insert(0, f"Decisions follow another threshold: {now}, was {before:.3g}.")
    lines[:0] = [f"Broken input: {one}." for one in evidence.broken_inputs]
    return tuple(lines)


def abstention(reason: str, evidence: Evidence | None = None) -> Verdict:
    """The verdict ``cannot-tell`` with its reason."""
    return Verdict(
        cause="cannot-tell",
        confidence=0.0,
        headline=f"Cannot tell: {reason}",
        evidence=sentences(evidence) if evidence else (),
        numbers=evidence.metrics if evidence else {},
    )


def moved(what: str, before: float, now: float) -> str:
    """``"Alerts fell 26 %"``."""
    if not before:
        return f"{what} {'appeared' if now else 'stayed at none'}"
    change = now / before - 1
    if abs(change) < STEADY:
        return f"{what} held steady ({change:+.0%})"
    return f"{what} {'rose' if change > 0 else 'fell'} {abs(change):.0%}"


def span(metric: Metric) -> str:
    """``"23.3 % (20.1 to 26.8)"``."""
    return f"{metric.value:.1%} ({100 * metric.low:.1f} to {100 * metric.high:.1f})"


def number(metric: Metric) -> str:
    """``"0.726 (0.701 to 0.745)"``."""
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def factor(log_ratio: NDArray[np.float64]) -> str:
    """``"1.85 times"``."""
    return f"{math.exp(float(log_ratio)):.2f} times"
