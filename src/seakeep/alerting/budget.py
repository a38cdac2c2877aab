"""Whether to interrupt a person: only for a symptom, and only within the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seakeep.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seakeep.records.finding import Finding, Page, Verdict
    from seakeep.records.model import AlertBudget

WEEK_US = 7 * DAY_US
SYMPTOMS = frozenset({"silence", "quality", "errors", "latency"})
"""What users feel. Drift and traffic are evidence inside an incident; alerts that follow the world are news."""
FAILING = frozenset({"model-failing", "both"})


def symptoms(findings: Sequence[Finding], verdict: Verdict) -> tuple[str, ...]:
    """What was found that users feel, one sentence each: silence, errors, latency, worse answers, or a model that is failing."""
    felt = tuple(finding.sentence for finding in findings if finding.kind in SYMPTOMS)
    return felt or (verdict.headline,) * (verdict.cause in FAILING)


def recent(pages: Sequence[Page], *, now_us: int) -> tuple[Page, ...]:
    """The pages of the seven days before a moment."""
    return tuple(page for page in pages if now_us - WEEK_US < page.time_us < now_us)


def within_budget(budget: AlertBudget, pages_us: Sequence[int], *, now_us: int) -> bool:
    """Whether one more page at ``now_us`` keeps the last seven days within the budget.

    Parameters
    ----------
    pages_us
        Moments of past pages for the model; those from ``now_us`` on are ignored.
    """
    return sum(now_us - WEEK_US < page < now_us for page in pages_us) < budget.per_week


def should_page(
    findings: Sequence[Finding], verdict: Verdict, *, budget: AlertBudget, pages_us: Sequence[int], now_us: int
) -> bool:
    """Whether to wake somebody."""
    return bool(symptoms(findings, verdict)) and within_budget(budget, pages_us, now_us=now_us)
