"""What charts show: series over time with markers, as data for the script and as SVG paths for reading without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal as OneOf

import msgspec

from seakeep.clock import MICROSECONDS
from seakeep.dashboard.formatting import words
from seakeep.dashboard.values import Distribution, ModelPage, QualityWindow, TrafficWindow, to_json
from seakeep.records.release import Release
from seakeep.records.run import Metric

WIDTH, HEIGHT = 1_000, 200
"""Size of the coordinate system of the SVG paths."""

Unit = OneOf["count", "ms", "share", "score"]
Tone = OneOf["main", "second", "quiet", "bad"]
Values = tuple[float | None, ...]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One line; with ``low`` and ``high`` it lies in a band.

    Attributes
    ----------
    dashed
        For what is estimated: only what was counted is drawn solid.
    """

    label: str
    tone: Tone
    y: Values
    low: Values = ()
    high: Values = ()
    dashed: bool = False
    filled: bool = False


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """A moment on the time line, in seconds, and what happened then."""

    x: float
    label: str
    action: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One chart over ``[start, end]`` (seconds since the epoch, UTC); ``x`` holds the middle of each window."""

    key: str
    title: str
    unit: Unit
    start: float
    end: float
    x: tuple[float, ...]
    series: tuple[Series, ...]
    markers: tuple[Marker, ...] = ()

    @property
    def data(self) -> str:
        """The chart as JSON, for the script."""
        return to_json(self).decode()

    @property
    def top(self) -> float:
        """The end of the vertical axis, which starts at 0."""
        drawn = [y for series in self.series for y in (*series.y, *series.high) if y is not None]
        return 1.08 * max(drawn, default=0.0) or 1.0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return all(y is None for series in self.series for y in series.y)

    def across(self, x: float) -> float:
        """Horizontal position of a moment in the SVG."""
        return round(WIDTH * (x - self.start) / ((self.end - self.start) or 1.0), 1)

    def _height(self, y: float) -> float:
        return round(HEIGHT * (1 - y / self.top), 1)

    def line(self, series: Series) -> str:
        """The SVG path of a line, interrupted where values are missing."""
        return self._path(series.y)

    def band(self, series: Series) -> str:
        """The SVG path around a series' intervals: one closed shape for each uninterrupted stretch."""
        shapes: list[str] = []
        edge: list[tuple[float, float, float]] = []
        for x, low, high in (*zip(self.x, series.low, series.high, strict=True), (0.0, None, None)):
            if low is not None and high is not None:
                edge.append((self.across(x), self._height(low), self._height(high)))
            elif edge:
                there = [f"{x} {high}" for x, _, high in edge]
                back = [f"{x} {low}" for x, low, _ in reversed(edge)]
                shapes.append("M" + "L".join(there + back) + "Z")
                edge = []
        return "".join(shapes)

    def _path(self, values: Values) -> str:
        parts: list[str] = []
        pen = "M"
        for x, y in zip(self.x, values, strict=True):
            if y is None:
                pen = "M"
                continue
            parts.append(f"{pen}{self.across(x)} {self._height(y)}")
            pen = "L"
        return "".join(parts)


def model_charts(page: ModelPage, metric: str) -> tuple[Chart, ...]:
    """The charts of a model's page: traffic, latency, alerts against what happened, and ``metric``."""
    start, end = page.from_us / MICROSECONDS, page.to_us / MICROSECONDS
    markers = _markers(page)

    def chart(
        key: str, title: str, unit: Unit, windows: Sequence[TrafficWindow | QualityWindow], *series: Series
    ) -> Chart:
        middle = tuple((window.from_us + window.to_us) / 2 / MICROSECONDS for window in windows)
        return Chart(key=key, title=title, unit=unit, start=start, end=end, x=middle, series=series, markers=markers)

    traffic, quality = page.traffic, page.quality
    volume = Series(label="answered", tone="main", y=_counts([w.predictions for w in traffic]), filled=True)
    errors = Series(label="failed", tone="bad", y=_counts([w.errors for w in traffic]))
    p99 = Series(label="p99", tone="main", y=tuple(_drawn(w.p99_ms) for w in traffic))
    p50 = Series(label="median", tone="quiet", y=tuple(_drawn(w.p50_ms) for w in traffic))
    rates = [w.estimated.get("alert_rate") or w.realised.get("alert_rate") for w in quality]
    alerts = Series(label="alert rate", tone="quiet", y=tuple(_drawn(rate.value) if rate else None for rate in rates))
    return (
        chart("traffic", "Predictions", "count", traffic, volume, errors),
        chart("latency", "Latency", "ms", traffic, p99, p50),
        chart("quality", words(metric).capitalize(), "score", quality, *_both(quality, metric)),
        chart("rates", "Base rate", "share", quality, *_both(quality, "base_rate"), alerts),
    )


