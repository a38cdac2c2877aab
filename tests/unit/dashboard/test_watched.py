"""What is computed from a model's records, when it is computed again, and what past and present are compared by."""

from __future__ import annotations

import numpy as np
import pytest
from tests.recording import batch, record, writer

from seakeep.clock import DAY_US, FixedClock
from seakeep.dashboard import watched
from seakeep.dashboard.watched import BINS, OTHERS, Watched, _of_categories, _of_numbers
from seakeep.recorder.follow import Followed
from seakeep.recorder.table import OutcomeTable, PredictionTable
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import AlertBudget, Label
from seakeep.records.source import ColumnSchema, Events

NOON_US = 1_700_049_600 * 1_000_000
HOUR_US = 3_600 * 1_000_000
LABEL = Label(Events("arrivals", time="landed", key="flight_id"), col("arr_delay") > 15)
SCHEMA = (
    ColumnSchema(name="flight_id", kind="string", nullable=False),
    ColumnSchema(name="arr_delay", kind="float"),
    ColumnSchema(name="landed", kind="time"),
)
COLUMNS = tuple(FeatureColumn(name=name, kind="number") for name in ("a", "b", "c")) + tuple(
    FeatureColumn(name=name, kind="category") for name in ("d", "e")
)


def table(count, *, from_us=NOON_US - 60 * DAY_US, keyed="r"):
    """Validation rows: scores and inputs of a model that knows something."""
    rng = np.random.default_rng(count)
    text = np.full(count, "", dtype=object)
    score = rng.uniform(0.05, 0.95, count)
    return PredictionTable(
        id=text, key=np.array([f"{keyed}{k}" for k in range(count)], dtype=object), pair=text, error=text,
        role=np.full(count, "validation", dtype=object), version=np.ones(count, dtype=np.int64),
        time_us=from_us + np.arange(count) * HOUR_US, recorded_us=from_us + np.arange(count) * HOUR_US,
        numbers=rng.normal(size=(count, 3)), categories=rng.choice(["UA", "B6"], (count, 2)).astype(object),
        score=score, decision=score >= 0.5, model_us=np.zeros(count), total_us=np.zeros(count),
    )  # fmt: skip


def reference(_version):
    rows = table(400)
    told = OutcomeTable(key=rows.key, known_us=rows.time_us + 1, value=(rows.score > 0.45).astype(np.float64))
    return rows, told, COLUMNS


class Life:
    """Records of a model as they are written, and the watcher that follows them."""

    def __init__(self, folder):
        self.clock = FixedClock(NOON_US)
        self.predictions = writer(folder / "predictions", "p", clock=self.clock)
        self.events = writer(folder / "events", "e", clock=self.clock)
        followed = Followed(
            "late-arrival", LABEL, SCHEMA,
            predictions=folder / "predictions", events=folder / "events", clock=self.clock,
        )  # fmt: skip
        self.watched = Watched("late-arrival", followed, reference, AlertBudget())
        self.count = 0

    def answer(self, times_us, **changes):
        for moment in times_us:
            self.count += 1
            made = {"time_us": moment, "recorded_us": NOON_US, "score": (self.count % 10) / 10 + 0.05} | changes
            record(self.predictions, 1, key=f"flight-{self.count}", id=f"p{self.count:06d}", **made)
        self.predictions.commit()

    def tell(self, keys, value=30.0):
        number = self.events.next_sequence()
        columns = {"flight_id": keys, "arr_delay": [value] * len(keys), "landed": [NOON_US] * len(keys)}
        assert self.events.append(batch(number, recorded_us=NOON_US, columns=columns))
        self.events.commit()

    def close(self):
        self.watched.close()
        self.predictions.close()
        self.events.close()


@pytest.fixture
def life(tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "REFRESH_S", 0.0)
    one = Life(tmp_path)
    yield one
    one.close()


def hours(count, *, before=0):
    return [NOON_US - (before + count - k) * HOUR_US for k in range(count)]


