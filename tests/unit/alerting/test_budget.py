import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.alerting.budget import WEEK_US, should_page, symptoms, within_budget
from seakeep.clock import DAY_US
from seakeep.records.finding import Finding, Verdict
from seakeep.records.model import AlertBudget

NOW_US = 100 * DAY_US


def finding(kind):
    return Finding(kind=kind, subject="x", effect=9.0, p_value=0.0, before=1.0, now=2.0, sentence="x")


def verdict(cause):
    return Verdict(cause=cause, confidence=0.9, headline="it fails", evidence=(), numbers={})


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
    assert bool(symptoms([finding(kind)], verdict("nothing"))) is pages


@pytest.mark.parametrize(
    ("cause", "pages"),
    [("model-failing", True), ("both", True), ("world-changed", False), ("nothing", False), ("cannot-tell", False)],
)
def test_only_a_failing_model_pages(cause, pages):
    assert bool(symptoms([], verdict(cause))) is pages


def test_budget_counts_the_last_seven_days_alone():
    budget = AlertBudget(per_week=2)
    old, recent, future = NOW_US - 8 * DAY_US, NOW_US - DAY_US, NOW_US + DAY_US
    assert within_budget(budget, (old, old, recent, future), now_us=NOW_US)
    assert not within_budget(budget, (recent, recent), now_us=NOW_US)


def test_no_budget_no_page():
    budget = AlertBudget(per_week=0)
    assert not should_page([finding("errors")], verdict("nothing"), budget=budget, pages_us=(), now_us=NOW_US)


@pytest.mark.parametrize(
    ("ago_us", "counts"),
    [(-1, False), (0, False), (1, True), (WEEK_US - 1, True), (WEEK_US, False), (WEEK_US + 1, False)],
)
def test_a_page_counts_for_seven_days_to_the_microsecond(ago_us, counts):
    assert within_budget(AlertBudget(per_week=1), [NOW_US - ago_us], now_us=NOW_US) is not counts


@pytest.mark.parametrize("cause", ["model-failing", "both"])
def test_a_symptom_within_the_budget_pages_and_beyond_it_does_not(cause):
    budget = AlertBudget(per_week=1)
    assert should_page([], verdict(cause), budget=budget, pages_us=(), now_us=NOW_US)
    assert not should_page([], verdict(cause), budget=budget, pages_us=(NOW_US - 1,), now_us=NOW_US)
    assert not should_page([finding("drift")], verdict("world-changed"), budget=budget, pages_us=(), now_us=NOW_US)


@given(st.integers(0, 4), st.sets(st.integers(0, 5 * WEEK_US), max_size=60))
def test_no_seven_days_ever_hold_more_pages_than_the_budget(per_week, moments):
    pages = []
    for now_us in sorted(moments):
        if should_page(
            [finding("errors")],
            verdict("nothing"),
            budget=AlertBudget(per_week=per_week),
            pages_us=pages,
            now_us=now_us,
        ):
            pages.append(now_us)
    for last in pages:
        assert sum(last - WEEK_US < page <= last for page in pages) <= per_week
    assert len(pages) >= min(per_week, len(moments))
