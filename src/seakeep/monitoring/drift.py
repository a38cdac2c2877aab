"""Drift of inputs, in units of what windows of the same length normally differ.

Each input is counted by day in a fixed set of bins: numbers in quantile bins of the base rows and one for missing,
categories one bin each, one for unseen and one for missing. Windows are compared by the population stability index. How
large it is without any drift depends on how much days differ and, with few rows, on their number; so it is measured:
every window of the base of the same length, thinned to as many rows, is compared with the rest of the base.

Drift is evidence, never a reason to wake somebody: inputs drift all year while models do well.

References
----------
Siddiqi, Credit Risk Scorecards, 2006 (population stability index); Benjamini and Hochberg 1995 (false discovery rate).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from seakeep.clock import DAY_US
from seakeep.monitoring.significance import benjamini_hochberg, student_tail
from seakeep.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from seakeep.recorder.table import PredictionTable
    from seakeep.records.feature import FeatureColumn

Values: TypeAlias = "NDArray[np.float64] | NDArray[np.object_]"
"""One input of many rows: numbers, or the strings of a category."""
NUMBER_BINS = 10
CATEGORY_BINS = 50
MAX_P = 0.01
MATERIAL_INDEX = 0.1
"""Below it, a population is called stable by convention, however clear the change."""
MIN_WINDOWS = 3
MIN_PART_US = DAY_US // 24
MIN_ROWS = 30
"""Fewer say nothing about a distribution, nor that an input is stuck."""
BROKEN_SHARE = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class InputBins:
    """Bins of one input.

    Attributes
    ----------
    edges
        Inner edges of a number's bins, ascending; empty for a category.
    values
        A category's own bins, sorted; the rest is unseen.
    """

    column: FeatureColumn
    edges: NDArray[np.float64]
    values: NDArray[np.object_]

    @classmethod
    def fit(cls, column: FeatureColumn, base: Values) -> InputBins:
        """Quantile bins of a number's base rows, or the most frequent values of a category's."""
        if column.kind == "number":
            present = base[~np.isnan(base.astype(np.float64))].astype(np.float64)
            wanted = np.arange(1, NUMBER_BINS) / NUMBER_BINS
            edges = np.unique(np.quantile(present, wanted)) if len(present) else np.empty(0)
            return cls(column, edges, np.empty(0, dtype=object))
        seen = Counter(base.tolist())
        seen.pop("", None)
        kept = sorted(value for value, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:CATEGORY_BINS])
        return cls(column, np.empty(0), np.array(kept, dtype=object))

    def __len__(self) -> int:
        """Number of bins: the last is for missing, and a category's last but one for unseen."""
        return len(self.edges) + 2 if self.column.kind == "number" else len(self.values) + 2

    def place(self, values: Values) -> NDArray[np.int64]:
        """The bin of each value."""
        if self.column.kind == "number":
            numbers = values.astype(np.float64)
            return np.where(np.isnan(numbers), len(self) - 1, np.searchsorted(self.edges, numbers, side="right"))
        own = {value: position for position, value in enumerate(self.values.tolist())}
        own[""] = len(self) - 1
        unseen = len(self) - 2
        return np.array([own.get(value, unseen) for value in values.tolist()], dtype=np.int64)


