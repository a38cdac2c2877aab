"""One model as the dashboard watches it: its records in memory, and what was computed from them once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from seakeep.clock import DAY_US
from seakeep.dashboard.values import Distribution, QualityWindow
from seakeep.dashboard.windows import window_step
from seakeep.diagnosis.morning import WEEK_DAYS, WINDOW_DAYS, brief
from seakeep.monitoring.estimate import estimate
from seakeep.monitoring.history import History, Labelled
from seakeep.monitoring.quality import realised
from seakeep.recorder.follow import Followed
from seakeep.recorder.table import OutcomeTable, PredictionTable
from seakeep.records.finding import Brief, Page
from seakeep.records.model import AlertBudget
from seakeep.records.run import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.records.feature import FeatureColumn

REFRESH_S = 1.0
"""How old what is shown may be before new records are looked for, in seconds of wall clock."""
DUTY = 0.1
"""Largest share of the time that is spent on judging again."""
BINS = 12
"""Bars of a distribution."""
OTHERS = "others"

Reference = tuple[PredictionTable, OutcomeTable, tuple["FeatureColumn", ...]]


class Watched:
    """A model's records, followed, and the answers computed from them; not for several threads at once.

    Parameters
    ----------
    followed
        The records.
    reference
        Validation rows, their outcomes and the inputs' names of a version.
    """

    def __init__(
        self, model: str, followed: Followed, reference: Callable[[int], Reference], budget: AlertBudget
    ) -> None:
        self._model, self._followed, self._reference, self._budget = model, followed, reference, budget
        self._looked = 0.0
        self._labelled: dict[int, Labelled] = {}
        self._histories: dict[int, History] = {}
        self._brief: tuple[int, int, Brief] | None = None
        self._judged_until = 0.0
        self._windows: dict[tuple[int, int, int], tuple[tuple[int, int], QualityWindow]] = {}
        self._answers: Labelled | None = None

    def refresh(self) -> None:
        """Take in new records, if it is time to look."""
        if time.monotonic() - self._looked < REFRESH_S:
            return
        if self._followed.refresh():
            self._labelled.clear()
            self._histories.clear()
            self._answers = None
        self._looked = time.monotonic()

    def close(self) -> None:
        """Let go of the recorder's files."""
        self._followed.close()

    @property
    def answers(self) -> Labelled:
        """The records of all versions and roles with their outcomes, without the inputs."""
        if self._answers is None:
            tables = [table.without_inputs() for table in self._followed.by_version.values()]
            joined = reduce(PredictionTable.merge, tables) if tables else _nothing()
            self._answers = Labelled.join(joined, self._followed.outcomes, self._followed.outputs)
        return self._answers

    def history(self, version: int) -> History:
        """Everything known about a version that has answered."""
        if version not in self._histories:
            table = self._followed.by_version.get(version)
            live = table.select(table.role != "shadow") if table else _nothing()
            rows, told, columns = self._reference(version)
            self._histories[version] = History.of(
                rows, told, live, self._followed.outcomes, columns, self._followed.outputs
            )
        return self._histories[version]

    def outcome(self, key: str) -> tuple[bool | float | str, int] | None:
        """What became of a key and when that could be known; None if nothing was told."""
        told = self._followed.outcomes
        rows = np.flatnonzero(told.key == key)
        if not len(rows):
            return None
        value, known_us = float(told.value[rows[0]]), int(told.known_us[rows[0]])
        outputs = self._followed.outputs
        if outputs.of_classes:
            return outputs.names[int(value)], known_us
        return bool(value) if outputs.yes_or_no else value, known_us

    def brief(self, version: int, now_us: int, pages: Sequence[Page] = ()) -> Brief | None:
        """What is to be known about a version now, judged anew as often as :data:`DUTY` allows; None without records."""
        kept = self._brief
        if kept and kept[0] == version and (kept[1] == now_us or time.monotonic() < self._judged_until):
            return kept[2]
        history = self.history(version)
        if not len(history.live):
            return None
        began = time.monotonic()
        pages_us = [page.time_us for page in pages]
        made = brief(self._model, version, history, now_us=now_us, budget=self._budget, pages_us=pages_us)
        ended = time.monotonic()
        self._brief, self._judged_until = (version, now_us, made), ended + (ended - began) / DUTY
        return made

    def week(self, version: int, now_us: int) -> dict[str, Metric]:
        """Quality of the last seven days on the labels known by now."""
        rows = self.history(version).live.between(now_us - WEEK_DAYS * DAY_US, now_us)
        return realised(rows, now_us=now_us)

    def quality(self, version: int, from_us: int, to_us: int, now_us: int) -> tuple[QualityWindow, ...]:
        """Quality since the first record, in windows of a day, or of weeks in a long range; past ones are computed once."""
        weeks_us = max(WEEK_DAYS * DAY_US, window_step(from_us, to_us))
        step_us = DAY_US if to_us - from_us <= 45 * DAY_US else weeks_us
        history = self.history(version)
        if not len(history.live):
            return ()
        first = max(from_us, int(history.live.predictions.time_us[0])) // step_us * step_us
        starts = range(first, min(to_us, now_us), step_us)
        return tuple(self._window(version, history, start, start + step_us, now_us) for start in starts)

    def _window(self, version: int, history: History, from_us: int, to_us: int, now_us: int) -> QualityWindow:
        rows = history.live.between(from_us, to_us).answered()
        label = rows.labels(now_us)
        labelled = int(np.isfinite(label).sum())
        place = (version, from_us, to_us)
        kept = self._windows.get(place)
        state = len(rows), labelled
        if kept and kept[0] == state:
            return kept[1]
        before = estimate(history, from_us=from_us, to_us=to_us, now_us=min(to_us, now_us)) if len(rows) else None
        window = QualityWindow(
            from_us=from_us,
            to_us=to_us,
            labelled=labelled,
            unlabelled=len(rows) - labelled,
            estimated=before.metrics if before else {},
            realised=realised(rows, now_us=now_us),
        )
        self._windows[place] = state, window
        return window

    def distributions(self, version: int, subjects: set[str], now_us: int) -> dict[str, Distribution]:
        """Then and now of some inputs: the last week beside the four weeks before it, or beside the validation rows."""
        history = self.history(version)
        week_us = now_us - WEEK_DAYS * DAY_US
        before = history.live.between(week_us - WINDOW_DAYS * DAY_US, week_us).answered().predictions
        if not len(before):
            before = history.reference.answered().predictions
        now = history.live.between(week_us, now_us).answered().predictions
        found: dict[str, Distribution] = {}
        places = {"number": 0, "category": 0}
        for column in history.columns:
            place = places[column.kind]
            places[column.kind] += 1
            if column.name not in subjects or not len(before) or not len(now):
                continue
            if column.kind == "number":
                found[column.name] = _of_numbers(before.numbers[:, place], now.numbers[:, place])
            else:
                found[column.name] = _of_categories(before.categories[:, place], now.categories[:, place])
        return found


