"""How far a version of numbers or of classes errs, by the outcomes that came, beside how far it erred when it was accepted.

Why it errs is not judged, and no error is estimated before its outcome: both methods are for a yes or no alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from seakeep.clock import DAY_US
from seakeep.monitoring.estimate import usual_delay_us
from seakeep.monitoring.quality import realised
from seakeep.monitoring.significance import student_tail
from seakeep.records.finding import Errors, Finding

if TYPE_CHECKING:
    from seakeep.monitoring.history import History, Labelled
    from seakeep.records.run import Metric

DAYS = 7
MAX_P = 0.01
MATERIAL = 1.25
"""How many times the accepted error is worth a line."""
MIN_ROWS = 30
MIN_DAYS = 5
"""Of fewer days, resampled, there is no telling how unlike days are."""


def errors_of(history: History, *, now_us: int, seed: int = 0) -> Errors | None:
    """How far a version of numbers or of classes errs in its last seven days whose outcomes are usually known by now.

    Younger predictions are left out: where a small number is told sooner than a large one, as a duration is, those that
    have an outcome are not like the rest. None without such predictions.
    """
    history = history.until(now_us)
    accepted = history.reference.answered()
    to_us = now_us - usual_delay_us(accepted, history.live, now_us)
    rows = history.live.between(to_us - DAYS * DAY_US, to_us).answered()
    if not len(rows):
        return None
    known = np.isfinite(rows.labels(now_us))
    days = min(_days(rows.select(known)), _days(accepted.select(np.isfinite(accepted.labels(now_us)))))
    return Errors(
        from_us=to_us - DAYS * DAY_US,
        to_us=to_us,
        days=days,
        labelled=int(known.sum()),
        unlabelled=int((~known).sum()),
        metrics=realised(rows, now_us=now_us, seed=seed),
        accepted=realised(accepted, now_us=now_us, seed=seed),
    )


def larger_errors(found: Errors | None) -> list[Finding]:
    """A line where a version errs beyond chance and materially more than when it was accepted: by its RMSE or log-loss."""
    if found is None or found.labelled < MIN_ROWS or found.days < MIN_DAYS:
        return []
    subject = "rmse" if "rmse" in found.metrics else "log_loss"
    before, now = found.accepted[subject], found.metrics[subject]
    effect = _effect(before, now)
    p_value = student_tail(abs(effect), found.days - 1)
    if now.value < MATERIAL * before.value or p_value > MAX_P:
        return []
    name = "RMSE" if subject == "rmse" else "log-loss"
    told = f"{name} {now.value:.4g} on {found.labelled:,} predictions with an outcome, {before.value:.4g} when accepted"
    return [
        Finding(
            kind="quality",
            subject=subject,
            effect=effect,
            p_value=p_value,
            before=before.value,
            now=now.value,
            sentence=told + _more(found),
        )
    ]


def _more(found: Errors) -> str:
    """What else is to be told of errors: to which side numbers err, how often the class was right."""
    bias, right = found.metrics.get("bias"), found.metrics.get("accuracy")
    if bias and not bias.low <= 0 <= bias.high:
        return f"; on average {abs(bias.value):.4g} too {'high' if bias.value > 0 else 'low'}"
    return f"; the class was right in {right.value:.1%}, {found.accepted['accuracy'].value:.1%} then" if right else ""


def _effect(before: Metric, now: Metric) -> float:
    """The change in standard deviations, of which half the width of a 95 % interval is about two; 0 without noise to measure by."""
    noise = math.hypot(before.high - before.low, now.high - now.low) / 4
    return (now.value - before.value) / noise if noise else 0.0


def _days(rows: Labelled) -> int:
    return len(np.unique(rows.predictions.time_us // DAY_US))
