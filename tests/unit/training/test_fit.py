import dataclasses

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from seakeep.clock import DAY_US
from seakeep.errors import TrainingError
from seakeep.records.model import Threshold
from seakeep.records.outputs import NEVER, number
from seakeep.training.artefact import digest
from seakeep.training.fit import fit


def numbers(frame):
    return frame.to_pandas()[["x", "noise"]]


class OnNumbers(HistGradientBoostingClassifier):
    """Leaves the category column out."""

    def fit(self, frame, label):
        return super().fit(frame[["x", "noise"]], label)

    def predict_proba(self, frame):
        return super().predict_proba(frame[["x", "noise"]])


def train(frame):
    return OnNumbers(max_iter=20, random_state=0).fit(frame.to_pandas(), frame.label)


def test_a_fit_has_the_artefact_its_threshold_and_all_that_is_known_of_it(make_frame, make_model):
    frame = make_frame()
    fitted = fit(make_model(train), frame, validate_from_us=30 * DAY_US)
    assert fitted.sha256 == digest(fitted.artefact)
    assert fitted.rows_trained + len(fitted.validate) <= len(frame)
    assert np.mean(fitted.scores >= fitted.threshold) == pytest.approx(0.2, abs=0.01)
    assert fitted.metrics["roc_auc"].value == pytest.approx(roc_auc_score(fitted.validate.label, fitted.scores))
    assert set(fitted.baselines) == set(fitted.paired) == {"constant", "linear"}
    assert fitted.baselines["constant"]["roc_auc"].value == 0.5
    assert fitted.paired["constant"].high < 0
    assert set(fitted.slices) == {"kind"}
    assert set(fitted.slices["kind"]) == {"a", "b", "c"}


def test_train_sees_labelled_rows_of_the_past_only(make_frame, make_model):
    frame = make_frame()
    frame.label[::7] = np.nan
    seen = []

    def watch(rows):
        seen.append(rows)
        return train(rows)

    fit(make_model(watch), frame, validate_from_us=30 * DAY_US)
    assert not np.isnan(seen[0].label).any()
    assert seen[0].label_known_us.max() < 30 * DAY_US


def test_another_trainer_can_take_the_models_place(make_frame, make_model):
    def deep(frame):
        return OnNumbers(max_iter=60, random_state=0).fit(frame.to_pandas(), frame.label)

    frame = make_frame()
    model = make_model(train)
    assert fit(model, frame).sha256 != fit(model, frame, train=deep).sha256


def test_the_same_inputs_give_the_same_result(make_frame, make_model):
    one, other = (fit(make_model(train), make_frame(), seed=5) for _ in range(2))
    assert one.artefact == other.artefact
    assert one.metrics == other.metrics


def test_without_a_moment_the_last_fifth_validates(make_frame, make_model):
    fitted = fit(make_model(train), make_frame())
    assert 31 * DAY_US <= fitted.validate_from_us <= 32 * DAY_US


def test_a_declared_threshold_is_kept(make_frame, make_model):
    assert fit(make_model(train, Threshold(0.6)), make_frame()).threshold == 0.6


def test_an_exception_of_the_user_names_file_and_line(make_frame, make_model):
    def broken(frame):
        raise ValueError("no such column")

    with pytest.raises(TrainingError, match=r"train failed: test_fit.py:\d+: ValueError: no such column") as caught:
        fit(make_model(broken), make_frame())
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_estimator_that_fails_on_validation_rows_is_found_now(make_frame, make_model):
    class Picky(OnNumbers):
        def predict_proba(self, frame):
            raise KeyError("x")

    with pytest.raises(TrainingError, match=r"predict_proba on the validation rows failed: .*KeyError"):
        fit(make_model(lambda rows: Picky(max_iter=2).fit(rows.to_pandas(), rows.label)), make_frame())


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda rows: None, "train returned nothing"),
        (lambda rows: LinearSVC().fit(rows.to_pandas()[["x"]], rows.label), "LinearSVC, which has no predict_proba"),
        (lambda rows: OnNumbers(max_iter=2).fit(rows.to_pandas(), np.where(rows.label, "yes", "no")), "classes"),
        (lambda rows: OnNumbers(max_iter=2).fit(rows.to_pandas(), np.arange(len(rows)) % 3), "classes"),
    ],
)
def test_what_is_not_a_binary_classifier_is_refused(make_frame, make_model, result, message):
    with pytest.raises(TrainingError, match=message):
        fit(make_model(result), make_frame())


