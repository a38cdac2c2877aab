import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from seakeep.features.frame import Frame
from seakeep.records.feature import FeatureColumn
from seakeep.training.baselines import fit_constant, fit_linear


def test_the_constant_is_the_base_rate(make_frame):
    frame = make_frame()
    assert fit_constant(frame).score(frame.select(np.arange(3))).tolist() == [frame.label.mean()] * 3


def test_the_linear_model_is_that_of_scikit_learn_on_numbers(make_frame):
    frame = make_frame()
    x = frame.values["x"]
    only = dataclasses.replace(frame, columns=frame.columns[:1], values={"x": x})
    standard = ((x - x.mean()) / x.std())[:, None]
    reference = LogisticRegression(C=1.0, tol=1e-12, max_iter=1_000).fit(standard, frame.label)
    np.testing.assert_allclose(fit_linear(only).score(only), reference.predict_proba(standard)[:, 1], atol=1e-6)


def test_the_linear_model_learns_from_numbers_and_categories(make_frame):
    train, test = make_frame(seed=0), make_frame(seed=1)
    scores = fit_linear(train).score(test)
    assert roc_auc_score(test.label, scores) > 0.8
    assert log_loss(test.label, scores) < log_loss(test.label, fit_constant(train).score(test)) - 0.1


def test_the_same_rows_give_the_same_bits(make_frame):
    frame = make_frame()
    assert fit_linear(frame).weights.tobytes() == fit_linear(make_frame()).weights.tobytes()


def test_unseen_categories_and_missing_values_are_scored(make_frame):
    frame = make_frame()
    strange = frame.select(np.arange(2))
    strange.values["kind"][:] = ["never seen", ""]
    strange.values["x"][:] = np.nan
    scores = fit_linear(frame).score(strange)
    assert ((scores > 0) & (scores < 1)).all()


def number_frame(label, **values):
    size = len(label)
    return Frame(
        columns=tuple(FeatureColumn(name=name, kind="number") for name in values),
        values=values,
        key=np.full(size, "", dtype=object),
        time_us=np.arange(size),
        label=label,
        label_known_us=np.arange(size),
    )


def test_perfectly_separable_rows_do_not_diverge():
    x = np.linspace(-1, 1, 400)
    frame = number_frame((x > 0).astype(np.float64), x=x)
    scores = fit_linear(frame).score(frame)
    assert np.isfinite(scores).all()
    assert roc_auc_score(frame.label, scores) == 1.0


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_dead_columns_do_not_matter(value):
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    label = (x + rng.normal(size=500) > 0).astype(np.float64)
    alone = fit_linear(number_frame(label, x=x)).score(number_frame(label, x=x))
    frame = number_frame(label, x=x, dead=np.full(500, value))
    np.testing.assert_allclose(fit_linear(frame).score(frame), alone, atol=1e-3)


def test_huge_values_stay_finite():
    x = np.array([1e300, -1e300] * 50)
    frame = number_frame(np.array([1.0, 0.0] * 50), x=np.where(np.arange(100) < 50, x / 1e298, x / 1e298))
    assert np.isfinite(fit_linear(frame).score(frame)).all()


def test_rare_categories_are_not_terms(make_frame):
    frame = make_frame()
    frame.values["kind"][:5] = "rare"
    assert "rare" not in fit_linear(frame).encoders["kind"].values
