from __future__ import annotations

import math

import pytest
from markupsafe import Markup

from seakeep.clock import parse_moment
from seakeep.dashboard import formatting
from seakeep.records.finding import Verdict
from seakeep.records.run import Metric

INF = math.inf
DASH, TIMES, MINUS = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}"


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def metric(value, low=math.nan, high=math.nan):
    return Metric(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("write", "value", "expected"),
    [
        (formatting.count, 0, "0"),
        (formatting.count, 1_234_567.4, "1,234,567"),
        (formatting.percent, 0.0, "0.0 %"),
        (formatting.percent, 0.09512, "9.5 %"),
        (formatting.percent, 0.00123, "0.12 %"),
        (formatting.percent, 1.0, "100.0 %"),
        (formatting.share, 0.1, "10 %"),
        (formatting.share, 0.005, "0.5 %"),
        (formatting.score, 0.5, "0.5000"),
        (formatting.milliseconds, 0.85, "850 µs"),
        (formatting.milliseconds, 4.24, "4.2 ms"),
        (formatting.milliseconds, 423.7, "424 ms"),
        (formatting.milliseconds, 1_300.0, "1.3 s"),
        (formatting.duration, 0.04, "0.0 s"),
        (formatting.duration, 42.0, "42 s"),
        (formatting.duration, 59.7, "1 min"),
        (formatting.duration, 185.0, "3 min 5 s"),
        (formatting.duration, 8_040.0, "2 h 14 min"),
        (formatting.duration, 273_600.0, "3 d 4 h"),
        (formatting.number, 3.0, "3"),
        (formatting.number, -1_840.0, "-1,840"),
        (formatting.number, 1_840.25, "1,840.2"),
        (formatting.number, 0.63014, "0.6301"),
        (formatting.number, 3.3e-16, "3.3e-16"),
        (formatting.effect, 4.24, f"+4.2 {TIMES} noise"),
        (formatting.effect, -13.3, f"{MINUS}13.3 {TIMES} noise"),
        (formatting.effect, 0.01, f"0.0 {TIMES} noise"),
        (formatting.probability, 0.0004, "p < 0.001"),
        (formatting.probability, 0.034, "p = 0.034"),
    ],
)
def test_a_number_is_written_with_its_unit_and_the_digits_that_matter(write, value, expected):
    assert plain(write(value)) == expected


@pytest.mark.parametrize("missing", [None, math.nan, INF, -INF])
@pytest.mark.parametrize("name", ["count", "percent", "share", "score", "milliseconds", "duration", "number", "effect"])
def test_what_is_missing_never_looks_like_zero(name, missing):
    assert getattr(formatting, name)(missing) == DASH


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (parse_moment("2013-07-15T06:00"), "2013-07-15 06:00"),
        (parse_moment("2013-07-15T06:00:07"), "2013-07-15 06:00:07"),
        (0, DASH),
        (None, DASH),
        (2**63 - 1, "9223372036854775807 µs"),
    ],
)
def test_a_moment_is_written_to_the_minute_unless_it_has_seconds(value, expected):
    assert plain(formatting.moment(value)) == expected


def test_a_span_of_whole_days_names_days_alone():
    first, last = parse_moment("2013-07-01"), parse_moment("2013-08-01")
    assert formatting.span(first, last) == "2013-07-01 to 2013-08-01"
    assert formatting.span(first, last + 60_000_000) == "2013-07-01 00:00 to 2013-08-01 00:01"


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (metric(0.23, 0.21, 0.25), "recall", "0.23 (0.21 to 0.25)"),
        (metric(0.231, 0.2, 0.263), "alert_rate", "23.1 % (20.0 to 26.3 %)"),
        (metric(0.231, 0.2, 0.263), "base_rate_before", "23.1 % (20.0 to 26.3 %)"),
        (metric(0.014, 0.0068, 0.023), "false_positive_rate", "1.4 % (0.68 to 2.3 %)"),
        (metric(-0.11, -0.16, -0.04), "", f"{MINUS}0.11 ({MINUS}0.16 to {MINUS}0.04)"),
        (metric(0.0032, 0.0, 0.01), "log_loss", "0.0032 (0.00 to 0.01)"),
        (metric(0.5), "recall", "0.50"),
        (metric(math.nan, 0.1, 0.2), "recall", f"{DASH} (0.10 to 0.20)"),
        (None, "recall", DASH),
    ],
)
def test_a_metric_is_written_with_its_interval(value, name, expected):
    assert plain(formatting.estimate(value, name)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1 + 0.2, "0.30000000000000004"),
        (25.0, "25"),
        (2.0**60, "1.152921504606847e+18"),
        (-0.0, "-0"),
        ("web", "web"),
        (7, "7"),
        (True, "True"),
        (None, DASH),
    ],
)
def test_a_recorded_value_keeps_every_digit(value, expected):
    assert formatting.exact(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run r-3f2a91c07be4 ran", 'run <a class="id" href="/runs/r-3f2a91c07be4">r-3f2a91c07be4</a> ran'),
        ("xr-3f2a91c07be4", "xr-3f2a91c07be4"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", '<a class="id" href="/predictions/01ARZ3NDEKTSV4RRFFQ69G5FAV">'),
        (
            "late:3, late:31",
            '<a class="id" href="/versions/late%3A3">late:3</a>, <a class="id" href="/versions/late%3A31">',
        ),
        ("translate:3 other:3 late:x", "translate:3 other:3 late:x"),
        ("ab" * 32, f'<code title="{"ab" * 32}">abababababab</code>'),
        ("first `seakeep train late`, then", "first <code>seakeep train late</code>, then"),
        ("a ` alone", "a ` alone"),
        ("<b>&`<i>`", "&lt;b&gt;&amp;<code>&lt;i&gt;</code>"),
    ],
)
def test_evidence_links_what_it_names_and_escapes_the_rest(text, expected):
    found = formatting.evidence(text, "late")
    assert isinstance(found, Markup)
    assert expected in found


def test_a_model_name_with_special_characters_is_taken_literally():
    assert "href" not in formatting.evidence("lateX3", "late.")
    assert 'href="/versions/a.b%3A3"' in formatting.evidence("see a.b:3", "a.b")


def test_names_become_words_and_may_break_where_they_should():
    assert formatting.words("false_positive_rate") == "false positive rate"
    assert formatting.words("roc_auc") == "ROC AUC"
    assert formatting.capital("rolled back") == "Rolled back"
    assert formatting.capital("") == ""
    assert formatting.breakable("a.b_c<d") == "a.<wbr>b_<wbr>c&lt;d"
    assert formatting.path("a/b?c#d e") == "a%2Fb%3Fc%23d%20e"


def test_every_cause_has_a_name_of_its_own():
    causes = ("nothing", "world-changed", "model-failing", "both", "cannot-tell")
    verdicts = [Verdict(cause=one, confidence=1, headline="", evidence=(), numbers={}) for one in causes]
    assert len({formatting.cause(one) for one in (None, *verdicts)}) == 6
