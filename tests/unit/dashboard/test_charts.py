from __future__ import annotations

import json
import math

import msgspec
import pytest
from tests.unit.dashboard.simulated import MODELS, route

from seakeep.clock import MICROSECONDS
from seakeep.dashboard.charts import (
    HEIGHT,
    WIDTH,
    Chart,
    Series,
    comparisons,
    histogram,
    model_charts,
    release_words,
    sparkline,
)
from seakeep.dashboard.values import Distribution
from seakeep.records.release import Release
from seakeep.records.run import Metric


def chart(*series, x=(0.5, 1.5, 2.5)):
    return Chart(key="k", title="t", unit="count", start=0, end=3, x=x, series=series)


def line(*y, **more):
    return Series(label="l", tone="main", y=y, **more)


def page(source, **changes):
    return msgspec.structs.replace(source.model(MODELS[0], None, None), **changes)


def test_a_line_is_interrupted_where_a_value_is_missing():
    one = chart(line(1.0, None, 2.0))
    path = one.line(one.series[0])
    assert path.count("M") == 2
    assert "L" not in path
    assert path.startswith(f"M{round(WIDTH / 6, 1)} ")


def test_the_axis_starts_at_zero_and_holds_the_highest_value_and_its_interval():
    one = chart(line(1.0, 2.0, 1.0, low=(0.0, 1.0, 0.0), high=(2.0, 4.0, 2.0)))
    assert one.top == pytest.approx(4.0 * 1.08)
    heights = [float(part.split(" ")[1]) for part in one.line(one.series[0])[1:].split("L")]
    assert heights[0] == heights[2] > heights[1] > 0
    assert heights[1] == pytest.approx(HEIGHT * (1 - 2 / 4.32), abs=0.1)
    assert chart(line(0.0, 0.0, 0.0)).top == 1.0
    assert chart(line(None, None, None)).top == 1.0


def test_a_band_is_one_closed_shape_for_each_stretch_with_an_interval():
    one = chart(line(1.0, None, 1.0, low=(0.5, None, 0.5), high=(1.5, None, 1.5)))
    assert one.band(one.series[0]).count("Z") == 2
    whole = chart(line(1.0, 1.0, 1.0, low=(0.5, 0.5, 0.5), high=(1.5, 1.5, 1.5)))
    assert whole.band(whole.series[0]).count("Z") == 1


def test_a_chart_without_a_value_is_empty():
    assert chart(line(None, None, None)).empty
    assert chart().empty
    assert not chart(line(None, 0.0, None)).empty


def test_a_chart_of_no_width_divides_by_nothing():
    one = Chart(key="k", title="t", unit="count", start=5, end=5, x=(5,), series=(line(1.0),))
    assert one.line(one.series[0]).startswith("M0.0 ")


def test_the_script_gets_the_same_numbers_as_json(source):
    for one in model_charts(page(source), "recall"):
        told = json.loads(one.data)
        assert told["x"] == list(one.x)
        assert [series["y"] for series in told["series"]] == [list(series.y) for series in one.series]
        assert all(len(series.y) == len(one.x) for series in one.series)


def test_the_charts_of_a_model_share_its_range_and_show_its_windows(source):
    shown = page(source)
    charts = model_charts(shown, "recall")
    assert [one.key for one in charts] == ["traffic", "latency", "quality", "rates"]
    for one in charts:
        assert (one.start, one.end) == (shown.from_us / MICROSECONDS, shown.to_us / MICROSECONDS)
    volume, errors = charts[0].series
    assert sum(volume.y) == shown.predictions
    assert sum(errors.y) == shown.errors > 0
    estimated, realised = charts[2].series
    assert estimated.dashed
    assert not realised.dashed
    assert realised.y[0] == pytest.approx(shown.quality[0].realised["recall"].value, rel=1e-4)


def test_counts_that_are_all_zero_draw_no_line(source):
    calm = tuple(msgspec.structs.replace(window, errors=0) for window in source.model(MODELS[0], None, None).traffic)
    volume, errors = model_charts(page(source, traffic=calm), "recall")[0].series
    assert set(errors.y) == {None}
    assert None not in volume.y


