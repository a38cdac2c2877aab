import dataclasses

import numpy as np
import pytest

from seakeep.conversion.optimise.assess import InTurn, Scores, beside, candidate, importances
from seakeep.records.outputs import NEVER, Outputs, classes

from .conftest import material

FRUIT = classes("pear", "apple", "fig")


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


def of_classes(rows, shift=0.0):
    """Probabilities of three classes, that of the first shifted."""
    raised = np.exp(np.column_stack([rows.values["shift"] + shift, -rows.values["shift"], np.zeros(len(rows))]))
    return Scores(score=raised / raised.sum(axis=1, keepdims=True), threshold=NEVER)


def test_of_classes_another_class_is_a_flip_and_a_row_is_refused_as_a_whole(rows):
    labelled = dataclasses.replace(rows, label=np.arange(len(rows)) % 3.0)
    own, other = of_classes(rows, shift=0.7), of_classes(rows)
    found = beside(labelled, own, other, FRUIT)
    assert found.flips == (own.score.argmax(axis=1) != other.score.argmax(axis=1)).sum() > 0
    assert found.loss.value == pytest.approx(
        np.log(other.score[np.arange(len(rows)), np.arange(len(rows)) % 3]).mean()
        - np.log(own.score[np.arange(len(rows)), np.arange(len(rows)) % 3]).mean()
    )
    assert found.metric.value != found.source.value
    own.score[:2] = np.nan
    assert candidate("a", 7, beside(labelled, own, other, FRUIT)).fault == "refuses 2 rows that the source answers"


def test_what_matters_is_found_for_classes_too(rows):
    class OfClasses(Model):
        def score(self, numbers, categories):
            first = np.exp(4 * numbers[:, :1])
            return np.column_stack([first, np.ones((len(first), 2))]) / (first + 2)

    labelled = dataclasses.replace(rows, label=np.where(rows.values["shift"] > 0, 0.0, 1.0))
    worth = importances(OfClasses(), labelled, rows.columns, FRUIT)
    assert worth.pop("shift") > 0.1
    assert set(worth.values()) == {0.0}


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