def test_scores_that_are_not_probabilities_are_refused(make_frame, make_model):
    class Wild(OnNumbers):
        def predict_proba(self, frame):
            return np.full((len(frame), 2), np.nan)

    with pytest.raises(TrainingError, match="not between 0 and 1"):
        fit(make_model(lambda rows: Wild(max_iter=2).fit(rows.to_pandas(), rows.label)), make_frame())


def test_labels_that_are_not_yes_or_no_are_refused(make_frame, make_model):
    frame = make_frame()
    with pytest.raises(TrainingError, match="neither 0 nor 1"):
        fit(make_model(train), dataclasses.replace(frame, label=frame.label * 3))


def test_one_class_to_learn_from_is_refused(make_frame, make_model):
    frame = make_frame()
    with pytest.raises(TrainingError, match="have label 1"):
        fit(make_model(train), dataclasses.replace(frame, label=np.ones(len(frame))))


def test_a_leak_is_suspected(make_frame, make_model):
    frame = make_frame()
    frame.values["x"][:] = frame.label
    assert any("too good to be true" in one for one in fit(make_model(train), frame).warnings)


class LineOfNumbers(LinearRegression):
    """Leaves the category column and gaps out."""

    def fit(self, frame, label):
        return super().fit(frame[["x"]], label)

    def predict(self, frame):
        return super().predict(frame[["x"]])


def a_number(make_frame, make_model, train):
    """A frame whose label is a number, and a model that says so."""
    frame = make_frame()
    label = 20 + 3 * frame.values["x"] + np.random.default_rng(1).normal(0, 1, len(frame))
    model = make_model(train, Threshold())
    declared = msgspec.structs.replace(model.definition.label, answers=number())
    model.definition = msgspec.structs.replace(model.definition, label=declared)
    return dataclasses.replace(frame, label=label), model


def test_a_number_is_judged_by_its_errors(make_frame, make_model):
    frame, model = a_number(make_frame, make_model, lambda rows: LineOfNumbers().fit(rows.to_pandas(), rows.label))
    fitted = fit(model, frame, validate_from_us=30 * DAY_US)
    assert fitted.threshold == NEVER
    assert fitted.metrics["rmse"].value == pytest.approx(1, abs=0.1)
    assert fitted.baselines["constant"]["rmse"].value == pytest.approx(np.sqrt(10), abs=0.3)
    assert fitted.baselines["linear"]["rmse"].value == pytest.approx(1, abs=0.1)
    assert fitted.paired["constant"].value == pytest.approx(-0.9, abs=0.03)
    assert any("squared error is not surely better than the linear" in one for one in fitted.warnings)
    assert set(fitted.slices["kind"]["a"]) == {"mae", "rmse", "bias", "rows"}


class Endless(LineOfNumbers):
    def predict(self, frame):
        return np.full(len(frame), np.inf)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (lambda rows: OnNumbers(max_iter=2).fit(rows.to_pandas(), rows.label > 20), "which is no regressor"),
        (lambda rows: Endless().fit(rows.to_pandas(), rows.label), "not finite"),
        (lambda rows: object(), "which is no regressor"),
    ],
)
def test_what_gives_no_number_a_row_is_refused(make_frame, make_model, train, message):
    frame, model = a_number(make_frame, make_model, train)
    with pytest.raises(TrainingError, match=message):
        fit(model, frame, validate_from_us=30 * DAY_US)


def test_an_infinite_label_is_refused(make_frame, make_model):
    frame, model = a_number(make_frame, make_model, train)
    frame.label[5] = np.inf
    with pytest.raises(TrainingError, match="1 labels are infinite"):
        fit(model, frame, validate_from_us=30 * DAY_US)


@pytest.mark.parametrize(
    ("module", "framework"), [("torch.nn.modules.linear", "PyTorch"), ("keras.src.models", "Keras")]
)
def test_a_bare_network_is_named_with_how_to_hand_it_over(module, framework, make_model, make_frame):
    network = type("Net", (type("Base", (), {"__module__": module}),), {})()
    with pytest.raises(TrainingError, match=f"a bare network of {framework}") as refusal:
        fit(make_model(lambda _: network), make_frame())
    assert "sk.Network(module, gives=" in refusal.value.hint
