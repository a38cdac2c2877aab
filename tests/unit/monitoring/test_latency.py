import dataclasses
import math

import numpy as np
import pytest
from tests.unit.diagnosis.streams import LIVE_US, Change, simulate

from seakeep.clock import DAY_US, MICROSECONDS
from seakeep.monitoring.latency import Service, service, service_by_version, service_changes


def days(count: int, seed: int = 0, per_day: int = 400) -> list[Service]:
    live = simulate(Change(per_day=per_day), seed).live
    return [service(live.between(LIVE_US + d * DAY_US, LIVE_US + (d + 1) * DAY_US).predictions) for d in range(count)]


def test_summary_counts_what_clients_waited_for():
    table = simulate(Change(per_day=50), 0).live.predictions.select(slice(0, 100))
    n = np.arange(100)
    table = dataclasses.replace(
        table,
        role=np.where(n < 20, "shadow", "champion").astype(object),
        error=np.where(n >= 90, "unavailable", "").astype(object),
        recorded_us=n * MICROSECONDS,
        total_us=np.where((n < 20) | (n >= 90), 1e9, n * 1000.0),
    )
    found = service(table)
    assert (found.requests, found.errors) == (80, 10)
    assert found.p50_ms == pytest.approx(np.median(n[20:90]))
    assert found.p99_ms == pytest.approx(np.quantile(n[20:90], 0.99))
    assert found.throughput_per_s == pytest.approx(80 / 79)
    assert set(service_by_version(table)) == {1}


def test_a_clients_mistakes_are_not_the_models_errors():
    table = simulate(Change(per_day=50), 0).live.predictions.select(slice(0, 10))
    codes = ["", "row", "data", "request", "not-found", "access", "forbidden", "serving", "unavailable", "internal"]
    table = dataclasses.replace(table, error=np.array(codes, dtype=object))
    found = service(table)
    assert (found.requests, found.errors, found.refused) == (10, 3, 6)
    usual = [Service(requests=400, errors=0, throughput_per_s=1, p50_ms=1, p95_ms=1, p99_ms=1)] * 7
    mistaken = dataclasses.replace(usual[0], refused=200)
    assert service_changes(usual, mistaken) == ()


def test_empty_period_has_no_latency():
    found = service(simulate(Change(per_day=5), 0).live.predictions.select(slice(0, 0)))
    assert (found.requests, found.errors) == (0, 0)
    assert math.isnan(found.p99_ms)


def test_ordinary_days_give_no_findings():
    findings = []
    for seed in range(10):
        every = days(16, seed)
        for now in (14, 15):
            findings += service_changes(every[:now], every[now])
    assert len(findings) <= 1


@pytest.mark.parametrize(
    ("field", "factor", "kind", "subject"),
    [("p99_ms", 2.0, "latency", "p99"), ("p50_ms", 1.6, "latency", "p50"), ("requests", 0.2, "throughput", "requests")],
)
def test_what_changed_is_found_and_nothing_else(field, factor, kind, subject):
    every = days(15)
    now = dataclasses.replace(every[-1], **{field: type(getattr(every[-1], field))(getattr(every[-1], field) * factor)})
    findings = service_changes(every[:-1], now)
    assert [(one.kind, one.subject) for one in findings] == [(kind, subject)]
    assert findings[0].effect * (factor - 1) > 0


def test_errors_are_found_from_the_second_day_on_and_a_few_are_not_news():
    first, second = days(2)
    assert [one.kind for one in service_changes([first], dataclasses.replace(second, errors=20))] == ["errors"]
    assert service_changes([dataclasses.replace(first, errors=3)], dataclasses.replace(second, errors=3)) == ()


def test_silence_is_a_change_of_requests():
    every = days(15)
    quiet = Service(requests=0, errors=0, throughput_per_s=math.nan, p50_ms=math.nan, p95_ms=math.nan, p99_ms=math.nan)
    assert [one.kind for one in service_changes(every, quiet)] == ["throughput"]
