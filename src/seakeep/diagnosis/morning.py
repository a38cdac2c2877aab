"""The morning brief: what changed, why, and what to do, from what was known at that moment."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from seakeep.alerting.budget import FAILING, should_page
from seakeep.clock import DAY_US, format_moment
from seakeep.diagnosis.numbers import errors_of, larger_errors
from seakeep.diagnosis.verdict import BLIND, judge
from seakeep.monitoring.drift import broken, drift
from seakeep.monitoring.estimate import estimate
from seakeep.monitoring.history import History
from seakeep.monitoring.latency import Service, service, service_changes
from seakeep.monitoring.quality import realised
from seakeep.monitoring.significance import student_tail, surprise
from seakeep.records.feature import FeatureColumn
from seakeep.records.finding import Brief, Finding, Verdict
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seakeep.recorder.table import PredictionTable
    from seakeep.records.model import AlertBudget
    from seakeep.records.run import Metric

WEEK_DAYS = 7
WINDOW_DAYS = 28
MAX_P = 0.01
MATERIAL = math.log(1.25)
RANK = {"silence": -1, "errors": 0, "quality": 1, "latency": 2, "alert-rate": 3, "throughput": 4, "drift": 5}
BEYOND_MEASURE = 99.0
"""Effect of what has no noise to be measured by, such as a number that became a constant."""
DRIFT_LINES = 5
PREDICTED = "predicted value"
"""What the drift of predicted numbers is told of."""
CONFIDENCE, PREDICTED_CLASS = "confidence", "predicted class"
"""What the drift of predicted classes is told of: the probability of the class answered, and which it is."""
BLIND_POSITIVES = 24
"""Known positives from which a week without a hit says something."""


def brief(
    model: str,
    version: int,
    history: History,
    *,
    now_us: int,
    budget: AlertBudget,
    pages_us: Sequence[int] = (),
    seed: int = 0,
) -> Brief:
    """What a person should know at ``now_us`` about a version.

    Nothing recorded later and no outcome known later is used. The last day is compared with the days before it
    (errors, latency, requests, broken inputs), the last week with the weeks before it (alert rate, drift), and the
    last 28 days with the 28 before and with the validation rows (verdict).

    Parameters
    ----------
    history
        Of this version, with the names of its inputs.
    pages_us
        Moments of past pages for the model.
    """
    history = history.until(now_us)
    day = history.live.between(now_us - DAY_US, now_us)
    today = service(day.predictions)
    verdict = _verdict(history, now_us, seed)
    by_outcomes = not history.outputs.yes_or_no
    errors = errors_of(history, now_us=now_us, seed=seed) if by_outcomes else None
    lines = [
        *(service_changes(_past_days(history, now_us), today) if today.requests else _silence(history, now_us)),
        *_verdict_line(verdict, history, now_us, seed),
        *_blind_week(history, now_us, seed),
        *larger_errors(errors),
        *_alert_rate(history, now_us),
        *_inputs(history, now_us),
    ]
    lines.sort(key=lambda finding: (finding.subject != "silence", RANK[finding.kind], -abs(finding.effect)))
    return Brief(
        model=model,
        version=version,
        now_us=now_us,
        from_us=now_us - DAY_US,
        to_us=now_us,
        predictions=today.requests,
        errors=today.errors,
        refused=today.refused,
        p99_ms=0.0 if math.isnan(today.p99_ms) else today.p99_ms,
        estimate=estimate(history, from_us=now_us - WEEK_DAYS * DAY_US, to_us=now_us, now_us=now_us, seed=seed),
        verdict=verdict,
        lines=tuple(lines),
        page=should_page(lines, verdict, budget=budget, pages_us=pages_us, now_us=now_us),
        action=_action(model, verdict, lines),
        quality=errors if by_outcomes else msgspec.UNSET,
    )


def _verdict(history: History, now_us: int, seed: int) -> Verdict:
    from_us = now_us - WINDOW_DAYS * DAY_US
    recent = history.live.between(from_us, now_us).answered()
    lost = broken(history.reference.predictions, recent.predictions, history.columns)
    told = tuple(loss.sentence for loss in lost)
    return judge(history, from_us=from_us, to_us=now_us, now_us=now_us, broken_inputs=told, seed=seed)


def _verdict_line(verdict: Verdict, history: History, now_us: int, seed: int) -> list[Finding]:
    """A failing model is a line until it is mended; a changed world is news once."""
    if verdict.cause in {"nothing", "cannot-tell"}:
        return []
    failing = verdict.cause in FAILING
    if not failing and _verdict(history.until(now_us - DAY_US), now_us - DAY_US, seed).cause == verdict.cause:
        return []
    subject = "recall" if failing else "base_rate"
    before = verdict.numbers["recall_reference" if failing else "base_rate_before"]
    now = verdict.numbers[subject]
    return [
        Finding(
            kind="quality" if failing else "alert-rate",
            subject=subject,
            effect=_effect(before, now),
            p_value=1 - verdict.confidence,
            before=before.value,
            now=now.value,
            sentence=verdict.headline,
        )
    ]


def _silence(history: History, now_us: int) -> list[Finding]:
    """A day without a request after others.

    It is felt if a day of this kind (the same weekday, in the four weeks before) had requests; else it is news: a
    model that is asked on Mondays alone is silent on a Tuesday.
    """
    if not len(history.live):
        return []
    weeks = range(WEEK_DAYS, WINDOW_DAYS + 1, WEEK_DAYS)
    ends = [now_us - days * DAY_US for days in weeks]
    asked = [len(history.live.between(end - DAY_US, end)) for end in ends]
    last_us = int(history.live.predictions.time_us[-1])
    young = now_us - int(history.live.predictions.time_us[0]) < (WEEK_DAYS + 1) * DAY_US
    return [
        Finding(
            kind="silence" if any(asked) or young else "throughput",
            subject="silence",
            effect=-BEYOND_MEASURE,
            p_value=0.0,
            before=float(max(asked)),
            now=0.0,
            sentence=f"no requests in the last day; the last came {format_moment(last_us)}",
        )
    ]


def _blind_week(history: History, now_us: int, seed: int) -> list[Finding]:
    """A week whose positives went by next to unseen: four weeks and a calm that scores foretold hide it too well."""
    if not history.outputs.yes_or_no:
        return []
    week = history.live.between(now_us - WEEK_DAYS * DAY_US, now_us).answered()
    positive = week.labels(now_us) > 0
    hits = int((positive & week.predictions.decision).sum())
    accepted = history.reference.answered()
    caught_then = accepted.predictions.decision[accepted.labels(now_us) > 0]
    if (
        positive.sum() < BLIND_POSITIVES
        or hits >= BLIND * caught_then.sum() / max(1, len(caught_then)) * positive.sum()
    ):
        return []
    before, now = (realised(rows, now_us=now_us, seed=seed)["recall"] for rows in (accepted, week))
    if now.high >= BLIND * before.value:
        return []
    effect = _effect(before, now)
    caught = f"{hits} of {positive.sum():,} positives were alerted in the last week"
    return [
        Finding(
            kind="quality",
            subject="recall",
            effect=effect,
            p_value=student_tail(abs(effect), WEEK_DAYS - 1),
            before=before.value,
            now=now.value,
            sentence=f"{caught}, {before.value:.1%} when accepted",
        )
    ]


def _effect(before: Metric, now: Metric) -> float:
    """The change in standard deviations: half the width of a 95 % interval is about two."""
    noise = math.hypot(before.high - before.low, now.high - now.low) / 4
    return (now.value - before.value) / noise if noise else 0.0


def _past_days(history: History, now_us: int) -> list[Service]:
    ends = [now_us - days * DAY_US for days in range(1, WINDOW_DAYS + 1)]
    first = int(history.live.predictions.time_us[0]) if len(history.live) else now_us
    return [
        service(history.live.between(end - DAY_US, end).predictions)
        for end in ends
        if end - DAY_US >= first - DAY_US // 2
    ]


def _alert_rate(history: History, now_us: int) -> list[Finding]:
    """The last week's alert rate against the weeks before it."""
    if not history.outputs.yes_or_no:
        return []
    week = WEEK_DAYS * DAY_US
    windows = [
        history.period(now_us - (k + 1) * week, now_us - k * week) for k in range(2 * WINDOW_DAYS // WEEK_DAYS + 1)
    ]
    rates = [(rows.predictions.decision.sum() + 0.5) / (len(rows) + 1) for rows in windows if len(rows)]
    if len(rates) < WINDOW_DAYS // WEEK_DAYS + 1 or not len(windows[0]):
        return []
    now, past = float(rates[0]), np.array(rates[1:])
    usual = float(np.exp(np.log(past).mean()))
    floor = math.sqrt((1 - usual) / (usual * len(windows[0])))
    effect, p_value = surprise(np.log(past), math.log(now), floor=floor)
    if p_value > MAX_P or abs(math.log(now / usual)) < MATERIAL:
        return []
    sentence = f"alerts in the last week: {now:.1%} of predictions, usually {usual:.1%}"
    return [
        Finding(
            kind="alert-rate",
            subject="alerts",
            effect=effect,
            p_value=p_value,
            before=usual,
            now=now,
            sentence=sentence,
        )
    ]


def _inputs(history: History, now_us: int) -> list[Finding]:
    week_us = now_us - WEEK_DAYS * DAY_US
    base = history.live.between(week_us - WINDOW_DAYS * DAY_US, week_us).answered().predictions
    if not len(base) or base.time_us[-1] - base.time_us[0] < (WINDOW_DAYS - WEEK_DAYS) * DAY_US:
        base = history.reference.answered().predictions
    week = history.live.between(week_us, now_us).answered().predictions
    day = week.select(week.time_us >= now_us - DAY_US)
    lost = broken(history.reference.predictions, day, history.columns)
    gone = {loss.subject for loss in lost}
    lines = [
        Finding(
            kind="drift", subject=loss.subject, effect=BEYOND_MEASURE, p_value=0.0, before=loss.before, now=loss.now,
            sentence=f"broken input: {loss.sentence}",
        )
        for loss in lost
    ]  # fmt: skip
    columns, outputs = (*history.columns, *_predicted(history.outputs)), history.outputs
    drifted = drift(_beside(base, outputs), _beside(week, outputs), columns, window_days=WEEK_DAYS)
    return lines + [finding for finding in drifted if finding.subject not in gone][:DRIFT_LINES]


def _predicted(outputs: Outputs) -> tuple[FeatureColumn, ...]:
    """What is predicted, where it drifts as what goes in does; of a yes or no the alert rate tells."""
    if outputs.of_classes:
        return FeatureColumn(name=CONFIDENCE, kind="number"), FeatureColumn(name=PREDICTED_CLASS, kind="category")
    return () if outputs.yes_or_no else (FeatureColumn(name=PREDICTED, kind="number"),)


def _beside(rows: PredictionTable, outputs: Outputs) -> PredictionTable:
    """The rows with what was predicted as one more input of its kind, the last."""
    if outputs.yes_or_no:
        return rows
    numbers = np.column_stack([rows.numbers, rows.score])
    if not outputs.of_classes:
        return dataclasses.replace(rows, numbers=numbers)
    names = np.array(outputs.names, dtype=object)[np.argmax(rows.scores, axis=1)] if len(rows) else rows.key
    return dataclasses.replace(rows, numbers=numbers, categories=np.column_stack([rows.categories, names]))


def _action(model: str, verdict: Verdict, lines: Sequence[Finding]) -> str:
    """The next step for the most important thing found; empty when there is nothing to do."""
    kinds = {line.kind for line in lines}
    lost = next((line.subject for line in lines if line.kind == "drift" and line.effect == BEYOND_MEASURE), "")
    failing = verdict.cause in FAILING
    steps = (
        (
            any(line.subject == "silence" for line in lines),
            "Nobody asks: see that the service is up (`seakeep up`) and that requests reach it.",
        ),
        (
            "errors" in kinds,
            f"Requests are failing: `seakeep status`; if a release did it, `seakeep rollback {model}`.",
        ),
        (lost, f"Mend the feed of {lost}; until then predictions rest on less: `seakeep parity {model}`."),
        (
            failing and "threshold moved" in verdict.headline,
            f"If nobody meant to move the threshold: `seakeep rollback {model}`.",
        ),
        ("quality" in kinds, f"Train on recent outcomes and let the gates decide: `seakeep train {model}`."),
        ("latency" in kinds, "Look for the slow stage: `seakeep status`."),
        (lines, "Nothing to mend; see the evidence on the dashboard: `seakeep up`."),
    )
    return next((text for holds, text in steps if holds), "")
