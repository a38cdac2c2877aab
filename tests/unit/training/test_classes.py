import dataclasses

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from seakeep.clock import DAY_US
from seakeep.errors import TrainingError
from seakeep.records.model import Threshold
from seakeep.records.outputs import NEVER, classes
from seakeep.training import multinomial
from seakeep.training.evaluate import METRICS_OF, Scored, evaluate, paired_loss
from seakeep.training.fit import fit

NAMES = ("pear", "apple", "fig")


def scored(rows=2_000, days=30, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.dirichlet([1.0, 2.0, 0.7], rows)
    label = (rng.random(rows)[:, None] > score.cumsum(axis=1)).sum(axis=1).clip(0, 2).astype(float)
    time_us = np.sort(rng.integers(0, days * DAY_US, rows))
    return Scored(label=label, score=score, time_us=time_us, outputs=classes(*NAMES))


def test_values_agree_with_scikit_learn():
    rows = scored()
    found = evaluate(rows, threshold=NEVER)
    answer = rows.score.argmax(axis=1)
    assert set(found) == set(METRICS_OF["probabilities"])
    told = {
        "log_loss": log_loss(rows.label, rows.score),
        "accuracy": accuracy_score(rows.label, answer),
        "macro_f1": f1_score(rows.label, answer, average="macro"),
        "roc_auc": roc_auc_score(rows.label, rows.score, multi_class="ovr"),
        "brier": ((rows.score - np.eye(3)[rows.label.astype(int)]) ** 2).sum(axis=1).mean() / 2,
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(told, abs=1e-12)
    for one in found.values():
        assert one.low < one.value < one.high


def test_a_class_that_never_came_nor_was_answered_counts_for_nothing():
    rows = scored()
    sure = np.column_stack([rows.score[:, :2], np.zeros(len(rows.label))])
    few = dataclasses.replace(rows, score=sure).select(rows.label < 2)
    found = evaluate(few, threshold=NEVER)
    assert found["macro_f1"].value == pytest.approx(f1_score(few.label, few.score.argmax(axis=1), average="macro"))
    assert np.isfinite(found["roc_auc"].value)


def test_losses_are_compared_row_by_row():
    rows = scored()
    even = np.full_like(rows.score, 1 / 3)
    found = paired_loss(rows, even)
    assert found.value == pytest.approx(log_loss(rows.label, rows.score) - np.log(3), abs=1e-9)
    assert found.high < 0


def test_the_linear_model_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    terms = rng.normal(size=(600, 4))
    label = (terms @ rng.normal(size=(4, 3)) + rng.gumbel(size=(600, 3))).argmax(axis=1)
    design = np.column_stack([np.ones(600), terms])
    weights = multinomial.solve(design, np.eye(3)[label], np.array([0.0, 1, 1, 1, 1]))
    other = LogisticRegression(C=1.0, tol=1e-9, max_iter=1_000).fit(terms, label).predict_proba(terms)
    np.testing.assert_allclose(multinomial.softmax(design @ weights), other, atol=1e-4)


class Picker:
    """Knows its classes by these, in this order; its probabilities follow the first number."""

    def __init__(self, own, order):
        self.classes_, self._order = np.array(own), list(order)

    def predict_proba(self, frame):
        x = frame["x"].to_numpy()
        raised = np.exp(np.column_stack([x, -x, np.zeros_like(x)]))
        return (raised / raised.sum(axis=1, keepdims=True))[:, self._order]


def of_classes(make_frame, make_model, estimator):
    frame = make_frame()
    x = frame.values["x"]
    codes = np.select([x > 0.5, x < -0.5], [0.0, 1.0], 2.0)
    model = make_model(lambda _: estimator, Threshold())
    label = msgspec.structs.replace(model.definition.label, answers=classes(*NAMES))
    model.definition = msgspec.structs.replace(model.definition, label=label)
    return dataclasses.replace(frame, label=codes), model


@pytest.mark.parametrize("own", [NAMES, (0, 1, 2), (0.0, 1.0, 2.0)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_scores_are_in_the_declared_order_whatever_the_estimators_is(make_frame, make_model, own, order):
    frame, model = of_classes(make_frame, make_model, Picker([own[one] for one in order], order))
    fitted = fit(model, frame, validate_from_us=30 * DAY_US)
    assert fitted.scores.shape == (len(fitted.validate), 3)
    x = fitted.validate.values["x"]
    assert (fitted.scores.argmax(axis=1)[np.abs(x) > 1] == np.where(x > 0, 0, 1)[np.abs(x) > 1]).all()
    assert fitted.threshold == NEVER
    assert fitted.baselines["linear"]["log_loss"].value < fitted.baselines["constant"]["log_loss"].value
    assert set(fitted.slices["kind"]["a"]) == {*METRICS_OF["probabilities"], "rows"}


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Picker(["pear", "apple"], (0, 1)), "it knows no fig"),
        (Picker(["pear", "apple", "figs"], (0, 1, 2)), "it knows no fig; figs is not declared"),
        (Picker([0, 1, 3], (0, 1, 2)), "it knows no fig; 3 is not declared"),
        (Picker(NAMES, (0, 1)), "gives shape"),
        (Picker(NAMES, (0, 0, 1)), "no probabilities that add up to 1"),
    ],
)
def test_an_estimator_of_other_classes_is_told(make_frame, make_model, estimator, message):
    frame, model = of_classes(make_frame, make_model, estimator)
    with pytest.raises(TrainingError, match=message):
        fit(model, frame, validate_from_us=30 * DAY_US)


def test_a_class_without_a_training_row_is_told(make_frame, make_model):
    frame, model = of_classes(make_frame, make_model, Picker(NAMES, (0, 1, 2)))
    frame = dataclasses.replace(frame, label=np.where(frame.label == 2, 1.0, frame.label))
    with pytest.raises(TrainingError, match="no training row is of class fig"):
        fit(model, frame, validate_from_us=30 * DAY_US)
