"""Did the world change, or is the model failing? Asked when alerts become fewer or more.

Two claims are judged apart, each by ratios that must be *material* (a factor of 1.25) and *beyond noise* (one standard
error, on most of the resampled histories):

*The world changed* when the rate of positives among labelled predictions differs from the previous period. Only
outcomes can say so; the model's own scores and alerts are never evidence for it.

*The model is failing* when it is worse than when it was accepted, and neither the world nor the inputs explain that:

- it misses: recall fell, and it is below what the scores promise at the accepted threshold, or more positives came
  without an alert than the scores promised;
- it cries wolf: the false-positive rate rose, and more alerts were false than its scores promised, or the positives
  did not become more along with the alerts;
- it no longer separates: ROC AUC fell below both the reference's and the one its scores promised.

Recall alone would not do: when storms become rare, what is left of lateness is harder to foresee, and a model that says
so is right. So the excuse is the promise of the scores as they were, not the calm itself: alerts that stop while scores
go on as before break it, and so do scores that sink while positives go on. A broken input or a moved threshold takes
it away, and no excuse makes a recall near zero good: there the verdict abstains.

The confidence is the share of resampled histories (circular blocks of days) that give the same cause. The verdict is
``cannot-tell`` where they disagree about one of the claims or most do not share the cause, and where outcomes are missing or too few. The claim about
the model must be the surer one: to mistake an ordinary month for a changed world does little harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seakeep.alerting.budget import FAILING
from seakeep.diagnosis.evidence import Evidence, Periods, Ratios, gather
from seakeep.diagnosis.wording import abstention, headline, sentences
from seakeep.records.finding import Cause, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.monitoring.history import History

MATERIAL = float(np.log(1.25))
MODEL_CERTAINTY = 0.7
WORLD_CERTAINTY = 0.6
CERTAINTY = 0.5
BLIND = 0.25
"""A recall below this share of the accepted one is never excused."""
MIN_POSITIVES = 30
MIN_DAYS = 7
MIN_COVERAGE = 0.8
MAX_ERROR = float(np.log(1.5))
CAUSES: tuple[Cause, ...] = ("nothing", "world-changed", "model-failing", "both")


def judge(
    history: History,
    *,
    from_us: int,
    to_us: int,
    now_us: int,
    previous_from_us: int | None = None,
    broken_inputs: tuple[str, ...] = (),
    seed: int = 0,
) -> Verdict:
    """The verdict on ``[from_us, to_us)`` from what was known at ``now_us``.

    Parameters
    ----------
    previous_from_us
        Start of the period it is compared with, which ends at ``from_us``; by default as long as the recent one.
    broken_inputs
        Inputs known to have lost their information, one sentence each (:func:`seakeep.monitoring.drift.broken`).
    seed
        Of the resampling.
    """
    if not history.outputs.yes_or_no:
        what = "classes" if history.outputs.of_classes else "numbers"
        return abstention(
            f"a verdict on predicted {what} is not estimated yet; see how far they are from the known outcomes"
        )
    start = 2 * from_us - to_us if previous_from_us is None else previous_from_us
    periods = Periods.of(history.until(now_us), from_us=from_us, to_us=to_us, previous_from_us=start)
    evidence = gather(periods, now_us=now_us, seed=seed, broken_inputs=broken_inputs)
    if evidence is None:
        return abstention("no outcomes are known yet for this period or for what it is compared with")
    reason = _insufficient(evidence)
    if reason:
        return abstention(reason, evidence)
    return weigh(evidence)


def weigh(evidence: Evidence) -> Verdict:
    """The cause most resampled histories agree on, or ``cannot-tell``."""
    error = evidence.resampled.map("std")
    excused = not (evidence.broken_inputs or evidence.threshold_moved)
    world = changed(evidence.resampled, error)
    failing = fails(evidence.resampled, error, excusable=excused)
    says_world, says_failing = float(world.mean()), float(failing.mean())
    cause = CAUSES[int(says_world > 0.5) + 2 * int(says_failing > 0.5)]
    confidence = float((world + 2 * failing == CAUSES.index(cause)).mean())
    if max(says_failing, 1 - says_failing) < MODEL_CERTAINTY:
        return abstention(
            f"the days disagree whether the model is failing: {says_failing:.0%} of resampled histories say so",
            evidence,
        )
    if max(says_world, 1 - says_world) < WORLD_CERTAINTY:
        model = "the model is failing" if says_failing > 0.5 else "the model is not failing"
        told = f"{model}, but only {says_world:.0%} of resampled histories say that the world changed"
        return abstention(told, evidence)
    if confidence <= CERTAINTY:
        return abstention(f"only {confidence:.0%} of resampled histories have one cause, {cause}", evidence)
    recall, accepted = (evidence.metrics[name].value for name in ("recall", "recall_reference"))
    if cause not in FAILING and recall < BLIND * accepted:
        reason = (
            f"recall fell from {accepted:.1%} to {recall:.1%}; the scores foretold it, yet such a model is not good"
        )
        return abstention(reason, evidence)
    unexplained = abs(float(evidence.actual.alerts)) > max(MATERIAL, error["alerts"])
    if cause == "nothing" and unexplained:
        reason = "alerts moved, yet neither the rate of positives nor the model's quality moved beyond its own noise"
        return abstention(reason, evidence)
    return Verdict(
        cause=cause,
        confidence=confidence,
        headline=headline(cause, evidence),
        evidence=sentences(evidence),
        numbers=evidence.metrics,
    )


def changed(ratios: Ratios, error: dict[str, float]) -> NDArray[np.int64]:
    """1 where the rate of positives moved materially and beyond noise, else 0."""
    return (np.abs(ratios.world) > max(MATERIAL, error["world"])).astype(np.int64)


def fails(ratios: Ratios, error: dict[str, float], *, excusable: bool) -> NDArray[np.int64]:
    """1 where the model is worse than accepted and nothing outside it explains that, else 0."""

    def up(name: str) -> NDArray[np.bool_]:
        return np.asarray(getattr(ratios, name) > max(MATERIAL, error[name]))

    def down(name: str, errors: int = 1) -> NDArray[np.bool_]:
        return np.asarray(getattr(ratios, name) < -max(MATERIAL, errors * error[name]))

    world_rose = ratios.world_since_accepted > MATERIAL / 2
    misses = down("recall") & (down("recall_promised") | up("missed") | (not excusable))
    cries_wolf = up("false_positive") & (up("false_alarms") | ~(world_rose & excusable))
    # Separation speaks alone, without the world as a second witness, so it must be twice as clear.
    blurred = down("separation", 2) & (down("separation_promised", 2) | (not excusable))
    return (misses | cries_wolf | blurred).astype(np.int64)


def _insufficient(evidence: Evidence) -> str:
    """Why the labels do not suffice, or ``""``."""
    periods = {"reference": evidence.reference, "previous": evidence.previous, "recent": evidence.recent}
    if evidence.coverage < MIN_COVERAGE * evidence.usual_coverage:
        return (
            f"only {evidence.coverage:.0%} of the predictions that should have an outcome by now have one "
            f"(usually {evidence.usual_coverage:.0%}): outcomes are missing or late"
        )
    for name, counts in periods.items():
        positives = int(counts.total[:, 1].sum())
        if len(counts) < MIN_DAYS or positives < MIN_POSITIVES:
            return f"the {name} period has {positives} labelled positives on {len(counts)} days: too few"
    if evidence.resampled.map("std")["world"] > MAX_ERROR:
        return "the rate of positives varies so much from day to day that a change by half would not show"
    return ""
