"""Whether to interrupt a person: only for a symptom, and only within the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seakeep.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seakeep.records.finding import Finding, Verdict
    from seakeep.records.model import AlertBudget

WEEK_US = 7 * DAY_US
SYMPTOMS = frozenset({"quality", "errors", "latency"})
"""What users feel. Drift and traffic are evidence inside an incident; alerts that follow the world are news."""
FAILING = frozenset({"model-failing", "both"})


def symptomatic(findings: Sequence[Finding], verdict: Verdict) -> bool:
    """Whether anything found is a symptom: errors, latency, worse answers, or a model that is failing."""
    return verdict.cause in FAILING or any(finding.kind in SYMPTOMS for finding in findings)


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
    return symptomatic(findings, verdict) and within_budget(budget, pages_us, now_us=now_us)
