import dataclasses

import numpy as np
import pytest

from seakeep.conversion.optimise.assess import InTurn, Scores, beside, candidate, importances
from seakeep.records.outputs import NEVER, Outputs

from .conftest import material


class Model:
    """Answers with the first number, and remembers how many rows it was asked."""

    def __init__(self):
        self.asked = []

    def score(self, numbers, categories):
        self.asked.append(len(numbers))
        return 1 / (1 + np.exp(-numbers[:, 0]))


@pytest.fixture
def rows():
    return material("histogram").calibrate


def scores(rows, threshold=0.5):
    return Scores(score=1 / (1 + np.exp(-rows.values["shift"])), threshold=threshold)


def test_a_model_beside_itself_has_no_loss_and_no_flip(rows):
    own = scores(rows)
    found = beside(rows, own, own)
    assert (found.loss.low, found.loss.value, found.loss.high) == (0, 0, 0)
    assert (found.flips, found.refused, found.metric) == (0, 0, found.source)
    assert candidate("a", 7, found).fault == ""


def test_each_decides_by_its_own_threshold(rows):
    own, other = scores(rows), scores(rows, threshold=0.7)
    between = ((own.score >= 0.5) & (own.score < 0.7)).sum()
    assert beside(rows, own, other).flips == between > 0


def test_a_worse_model_has_a_loss_and_its_interval(rows):
    own = scores(rows)
    worse = dataclasses.replace(own, score=1 - own.score)
    found = beside(rows, worse, own)
    assert 0 < found.loss.low < found.loss.value < found.loss.high
    assert found.metric.value < found.source.value


def test_rows_that_only_the_source_answers_are_a_fault(rows):
    own = scores(rows)
    some = own.score.copy()
    some[:3] = np.nan
    found = beside(rows, dataclasses.replace(own, score=some), own)
    assert candidate("a", 7, found).fault == "refuses 3 rows that the source answers"
    none = beside(rows, dataclasses.replace(own, score=np.full(len(rows), np.nan)), own)
    assert none.refused == len(rows)
    assert none.loss.high == np.inf


def test_numbers_are_decided_by_nothing():
    rows = material("histogram of numbers").calibrate
    own = Scores(score=rows.label + 1.0, threshold=NEVER)
    exact = Scores(score=rows.label + 0.5, threshold=NEVER)
    found = beside(rows, own, exact, Outputs(kind="value"))
    assert found.flips == 0
    assert found.loss.value == pytest.approx(3.0)
    assert (found.metric.value, found.source.value) == (pytest.approx(1.0), pytest.approx(0.5))


@pytest.mark.parametrize("batch", [1, 50, 450])
def test_calls_are_of_so_many_rows_for_every_model_also_of_more_rows_than_there_are(rows, batch):
    models = {"a": Model(), "b": Model()}
    port = InTurn({name: (model, rows.columns) for name, model in models.items()}, rows, batch=batch)
    took = port(["b", "a"], 7)
    assert [one.shape for one in took] == [(7,), (7,)]
    assert all((one > 0).all() for one in took)
    assert set(models["a"].asked) == set(models["b"].asked) == {batch}


def test_an_input_that_decides_matters_and_one_that_does_not_is_worth_nothing(rows):
    labelled = dataclasses.replace(rows, label=(rows.values["shift"] > 0).astype(float))
    worth = importances(Model(), labelled, rows.columns)
    assert worth.pop("shift") > 0.1
    assert set(worth.values()) == {0.0}