def _of_numbers(before: NDArray[np.float64], now: NDArray[np.float64]) -> Distribution:
    """Shares by bin between the extremes of both; missing values have a bin of their own where there are any."""
    known = np.concatenate([before, now])
    known = known[np.isfinite(known)]
    edges = _edges(float(known.min()), float(known.max())) if len(known) else np.array([0.0, 1.0])
    names = [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges)]
    shares = []
    gaps = bool(np.isnan(before).any() or np.isnan(now).any())
    for values in (before, now):
        counts = [*np.histogram(values[np.isfinite(values)], edges)[0].tolist()]
        shares.append([one / len(values) for one in ([*counts, int(np.isnan(values).sum())] if gaps else counts)])
    return Distribution(
        bins=(*names, "missing") if gaps else tuple(names), before=tuple(shares[0]), now=tuple(shares[1])
    )


def _edges(low: float, high: float) -> NDArray[np.float64]:
    """Edges of the bins; of a single one where float64 has no room for more between the extremes."""
    edges = np.linspace(low, high, BINS + 1)
    if (np.diff(edges) > 0).all():
        return edges
    half = max(0.5, 1e-6 * max(abs(low), abs(high)))
    return np.array([low - half, high + half])


def _of_categories(before: NDArray[np.object_], now: NDArray[np.object_]) -> Distribution:
    """Shares of the most frequent categories of both, and of the others together."""
    names, place = np.unique(np.concatenate([before, now]).astype(str), return_inverse=True)
    counts = [
        np.bincount(place[: len(before)], minlength=len(names)),
        np.bincount(place[len(before) :], minlength=len(names)),
    ]
    most = np.argsort(-(counts[0] / len(before) + counts[1] / len(now)), kind="stable")
    shown, rest = most[: BINS - 1], most[BINS - 1 :]
    shares = [
        [*(one[shown] / one.sum()).tolist(), *([float(one[rest].sum() / one.sum())] if len(rest) else [])]
        for one in counts
    ]
    bins = [str(names[index]) or "missing" for index in shown] + ([OTHERS] if len(rest) else [])
    return Distribution(bins=tuple(bins), before=tuple(shares[0]), now=tuple(shares[1]))


def _nothing() -> PredictionTable:
    text, number, whole = np.empty(0, dtype=object), np.empty(0), np.empty(0, dtype=np.int64)
    return PredictionTable(
        id=text, key=text, role=text, pair=text, error=text, version=whole, time_us=whole, recorded_us=whole,
        numbers=np.empty((0, 0)), categories=np.empty((0, 0), dtype=object), score=number,
        decision=np.empty(0, dtype=np.bool_), model_us=number, total_us=number,
    )  # fmt: skip