def test_before_the_first_prediction_there_is_nothing_to_say(life):
    life.watched.refresh()
    assert len(life.watched.answers) == 0
    assert life.watched.brief(1, NOON_US) is None
    assert life.watched.quality(1, NOON_US - DAY_US, NOON_US, NOON_US) == ()
    assert life.watched.week(1, NOON_US) == {}
    assert life.watched.distributions(1, {"a"}, NOON_US) == {}
    assert life.watched.outcome("flight-1") is None


def test_all_versions_are_answers_and_a_history_is_of_one(life):
    life.answer(hours(6))
    life.answer(hours(4), version=2)
    life.answer(hours(3), role="shadow", version=2)
    life.watched.refresh()
    assert len(life.watched.answers) == 13
    assert (np.diff(life.watched.answers.predictions.time_us) >= 0).all()
    assert len(life.watched.history(1).live) == 6
    assert len(life.watched.history(2).live) == 4
    assert life.watched.history(1) is life.watched.history(1)


def test_new_records_are_looked_for_no_more_often_than_is_allowed(life, monkeypatch):
    life.watched.refresh()
    monkeypatch.setattr(watched, "REFRESH_S", 3_600.0)
    life.answer(hours(2))
    life.watched.refresh()
    assert len(life.watched.answers) == 0
    monkeypatch.setattr(watched, "REFRESH_S", 0.0)
    life.watched.refresh()
    assert len(life.watched.answers) == 2


def test_the_first_outcome_told_of_a_key_counts(life):
    life.answer(hours(3))
    life.tell(["flight-1"], 30.0)
    life.tell(["flight-1", "flight-2"], 0.0)
    life.watched.refresh()
    assert life.watched.outcome("flight-1") == (True, NOON_US)
    assert life.watched.outcome("flight-2") == (False, NOON_US)
    assert life.watched.outcome("flight-3") is None


def test_a_brief_is_kept_while_judging_again_would_cost_too_much(life, monkeypatch):
    life.answer(hours(30))
    life.watched.refresh()
    monkeypatch.setattr(watched, "DUTY", 1e-9)
    kept = life.watched.brief(1, NOON_US)
    assert life.watched.brief(1, NOON_US) is kept
    assert life.watched.brief(1, NOON_US + HOUR_US) is kept


def test_a_brief_is_made_anew_for_another_moment_or_another_version(life, monkeypatch):
    life.answer(hours(30))
    life.answer(hours(20), version=2)
    life.watched.refresh()
    monkeypatch.setattr(watched, "DUTY", 1e9)
    first = life.watched.brief(1, NOON_US)
    assert life.watched.brief(1, NOON_US + HOUR_US).now_us == NOON_US + HOUR_US
    assert life.watched.brief(2, NOON_US + HOUR_US).version == 2
    assert first.version == 1


def test_windows_are_days_that_begin_at_midnight_with_the_first_record(life):
    life.answer(hours(60))
    life.watched.refresh()
    windows = life.watched.quality(1, NOON_US - 40 * DAY_US, NOON_US + 5 * DAY_US, NOON_US)
    assert [one.to_us - one.from_us for one in windows] == [DAY_US] * 3
    assert all(one.from_us % DAY_US == 0 for one in windows)
    assert sum(one.labelled + one.unlabelled for one in windows) == 60
    assert windows[-1].from_us < NOON_US <= windows[-1].to_us


def test_a_long_range_has_windows_of_a_week(life):
    life.answer(hours(24 * 20)[::6])
    life.watched.refresh()
    windows = life.watched.quality(1, NOON_US - 60 * DAY_US, NOON_US, NOON_US)
    assert {one.to_us - one.from_us for one in windows} == {7 * DAY_US}
    assert sum(one.labelled + one.unlabelled for one in windows) == 80


def test_even_a_century_has_few_windows(life):
    life.answer([NOON_US - 3_000 * DAY_US, NOON_US - DAY_US])
    life.watched.refresh()
    windows = life.watched.quality(1, NOON_US - 20_000 * DAY_US, NOON_US + 20_000 * DAY_US, NOON_US + 20_000 * DAY_US)
    assert len(windows) <= 251
    assert sum(one.labelled + one.unlabelled for one in windows) == 2
    assert all(one.to_us - one.from_us == 23 * 7 * DAY_US for one in windows)


