"""Laws of what the dashboard draws and links: nothing is lost, moved or invented on the way to the screen."""

from __future__ import annotations

import itertools
import math
import re
from html import unescape

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from seakeep.clock import MICROSECONDS
from seakeep.dashboard import formatting
from seakeep.dashboard.charts import HEIGHT, WIDTH, Chart, Series, comparisons, histogram, sparkline
from seakeep.dashboard.timerange import TimeRange, parse_range, range_links, write_query
from seakeep.dashboard.values import Distribution
from seakeep.dashboard.watched import BINS, _of_categories, _of_numbers
from seakeep.dashboard.windows import traffic_windows, window_step
from seakeep.recorder.table import PredictionTable
from seakeep.records.run import Metric

seconds = st.integers(0, 7_258_118_400)
values = st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=40)


def query_of(text):
    return dict(part.split("=") for part in text.replace("%3A", ":").lstrip("?").split("&") if part)


@given(st.tuples(seconds, seconds), st.booleans(), st.booleans())
def test_a_range_survives_its_address(ends, with_start, with_end):
    start, end = sorted(ends)
    assume(start < end)
    asked = TimeRange(start * MICROSECONDS if with_start else None, end * MICROSECONDS if with_end else None)
    assert parse_range(query_of(write_query(asked))) == asked


@given(st.tuples(seconds, seconds), st.tuples(seconds, seconds))
def test_every_way_on_leads_to_a_range_that_can_be_asked_for(shown, recorded):
    (start, end), (first, last) = sorted(shown), sorted(recorded)
    assume(start < end)
    asked = TimeRange(start * MICROSECONDS, end * MICROSECONDS)
    for link in range_links(
        asked, asked.from_us, asked.to_us, first_us=first * MICROSECONDS, last_us=last * MICROSECONDS
    ):
        found = parse_range(query_of(link.query))
        if link.label in {"Earlier", "Later"}:
            assert found.to_us - found.from_us == asked.to_us - asked.from_us
            assert asked.from_us in {found.to_us, found.from_us - (asked.to_us - asked.from_us)}


@given(values)
def test_a_path_has_a_point_for_each_value_inside_the_picture(y):
    series = Series(label="l", tone="main", y=tuple(y))
    x = tuple(float(k) for k in range(len(y)))
    chart = Chart(key="k", title="t", unit="count", start=0, end=len(y), x=x, series=(series,))
    points = [tuple(map(float, one.split())) for one in re.split("[ML]", chart.line(series))[1:]]
    known = [(place, value) for place, value in enumerate(y) if value is not None]
    assert len(points) == len(known)
    for (across, down), (place, value) in zip(points, known, strict=True):
        assert across == pytest.approx(WIDTH * place / len(y), abs=0.06)
        assert 0 <= down <= HEIGHT
        assert down == pytest.approx(HEIGHT * (1 - value / chart.top), abs=0.06)
    assert chart.line(series).count("M") == sum(b - a > 1 for (a, _), (b, _) in itertools.pairwise(known)) + bool(known)


@given(values)
def test_a_small_line_stays_in_its_box(y):
    points = [tuple(map(float, one.split())) for one in re.split("[ML]", sparkline(y))[1:]]
    assert all(0 <= across <= 120 and 0 <= down <= 28 for across, down in points)
    assert len(points) == sum(value is not None for value in y)


numbers = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=60).map(np.array)


@given(numbers, numbers)
@example(np.array([1e6]), np.array([np.nextafter(1e6, 2e6)]))
@example(np.array([0.0]), np.array([5e-324]))
def test_shares_of_numbers_are_shares(before, now):
    found = _of_numbers(before, now)
    for shares, rows in ((found.before, before), (found.now, now)):
        assert sum(shares) == pytest.approx(1)
        counts = np.array(shares) * len(rows)
        assert np.allclose(counts, counts.round())
        if "missing" in found.bins:
            assert round(counts[-1]) == np.isnan(rows).sum()
    assert max(bar for one in histogram(found) for bar in (one.before, one.now)) == 100


names = st.lists(st.sampled_from([f"c{k}" for k in range(20)] + [""]), min_size=1, max_size=60)