def test_a_number_that_is_none_is_drawn_as_missing(source):
    quality = source.model(MODELS[0], None, None).quality[:1]
    broken = tuple(
        msgspec.structs.replace(one, realised={"recall": Metric(value=math.nan, low=0.0, high=math.inf)})
        for one in quality
    )
    realised = model_charts(page(source, quality=broken), "recall")[2].series[1]
    assert (realised.y, realised.low, realised.high) == ((None,), (0.0,), (None,))


def test_releases_are_marked_where_they_took_effect_and_only_within_the_range(source):
    shown = page(source)
    moments = (shown.from_us - 1, shown.from_us, shown.to_us, shown.to_us + 1, shown.from_us + 5)
    markers = model_charts(page(source, released_us=moments), "recall")[0].markers
    assert [round(one.x * MICROSECONDS) - shown.from_us for one in markers] == [0, shown.to_us - shown.from_us, 5]
    assert [one.action for one in markers] == ["promote", "advance", "promote"]


@pytest.mark.parametrize(
    ("action", "routes", "words"),
    [
        ("promote", [(3, "champion", 1.0)], "promote 3"),
        ("promote", [(3, "champion", 1.0), (4, "candidate", 0.01)], "promote 4 to 1 %"),
        ("advance", [(3, "champion", 1.0), (4, "candidate", 0.125)], "advance 4 to 12.5 %"),
        ("advance", [(4, "champion", 1.0)], "advance 4"),
        ("rollback", [(3, "champion", 1.0)], "rollback to 3"),
        ("rollback", [], "rollback"),
        ("promote", [], "promote"),
    ],
)
def test_a_release_is_told_in_a_few_words(action, routes, words):
    release = Release(
        model="m", revision=1, from_us=0, action=action, actor="a", reason="",
        routes=tuple(route("m", *one) for one in routes),
    )  # fmt: skip
    assert release_words(release) == words


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([None], ""),
        ([0], "M0.0 27.0"),
        ([0, 2, 1], "M0.0 27.0L60.0 1.0L120.0 14.0"),
        ([1, None, 1], "M0.0 1.0M120.0 1.0"),
    ],
)
def test_a_small_line_runs_from_zero_to_its_own_highest_value(values, expected):
    assert sparkline(values) == expected


def test_both_periods_of_a_histogram_have_one_scale():
    bars = histogram(Distribution(bins=("a", "b"), before=(0.25, 0.75), now=(0.5, 0.5)))
    assert [(bar.before, bar.now) for bar in bars] == [(33.3, 66.7), (100.0, 66.7)]
    assert histogram(Distribution(bins=(), before=(), now=())) == ()
    assert histogram(Distribution(bins=("a",), before=(0.0,), now=(0.0,)))[0].now == 0


def number(value, half=0.05):
    return Metric(value=value, low=value - half, high=value + half)


def test_the_numbers_of_a_verdict_stand_by_metric_and_period():
    rows = comparisons(
        {
            "recall_reference": number(0.6),
            "recall_before": number(0.5),
            "recall": number(0.1),
            "alert_rate_before": number(0.2),
            "alert_rate_now": number(0.1),
        }
    )
    assert [row.name for row in rows] == ["recall", "alert_rate"]
    assert [list(row.metrics) for row in rows] == [["accepted", "before", "now"], ["before", "now"]]
    assert rows[0].metrics["now"].value == 0.1


def test_marks_share_one_scale_and_numbers_off_it_have_none():
    rows = comparisons(
        {"recall": number(0.5), "base_rate": number(0.25), "log_loss": number(1.3), "gain": number(-0.2)}
    )
    marks = {row.name: row.marks for row in rows}
    assert marks["recall"]["now"].high == 100
    assert marks["recall"]["now"].at == pytest.approx(2 * marks["base_rate"]["now"].at, abs=0.2)
    assert marks["log_loss"] == marks["gain"] == {}
    assert comparisons({"n": Metric(value=math.nan, low=math.nan, high=math.nan)})[0].marks == {}
    assert comparisons({}) == ()
