"""A version of numbers in the morning: measured errors beside the accepted ones, and nothing that is not known."""

import dataclasses

import msgspec
import numpy as np
import pytest
from tests.unit.diagnosis.streams import CHANGE_US, END_US, LABEL_DELAY_US, Change, simulate

from seakeep.clock import DAY_US
from seakeep.diagnosis.morning import PREDICTED, brief
from seakeep.diagnosis.numbers import errors_of, larger_errors
from seakeep.diagnosis.render import WIDTH, render_brief
from seakeep.monitoring.history import Labelled
from seakeep.records.finding import Errors
from seakeep.records.model import AlertBudget
from seakeep.records.outputs import number
from seakeep.records.run import Metric


def numbers(*, late=0.0, shift=0.0, spread=1.0, seed=0):
    """A version that errs by 5; from the change on by ``spread`` times that and ``late`` more, and answers ``shift`` more."""
    history, rng = simulate(Change(per_day=60), seed), np.random.default_rng(seed)

    def told(rows):
        changed = rows.predictions.time_us >= CHANGE_US
        score = 100 + 20 * rows.predictions.numbers[:, 0] + shift * changed
        error = rng.normal(0, 5, len(score)) * np.where(changed, spread, 1.0)
        value = np.where(np.isnan(rows.value), np.nan, score + error + late * changed)
        table = dataclasses.replace(rows.predictions, score=score, decision=np.zeros(len(score), dtype=np.bool_))
        return Labelled(table, value, rows.known_us, number())

    return dataclasses.replace(history, reference=told(history.reference), live=told(history.live))


def morning(history, now_us=END_US):
    return brief("minutes", 1, history, now_us=now_us, budget=AlertBudget(per_week=1))


def test_quiet_mornings_have_no_line_of_quality_and_measure_the_errors():
    for seed in range(4):
        made = morning(numbers(seed=seed))
        assert not [line for line in made.lines if line.kind in {"quality", "alert-rate"}], made.lines
        assert not made.page
        assert made.quality.metrics["rmse"].value == pytest.approx(5.0, rel=0.15)
        assert made.quality.accepted["rmse"].value == pytest.approx(5.0, rel=0.1)
        assert "not estimated yet" in made.verdict.headline
        assert made.estimate is None


@pytest.mark.parametrize(
    ("changed", "words"), [({"late": 12.0}, "too low"), ({"late": -12.0}, "too high"), ({"spread": 3.0}, "")]
)
def test_larger_errors_are_a_line_a_page_and_a_step(changed, words):
    made = morning(numbers(**changed))
    (line,) = [one for one in made.lines if one.kind == "quality"]
    assert (line.subject, made.page) == ("rmse", True)
    assert line.now > 2 * line.before
    assert words in line.sentence
    assert ("on average" in line.sentence) == bool(words)
    assert "seakeep train minutes" in made.action


@pytest.mark.parametrize("days", [1, 2, 4])
def test_of_a_few_days_no_error_is_called_larger(days):
    """Of one day, resampled, every replicate is the same: it would have no noise at all."""
    history = numbers(spread=3.0)
    to_us = CHANGE_US + days * DAY_US
    live = history.live.between(CHANGE_US, to_us)
    found = errors_of(dataclasses.replace(history, live=live), now_us=END_US)
    if found:
        assert found.days <= days
    assert larger_errors(found) == []


def test_errors_without_noise_name_no_feed():
    metric = Metric(value=1.0, low=1.0, high=1.0)
    larger = msgspec.structs.replace(metric, value=9.0, low=9.0, high=9.0)
    accepted, now = dict.fromkeys(("mae", "rmse", "bias"), metric), dict.fromkeys(("mae", "rmse", "bias"), larger)
    found = Errors(from_us=0, to_us=1, days=7, labelled=100, unlabelled=0, metrics=now, accepted=accepted)
    assert larger_errors(found) == []


def test_answers_that_moved_are_drift_and_wake_nobody():
    made = morning(numbers(shift=60.0), CHANGE_US + 7 * DAY_US)
    assert [one.subject for one in made.lines if one.kind == "drift"].count(PREDICTED) == 1
    assert not made.page


def test_predictions_too_young_to_have_an_outcome_do_not_count():
    """Outcomes of small numbers come first here: measured at once, the errors would be those of small numbers alone."""
    history = numbers()
    found = errors_of(history, now_us=END_US)
    assert found.to_us <= END_US - LABEL_DELAY_US
    assert found.to_us - found.from_us == 7 * DAY_US
    assert found.unlabelled == 0
    assert errors_of(history, now_us=int(history.live.predictions.time_us[0])) is None
    assert larger_errors(None) == []


def test_without_outcomes_nothing_is_said_of_errors():
    history = numbers(late=50.0)
    silent = Labelled(history.live.predictions, np.full(len(history.live), np.nan), history.live.known_us, number())
    made = morning(dataclasses.replace(history, live=silent))
    assert made.quality.labelled == 0
    assert made.quality.metrics == {}
    assert not [line for line in made.lines if line.kind == "quality"]
    assert "no outcome is known yet" in render_brief(made)


def test_the_brief_fits_a_terminal():
    text = render_brief(morning(numbers(late=12.0)))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "rmse" in text
    assert "nothing is" in text
