import pytest

from seakeep.alerting.budget import should_page, symptomatic, within_budget
from seakeep.clock import DAY_US
from seakeep.records.finding import Finding, Verdict
from seakeep.records.model import AlertBudget

NOW_US = 100 * DAY_US


def finding(kind):
    return Finding(kind=kind, subject="x", effect=9.0, p_value=0.0, before=1.0, now=2.0, sentence="x")


def verdict(cause):
    return Verdict(cause=cause, confidence=0.9, headline="", evidence=(), numbers={})


@pytest.mark.parametrize(
    ("kind", "pages"),
    [
        ("quality", True),
        ("errors", True),
        ("latency", True),
        ("drift", False),
        ("throughput", False),
        ("alert-rate", False),
    ],
)
def test_only_symptoms_page(kind, pages):
    assert symptomatic([finding(kind)], verdict("nothing")) is pages


@pytest.mark.parametrize(
    ("cause", "pages"),
    [("model-failing", True), ("both", True), ("world-changed", False), ("nothing", False), ("cannot-tell", False)],
)
def test_only_a_failing_model_pages(cause, pages):
    assert symptomatic([], verdict(cause)) is pages


def test_budget_counts_the_last_seven_days_alone():
    budget = AlertBudget(per_week=2)
    old, recent, future = NOW_US - 8 * DAY_US, NOW_US - DAY_US, NOW_US + DAY_US
    assert within_budget(budget, (old, old, recent, future), now_us=NOW_US)
    assert not within_budget(budget, (recent, recent), now_us=NOW_US)


def test_no_budget_no_page():
    budget = AlertBudget(per_week=0)
    assert not should_page([finding("errors")], verdict("nothing"), budget=budget, pages_us=(), now_us=NOW_US)