@dataclasses.dataclass(frozen=True, slots=True)
class InputCounts:
    """Rows by day and bin of one input, ``(days, bins)``; of equal bins they merge by day."""

    day: NDArray[np.int64]
    count: NDArray[np.float64]

    @classmethod
    def of(cls, bins: InputBins, values: Values, time_us: NDArray[np.int64]) -> InputCounts:
        """Count values that speak for the moments ``time_us``."""
        day, row = np.unique(time_us // DAY_US, return_inverse=True)
        cell = row * len(bins) + bins.place(values)
        return cls(
            day, np.bincount(cell, minlength=len(day) * len(bins)).reshape(len(day), len(bins)).astype(np.float64)
        )

    def merge(self, other: InputCounts) -> InputCounts:
        """The counts of both."""
        day, place = np.unique(np.concatenate([self.day, other.day]), return_inverse=True)
        count = np.zeros((len(day), self.count.shape[1]))
        np.add.at(count, place, np.concatenate([self.count, other.count]))
        return InputCounts(day, count)


def drift(
    base: PredictionTable, window: PredictionTable, columns: tuple[FeatureColumn, ...], *, window_days: int = 7
) -> tuple[Finding, ...]:
    """Inputs of ``window`` (of ``window_days`` days) that differ from ``base`` beyond what such windows normally do.

    Returns
    -------
    tuple of Finding
        Largest effect first; only adjusted p-values of at most 0.01 and indices of at least 0.1. Empty if the base has
        too few windows (three that do not overlap) to know what is normal, and of a window that has fewer than 30 rows
        or, as yet, not a day: a morning is not like whole days. One of fewer days is compared with as many.
    """
    if not columns or not len(base) or len(window) < MIN_ROWS:
        return ()
    window_days = min(window_days, int(_span_us(window) / DAY_US + 0.1))
    if not window_days:
        return ()
    measured = [
        _measure(InputBins.fit(column, before), before, now, (base.time_us, window.time_us), window_days)
        for column, before, now in _pairs(base, window, columns)
    ]
    adjusted = benjamini_hochberg(np.array([one.p_value for one in measured]))
    findings = [
        dataclasses.replace(one, p_value=float(p)).finding()
        for one, p in zip(measured, adjusted, strict=True)
        if p <= MAX_P and one.index >= MATERIAL_INDEX
    ]
    return tuple(sorted(findings, key=lambda finding: -finding.effect))


@dataclasses.dataclass(frozen=True, slots=True)
class Loss:
    """An input that lost its information: the share of rows at fault before and now, and in words."""

    subject: str
    before: float
    now: float
    sentence: str


def broken(base: PredictionTable, window: PredictionTable, columns: tuple[FeatureColumn, ...]) -> tuple[Loss, ...]:
    """Inputs that lost their information in ``window``: missing, unseen or stuck in most rows where they were not.

    Unlike drift this is not a matter of degree: the world does not turn a varying number into a constant. Parts of the
    base as long as the window, with as many rows at most, are the measure, since some inputs are constant for a day
    (the weekday) or an hour by nature. Nothing is broken in fewer than 30 rows.
    """
    if not len(base) or len(window) < MIN_ROWS:
        return ()
    part = (base.time_us - base.time_us[0]) // max(_span_us(window), MIN_PART_US)
    found = (_loss(column, before, now, part) for column, before, now in _pairs(base, window, columns))
    return tuple(loss for loss in found if loss)


def _span_us(window: PredictionTable) -> int:
    return int(window.time_us[-1]) - int(window.time_us[0]) + 1


@dataclasses.dataclass(frozen=True, slots=True)
class _Measured:
    column: FeatureColumn
    index: float
    usual: float
    effect: float
    p_value: float
    told: tuple[float, float, str]

    def finding(self) -> Finding:
        before, now, what = self.told
        return Finding(
            kind="drift",
            subject=self.column.name,
            effect=self.effect,
            p_value=self.p_value,
            before=before,
            now=now,
            sentence=f"{self.column.name}: {what} (index {self.index:.2f}, usually {self.usual:.2f})",
        )


def _measure(
    bins: InputBins,
    before: Values,
    now: Values,
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    window_days: int,
) -> _Measured:
    past = InputCounts.of(bins, before, times[0])
    recent = InputCounts.of(bins, now, times[1]).count.sum(axis=0)
    index = float(stability_index(past.count.sum(axis=0), recent))
    usual = _usual(past, window_days, int(recent.sum()))
    effect, p_value, typical = 0.0, 1.0, 0.0
    if len(usual):
        logs = np.log(usual)
        # Overlapping windows carry about twice the information of the ones that fit side by side.
        freedom = max(1, 2 * (len(past.day) // window_days) - 1)
        effect = float((np.log(index) - logs.mean()) / max(float(logs.std()), 0.1))
        p_value, typical = student_tail(effect / np.sqrt(1 + 1 / (freedom + 1)), freedom), float(np.exp(logs.mean()))
    return _Measured(
        bins.column, index, typical, effect, p_value, _told(bins, past.count.sum(axis=0), recent, before, now)
    )


def stability_index(base: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Population stability index of counts ``(..., bins)``, half a row added to each bin."""
    p = (base + 0.5) / (base + 0.5).sum(axis=-1, keepdims=True)
    q = (window + 0.5) / (window + 0.5).sum(axis=-1, keepdims=True)
    index: NDArray[np.float64] = ((p - q) * np.log(p / q)).sum(axis=-1) + 1e-9
    return index


def _usual(past: InputCounts, window_days: int, rows: int) -> NDArray[np.float64]:
    """The index of every window of consecutive base days, of ``rows`` at most, against the other days.

    Empty with too few windows.
    """
    days = len(past.day)
    if days < MIN_WINDOWS * window_days:
        return np.empty(0)
    summed = np.cumsum(np.concatenate([np.zeros((1, past.count.shape[1])), past.count]), axis=0)
    inside = summed[window_days:] - summed[:-window_days]
    drawn = np.random.default_rng(0)  # the same rows give the same findings
    thinned = [
        drawn.multivariate_hypergeometric(one.astype(np.int64), min(rows, int(one.sum())), method="marginals")
        for one in inside
    ]
    return stability_index(summed[-1] - inside, np.array(thinned))


def _told(
    bins: InputBins,
    past: NDArray[np.float64],
    recent: NDArray[np.float64],
    before: Values,
    now: Values,
) -> tuple[float, float, str]:
    """Before, now, and in words: the missing share if that moved most, else the median or the value that moved most."""
    p, q = past / past.sum(), recent / recent.sum()
    if abs(q[-1] - p[-1]) > 0.5 * np.abs(q - p).max():
        return float(p[-1]), float(q[-1]), f"missing in {q[-1]:.0%} of rows, before {p[-1]:.0%}"
    if bins.column.kind == "number":
        first, last = float(np.nanmedian(before.astype(float))), float(np.nanmedian(now.astype(float)))
        return first, last, f"median {last:.4g}, before {first:.4g}"
    most = int(np.argmax(np.abs(q - p)))
    value = repr(bins.values[most]) if most < len(bins.values) else "unseen values"
    return float(p[most]), float(q[most]), f"{value} in {q[most]:.0%} of rows, before {p[most]:.0%}"


def _loss(column: FeatureColumn, before: Values, now: Values, part: NDArray[np.int64]) -> Loss | None:
    category = column.kind == "category"
    for share_of, words in (
        (_missing, "is missing"),
        (partial(_unseen, known={*before.tolist(), ""}), "has values never seen") if category else (_stuck, "is stuck"),
    ):
        share = share_of(now)
        if share <= BROKEN_SHARE or share - share_of(before) <= BROKEN_SHARE:
            continue
        usual = _most(share_of, before, part, len(now))
        if share - usual > BROKEN_SHARE:
            sentence = f"{column.name} {words} in {share:.0%} of rows, usually at most {usual:.0%}"
            return Loss(column.name, usual, share, sentence)
    return None


def _most(share_of: Callable[[Values], float], base: Values, part: NDArray[np.int64], rows: int) -> float:
    """Largest share in a part of the base, thinned evenly to ``rows``; 1 if none has enough rows to be a measure."""
    first = [*np.unique(part, return_index=True)[1].tolist(), len(base)]
    long = [(start, stop) for start, stop in itertools.pairwise(first) if stop - start >= MIN_ROWS]
    parts = (base[start : stop : max(1, (stop - start) // rows)] for start, stop in long)
    return max((share_of(one) for one in parts), default=1.0)


def _missing(values: Values) -> float:
    return float((values == "").mean() if values.dtype == object else np.isnan(values.astype(np.float64)).mean())


def _unseen(values: Values, *, known: set[str]) -> float:
    return sum(value not in known for value in values.tolist()) / len(values)


def _stuck(values: Values) -> float:
    """Share of the rows that hold the most frequent present value."""
    _, count = np.unique(values[~np.isnan(values.astype(np.float64))], return_counts=True)
    return float(count.max() / len(values)) if len(count) else 0.0


def _pairs(
    base: PredictionTable, window: PredictionTable, columns: tuple[FeatureColumn, ...]
) -> list[tuple[FeatureColumn, Values, Values]]:
    """Each input with its values in both tables; columns are in the model's order, numbers and categories apart."""
    pairs: list[tuple[FeatureColumn, Values, Values]] = []
    numbers = [column for column in columns if column.kind == "number"]
    categories = [column for column in columns if column.kind == "category"]
    pairs += [(column, base.numbers[:, i], window.numbers[:, i]) for i, column in enumerate(numbers)]
    pairs += [(column, base.categories[:, i], window.categories[:, i]) for i, column in enumerate(categories)]
    return pairs