def _counts(counts: Sequence[int]) -> Values:
    """Counts as a line; none at all draws no line, which along the bottom would look like something that happened."""
    return tuple(float(one) if any(counts) else None for one in counts)


def _both(windows: Sequence[QualityWindow], metric: str) -> tuple[Series, Series]:
    estimated = [window.estimated.get(metric) for window in windows]
    realised = [window.realised.get(metric) for window in windows]
    return (
        _series("estimated", "second", estimated, dashed=True),
        _series("realised", "main", realised),
    )


def _series(label: str, tone: Tone, metrics: Sequence[Metric | None], *, dashed: bool = False) -> Series:
    def part(name: str) -> Values:
        return tuple(None if metric is None else _drawn(getattr(metric, name)) for metric in metrics)

    return Series(label=label, tone=tone, y=part("value"), low=part("low"), high=part("high"), dashed=dashed)


def _drawn(value: float | None) -> float | None:
    """A value to five digits, more than a screen shows; ``None`` for what is not a number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _markers(page: ModelPage) -> tuple[Marker, ...]:
    return tuple(
        Marker(x=moment_us / MICROSECONDS, label=release_words(release), action=release.action)
        for release, moment_us in zip(page.releases, page.released_us, strict=True)
        if page.from_us <= moment_us <= page.to_us
    )


def release_words(release: Release) -> str:
    """What a release did, in a few words: ``rollback to 3``, ``promote 4``, ``advance 5 to 10 %``."""
    champion, candidate = release.champion, release.candidate
    if release.action == "rollback":
        return f"rollback to {champion.version}" if champion else "rollback"
    if candidate is not None:
        return f"{release.action} {candidate.version} to {100 * candidate.weight:g} %"
    return f"{release.action} {champion.version}" if champion else release.action


def sparkline(values: Sequence[float | None], *, width: int = 120, height: int = 28) -> str:
    """The SVG path of a small line over equal windows, from 0 to its own highest value."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    step = width / max(len(values) - 1, 1)
    parts: list[str] = []
    pen = "M"
    for position, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{position * step:.1f} {1 + (height - 2) * (1 - value / top):.1f}")
        pen = "L"
    return "".join(parts)


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One bin of a pair of histograms: heights from 0 to 100."""

    label: str
    before: float
    now: float


def histogram(distribution: Distribution) -> tuple[Bar, ...]:
    """Bars of both periods on one scale, the highest 100."""
    top = max((*distribution.before, *distribution.now), default=0.0) or 1.0
    return tuple(
        Bar(label=label, before=round(100 * before / top, 1), now=round(100 * now / top, 1))
        for label, before, now in zip(distribution.bins, distribution.before, distribution.now, strict=True)
    )


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A number with its interval on a scale from 0 to 100."""

    at: float
    low: float
    high: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of a verdict: when the version was accepted, before, and now.

    Attributes
    ----------
    metrics, marks
        By period, ``accepted``, ``before``, ``now``; a period without the metric is absent, and so is a mark that has
        no place on the common scale.
    """

    name: str
    metrics: dict[str, Metric]
    marks: dict[str, Mark]


PERIODS = {"_reference": "accepted", "_before": "before", "_now": "now"}
"""What the end of a number's name says about its period; without one of them it is of now."""


def comparisons(numbers: dict[str, Metric]) -> tuple[Comparison, ...]:
    """The numbers of a verdict by metric; those between 0 and 1 get a mark on a common scale."""
    found: dict[str, dict[str, Metric]] = {}
    for name, metric in numbers.items():
        end = next((end for end in PERIODS if name.endswith(end)), "")
        found.setdefault(name.removesuffix(end), {})[PERIODS.get(end, "now")] = metric
    placed = [m for m in numbers.values() if 0 <= m.low <= m.value <= m.high <= 1]
    top = max((m.high for m in placed), default=0.0) or 1.0

    def mark(metric: Metric) -> Mark:
        low, at, high = (round(100 * value / top, 1) for value in (metric.low, metric.value, metric.high))
        return Mark(at=at, low=low, high=high)

    return tuple(
        Comparison(
            name=name,
            metrics=metrics,
            marks={period: mark(metric) for period, metric in metrics.items() if metric in placed},
        )
        for name, metrics in found.items()
    )
