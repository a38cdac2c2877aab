from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.unit.dashboard.simulated import MODELS, START_US

from seakeep.clock import DAY_US, MICROSECONDS
from seakeep.dashboard.windows import traffic_windows, window_step

HOUR_US = 3_600 * MICROSECONDS


@pytest.fixture(scope="module")
def table(source):
    return source.traffic[MODELS[0]].table


@pytest.mark.parametrize(
    ("span_us", "step_us"),
    [
        (1, MICROSECONDS),
        (250 * MICROSECONDS, MICROSECONDS),
        (251 * MICROSECONDS, 10 * MICROSECONDS),
        (DAY_US, 600 * MICROSECONDS),
        (30 * DAY_US, 3 * HOUR_US),
        (365 * DAY_US, 7 * DAY_US),
        (250 * 7 * DAY_US, 7 * DAY_US),
        (250 * 7 * DAY_US + 1, 14 * DAY_US),
        (230 * 365 * DAY_US, 48 * 7 * DAY_US),
    ],
)
def test_a_range_is_cut_into_few_customary_windows(span_us, step_us):
    assert window_step(0, span_us) == step_us
    assert span_us <= 250 * step_us


def test_windows_count_what_was_answered_and_leave_no_gap(table):
    stop = START_US + 3 * DAY_US + HOUR_US // 2
    windows = traffic_windows(table, START_US, stop, HOUR_US)
    assert [one.from_us for one in windows] == list(range(START_US, stop, HOUR_US))
    assert all(a.to_us == b.from_us for a, b in itertools.pairwise(windows))
    assert windows[-1].to_us == stop
    rows = table.select((table.time_us >= START_US) & (table.time_us < stop))
    assert sum(one.predictions for one in windows) == len(rows)
    assert sum(one.errors for one in windows) == (rows.error != "").sum() > 0


def test_a_window_has_the_percentiles_and_the_alert_rate_of_its_own_rows(table):
    (one,) = traffic_windows(table, START_US, START_US + DAY_US, DAY_US)
    rows = table.select(table.time_us < START_US + DAY_US)
    assert one.p50_ms == pytest.approx(np.median(rows.total_us) / 1_000)
    assert one.p99_ms == pytest.approx(np.percentile(rows.total_us, 99) / 1_000)
    assert one.alert_rate == rows.decision[rows.error == ""].mean()


def test_a_window_without_rows_has_counts_but_no_rates(table):
    (one,) = traffic_windows(table, START_US - DAY_US, START_US, DAY_US)
    assert (one.predictions, one.errors, one.p50_ms, one.p99_ms, one.alert_rate) == (0, 0, None, None, None)


def test_shadows_never_reached_a_client_and_are_left_out(table):
    shadows = table.role.copy()
    shadows[::2] = "shadow"
    changed = type(table)(**{name: getattr(table, name) for name in table.__slots__} | {"role": shadows})
    (one,) = traffic_windows(changed, START_US, START_US + DAY_US, DAY_US)
    answered = (table.time_us < START_US + DAY_US) & (shadows != "shadow")
    assert one.predictions == answered.sum()


def test_a_range_of_no_length_has_no_window(table):
    assert traffic_windows(table, START_US, START_US, HOUR_US) == ()
    assert traffic_windows(table, START_US + 1, START_US, HOUR_US) == ()