@given(names, names)
def test_shares_of_categories_are_shares_and_none_is_shown_twice(before, now):
    found = _of_categories(np.array(before, dtype=object), np.array(now, dtype=object))
    assert len(found.bins) == len(set(found.bins)) <= BINS
    assert sum(found.before) == pytest.approx(1)
    assert sum(found.now) == pytest.approx(1)
    for name, share in zip(found.bins, found.now, strict=True):
        if name.startswith("c"):
            assert share == pytest.approx(now.count(name) / len(now))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_bars_keep_the_ratio_of_their_shares(pairs):
    before, now = zip(*pairs, strict=True)
    bars = histogram(Distribution(bins=tuple(map(str, range(len(pairs)))), before=before, now=now))
    top = max((*before, *now)) or 1
    for bar, (then, later) in zip(bars, pairs, strict=True):
        assert (bar.before, bar.now) == pytest.approx((100 * then / top, 100 * later / top), abs=0.051)


metrics = (
    st.lists(st.floats(-2, 3), min_size=3, max_size=3)
    .map(sorted)
    .map(lambda m: Metric(value=m[1], low=m[0], high=m[2]))
)


@given(
    st.dictionaries(
        st.sampled_from([a + b for a in ("recall", "base_rate") for b in ("", "_before", "_reference")]), metrics
    )
)
def test_no_number_of_a_verdict_is_lost_and_marks_keep_their_order(found):
    rows = comparisons(found)
    assert sum(len(row.metrics) for row in rows) == len(found)
    for row in rows:
        for period, mark in row.marks.items():
            assert 0 <= mark.low <= mark.at <= mark.high <= 100
            assert 0 <= row.metrics[period].low <= row.metrics[period].high <= 1


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.booleans(), st.booleans()), max_size=30),
    st.integers(1, 10**9),
    st.integers(1, 250),
)
def test_every_prediction_falls_into_exactly_one_window(rows, span_us, at_most):
    rows.sort()
    n = len(rows)
    times = np.array([time for time, _, _ in rows], dtype=np.int64)
    text, zero = np.full(n, "", dtype=object), np.zeros(n)
    table = PredictionTable(
        id=text, key=text, pair=text, time_us=times, recorded_us=times, version=np.ones(n, dtype=np.int64),
        role=np.array(["shadow" if shadow else "champion" for _, shadow, _ in rows], dtype=object),
        error=np.array(["model" if failed else "" for _, _, failed in rows], dtype=object),
        numbers=np.zeros((n, 0)), categories=np.zeros((n, 0), dtype=object), score=zero,
        decision=zero > 0, model_us=zero, total_us=zero,
    )  # fmt: skip
    windows = traffic_windows(table, 0, span_us, window_step(0, span_us, at_most=at_most))
    assert 1 <= len(windows) <= at_most
    inside = [(shadow, failed) for time, shadow, failed in rows if time < span_us]
    assert sum(one.predictions for one in windows) == sum(not shadow for shadow, _ in inside)
    assert sum(one.errors for one in windows) == sum(failed and not shadow for shadow, failed in inside)
    assert all(one.errors <= one.predictions for one in windows)


@given(st.text(max_size=80), st.text(min_size=1, max_size=10))
def test_evidence_loses_no_letter_and_lets_no_markup_in(text, model):
    found = str(formatting.evidence(text, model))
    assert set(re.findall(r"<(/?\w+)", found)) <= {"a", "/a", "code", "/code"}
    assert unescape(re.sub(r"<[^<>]+>", "", found)) in {text, *_without_ticks(text)}


def _without_ticks(text):
    yield re.sub(r"`([^`]+)`", r"\1", text)


@given(st.floats() | st.none())
def test_no_number_is_too_strange_to_be_written(value):
    for write in (
        formatting.count, formatting.percent, formatting.share, formatting.score, formatting.milliseconds,
        formatting.duration, formatting.number, formatting.effect, formatting.exact,
    ):  # fmt: skip
        assert write(value)
    if value is not None and math.isfinite(value):
        assert float(formatting.exact(value)) == value
