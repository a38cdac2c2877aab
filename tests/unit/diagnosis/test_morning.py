import dataclasses

import msgspec
import numpy as np
import pytest
from tests.steps import steps
from tests.unit.diagnosis.streams import CHANGE_US, END_US, Change, simulate

from seakeep.clock import DAY_US
from seakeep.diagnosis.hindsight import truth
from seakeep.diagnosis.morning import PREDICTED, brief
from seakeep.diagnosis.render import WIDTH, render_brief
from seakeep.monitoring.history import History, Labelled
from seakeep.records.finding import Brief
from seakeep.records.model import AlertBudget
from seakeep.records.outputs import number

BUDGET = AlertBudget(per_week=1)


def with_live(history: History, **columns: np.ndarray) -> History:
    live = history.live
    table = dataclasses.replace(live.predictions, **columns)
    return dataclasses.replace(history, live=Labelled(table, live.value, live.known_us))


def morning(history: History, now_us: int = END_US, pages_us=()) -> Brief:
    return brief("late", 1, history, now_us=now_us, budget=BUDGET, pages_us=pages_us)


def test_quiet_nights_have_no_lines_and_no_page():
    nights = [morning(simulate(Change(), seed), CHANGE_US + day * DAY_US) for seed in range(5) for day in (3, 11, 19)]
    assert sum(not night.lines for night in nights) >= 0.9 * len(nights)
    assert not any(night.page for night in nights)
    assert all(night.action == "" for night in nights if not night.lines)


def test_failing_model_pages_and_says_what_to_run():
    found = morning(simulate(Change(weights=(0.0, 0.9)), 1))
    assert found.verdict.cause == "model-failing"
    assert found.page
    assert "seakeep train late" in found.action
    assert found.lines[0].kind == "quality"


def test_budget_silences_a_second_page_in_a_week():
    history = simulate(Change(weights=(0.0, 0.9)), 1)
    assert not morning(history, pages_us=(END_US - 2 * DAY_US,)).page
    assert morning(history, pages_us=(END_US - 8 * DAY_US,)).page


def test_a_week_that_catches_none_of_dozens_is_a_line_of_its_own_before_the_verdict_can_tell():
    found = morning(simulate(Change(threshold=np.inf, shift=-0.6), 1), CHANGE_US + 8 * DAY_US)
    (line,) = [line for line in found.lines if line.subject == "recall" and line.kind == "quality"]
    assert line.sentence.startswith("0 of ")
    assert line.now == 0
    assert line.effect < -3
    assert found.page
    assert "seakeep train late" in found.action


def test_changed_world_never_pages():
    found = morning(simulate(Change(shift=0.8), 2))
    assert found.verdict.cause == "world-changed"
    assert not found.page


def test_stuck_input_is_named_on_the_first_morning_and_drift_alone_does_not_page():
    found = morning(simulate(Change(load_stuck_at=0.0), 3), CHANGE_US + DAY_US)
    assert [line.subject for line in found.lines if "broken input" in line.sentence] == ["load"]
    assert "load" in found.action
    assert not found.page


def test_errors_of_the_last_night_come_first_and_page():
    history = simulate(Change(), 4)
    table = history.live.predictions
    failed = (table.time_us >= END_US - DAY_US) & (np.arange(len(table)) % 10 == 0)
    found = morning(with_live(history, error=np.where(failed, "unavailable", "").astype(object)))
    assert found.lines[0].kind == "errors"
    assert found.errors == int(failed.sum())
    assert found.page
    assert "rollback late" in found.action


def test_slow_night_is_a_latency_line():
    history = simulate(Change(), 5)
    table = history.live.predictions
    slow = np.where(table.time_us >= END_US - DAY_US, 3.0, 1.0)
    found = morning(with_live(history, total_us=table.total_us * slow))
    assert {line.subject for line in found.lines if line.kind == "latency"} == {"p50", "p99"}


def test_future_records_change_nothing():
    history = simulate(Change(weights=(0.0, 0.9)), 6)
    now_us = CHANGE_US + 10 * DAY_US
    live = history.live.between(0, now_us)
    value = np.where(live.known_us < now_us, live.value, np.nan)
    known = dataclasses.replace(history, live=Labelled(live.predictions, value, live.known_us))
    assert morning(history, now_us) == morning(known, now_us)


def test_first_morning_of_a_version_without_predictions_is_a_brief():
    history = simulate(Change(), 0)
    found = morning(dataclasses.replace(history, live=history.live.select(slice(0, 0))))
    assert (found.predictions, found.lines, found.page, found.estimate) == (0, (), False, None)
    assert found.verdict.cause == "cannot-tell"


@pytest.mark.parametrize("change", [Change(), Change(weights=(0.0, 0.9)), Change(load_stuck_at=0.0), Change(per_day=4)])
def test_text_fits_a_screen_and_comes_from_the_record(change):
    found = morning(simulate(change, 7))
    text = render_brief(found)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) <= 48
    assert render_brief(msgspec.json.decode(msgspec.json.encode(found), type=Brief)) == text
    assert ("quiet night" in text) == (not found.lines)
    assert ("PAGE" in text) == found.page


def test_of_two_hundred_thousand_predictions_each_takes_hardly_a_step():
    history = simulate(Change(per_day=3600), 8)
    assert len(history.live) > 200_000
    assert steps(lambda: morning(history)) < 2 * len(history.live)


def of_numbers(history: History, grown: float = 1.0) -> History:
    """The same stream as of a model that predicts a number, which grows in the recent period."""

    def told(rows: Labelled) -> Labelled:
        score = rows.predictions.score * np.where(rows.predictions.time_us >= CHANGE_US, grown, 1.0)
        silent = np.zeros(len(rows), dtype=bool)
        table = dataclasses.replace(rows.predictions, score=100 * score, decision=silent)
        return Labelled(table, rows.value, rows.known_us, number())

    return dataclasses.replace(history, reference=told(history.reference), live=told(history.live))


def test_the_drift_of_predicted_numbers_is_told_and_no_quality_is_estimated():
    quiet = morning(of_numbers(simulate(Change(), 1)), CHANGE_US + 3 * DAY_US)
    assert PREDICTED not in {line.subject for line in quiet.lines}
    history = of_numbers(simulate(Change(), 1), grown=10.0)
    found = morning(history, CHANGE_US + 8 * DAY_US)
    assert PREDICTED in {line.subject for line in found.lines if line.kind == "drift"}
    assert {line.subject for line in found.lines if line.kind == "quality"} == {
        "rmse"
    }  # measured: the outcomes did not grow
    assert (found.estimate, found.verdict.cause, found.page) == (None, "cannot-tell", True)
    assert "not estimated yet" in render_brief(found)
    assert truth(history.reference, history.live, history.live) == "cannot-tell"