def test_a_past_window_is_computed_once_and_again_when_an_outcome_comes(life):
    life.answer(hours(60))
    life.tell(["flight-1", "flight-2"])
    life.watched.refresh()
    ask = (1, NOON_US - 3 * DAY_US, NOON_US, NOON_US + 1)
    first = life.watched.quality(*ask)
    assert [one.labelled for one in first] == [2, 0, 0]
    again = life.watched.quality(*ask)
    assert [a is b for a, b in zip(first, again, strict=True)] == [True] * 3
    life.tell(["flight-3"])
    life.watched.refresh()
    changed = life.watched.quality(*ask)
    assert [a is b for a, b in zip(first, changed, strict=True)] == [False, True, True]
    assert changed[0].labelled == 3


def test_failed_requests_have_no_quality(life):
    life.answer(hours(10, before=1))
    life.answer(hours(2, before=1), error="model", score=float("nan"))
    life.watched.refresh()
    windows = life.watched.quality(1, NOON_US - DAY_US, NOON_US, NOON_US)
    assert sum(one.labelled + one.unlabelled for one in windows) == 10


def test_the_last_week_is_compared_with_the_weeks_before_and_else_with_the_validation_rows(life):
    life.answer(hours(48), numbers=[5.0, 0.0, 1.0], categories=["UA", "x"])
    life.watched.refresh()
    young = life.watched.distributions(1, {"a", "d"}, NOON_US)
    assert set(young) == {"a", "d"}
    assert young["a"].now[-1] == 1
    assert young["a"].before[-1] < 0.1
    life.answer([NOON_US - 10 * DAY_US] * 4, numbers=[5.0, 0.0, 1.0], categories=["UA", "x"])
    life.watched.refresh()
    old = life.watched.distributions(1, {"a", "e", "unheard of"}, NOON_US)
    assert set(old) == {"a", "e"}
    assert old["a"].before == old["a"].now
    assert (old["e"].bins, old["e"].now) == (("x",), (1.0,))


def numbers(*values):
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("before", "now", "bins", "last"),
    [
        (numbers(0, 1, 2, 12), numbers(12, 12), BINS, (0.25, 1.0)),
        (numbers(0, 1, np.nan, 12), numbers(12, 12), BINS + 1, (0.25, 0.0)),
        (numbers(np.nan, np.nan), numbers(np.nan), 2, (1.0, 1.0)),
        (numbers(3, 3), numbers(3), 1, (1.0, 1.0)),
        (numbers(1), numbers(2), BINS, (0.0, 1.0)),
    ],
)
def test_numbers_fall_into_bins_between_the_extremes_of_both_and_missing_ones_have_their_own(before, now, bins, last):
    found = _of_numbers(before, now)
    assert len(found.bins) == len(found.before) == len(found.now) == bins
    assert sum(found.before) == pytest.approx(1)
    assert sum(found.now) == pytest.approx(1)
    assert (found.before[-1], found.now[-1]) == last
    assert ("missing" in found.bins) == bool(np.isnan(np.concatenate([before, now])).any())


def words(*values):
    return np.array(values, dtype=object)


def test_categories_stand_by_frequency_and_the_rare_ones_together():
    many = words(*(f"c{k:02d}" for k in range(20) for _ in range(20 - k)))
    found = _of_categories(many, words("c19", "c19"))
    assert len(found.bins) == BINS
    assert found.bins[:2] == ("c19", "c00")
    assert found.bins[-1] == OTHERS
    assert found.now == (1.0, *[0.0] * (BINS - 1))
    assert sum(found.before) == pytest.approx(1)


def test_a_missing_category_is_called_missing():
    assert _of_categories(words("", "UA", "UA"), words("")).bins == ("missing", "UA")


def test_watching_holds_no_inputs_of_all_versions_in_memory_twice(life):
    life.answer(hours(5))
    life.watched.refresh()
    assert life.watched.answers.predictions.numbers.size == 0
    assert life.watched.history(1).live.predictions.numbers.shape == (5, 3)
