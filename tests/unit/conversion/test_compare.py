import numpy as np
import pytest

from seakeep.conversion.compare import Answers, Rule, weigh, without
from seakeep.conversion.rows import Rows
from seakeep.records.outputs import Outputs


def rule(kind, tolerance=1e-9, names=("x", "y", "z")):
    return Rule(Outputs(kind=kind, names=() if kind == "probability" else names), 0.4, tolerance)


def told(*rows, refused=()):
    scores = np.array(rows, dtype=float)
    return Answers(scores, np.isin(np.arange(len(scores)), refused))


def weighed(kind, trained, served, **settings):
    rows = Rows(np.zeros((len(trained.scores), 1)), np.empty((len(trained.scores), 0), dtype=object))
    return weigh(rows, trained, served, rule(kind, **settings))


def test_a_probability_decides_at_the_deployed_threshold_and_a_tie_is_apart():
    found = weighed("probability", told([0.4], [0.45], [0.39]), told([0.4 - 1e-10], [0.3], [0.41]))
    assert found.tie.tolist() == [True, False, False]
    assert found.flip.tolist() == [False, True, True]


def test_several_classes_flip_when_another_is_first_and_tie_when_two_are_equal():
    trained = told([0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.2, 0.3, 0.5])
    served = told([0.3, 0.5, 0.2], [0.4 - 1e-10, 0.4, 0.2], [0.2, 0.3, 0.5])
    found = weighed("probabilities", trained, served)
    assert found.flip.tolist() == [True, False, False]
    assert found.tie.tolist() == [False, True, False]
    assert found.difference == pytest.approx([0.2, 1e-10, 0.0])


@pytest.mark.parametrize(("kind", "limit"), [("decision", 0.0), ("anomaly", 0.0)])
def test_decisions_and_anomalies_turn_at_nought(kind, limit):
    found = weighed(kind, told([limit + 0.1], [limit - 0.1]), told([limit - 0.1], [limit - 0.2]))
    assert found.flip.tolist() == [True, False]
    exactly = rule(kind).decide(np.array([[0.0]]))[0]
    assert exactly == (1 if kind == "anomaly" else 0)  # scikit-learn: "> 0" is the second class, "< 0" an outlier


def test_values_differ_in_proportion_and_never_flip():
    found = weighed("value", told([1e6], [0.001], [np.inf]), told([1e6 + 1], [0.002], [np.inf]))
    assert found.difference == pytest.approx([1e-6, 0.001, 0.0])
    assert not found.flip.any()


def test_probabilities_differ_absolutely():
    assert weighed("probability", told([0.001]), told([0.002])).difference == pytest.approx([0.001])


def test_another_class_is_a_flip():
    found = weighed("class", told([0.0], [2.0]), told([0.0], [1.0]))
    assert found.flip.tolist() == [False, True]
    assert found.wrong(1e-9).tolist() == [False, True]


def test_a_refused_row_must_have_no_score_and_a_row_of_nan_must_too():
    trained = told([np.nan, np.nan], [0.1, np.nan], [0.1, 0.2], refused=[0])
    served = told([0.5, 0.5], [np.nan, np.nan], [np.nan, 0.2])
    found = weighed("values", trained, served)
    assert found.error.tolist() == [True, False, False]
    assert found.nan.tolist() == [False, False, True]


def test_rows_in_doubt_may_differ_and_are_told_as_ties():
    found = weighed("probability", told([0.2], [0.2]), told([0.6], [0.6]))
    apart = without(found, np.array([True, False]))
    assert apart.flip.tolist() == [False, True]
    assert apart.tie.tolist() == [True, False]
    assert apart.wrong(1e-9).tolist() == [False, True]


def test_the_margin_is_the_distance_to_another_answer():
    assert rule("probability").margin(np.array([[0.5], [0.1]])) == pytest.approx([0.1, 0.3])
    assert rule("decisions").margin(np.array([[1.0, 3.0, 2.5]])) == pytest.approx([0.5])
    assert rule("value").margin(np.array([[1.0], [2.0], [9.0]])) == pytest.approx([1.0, 0.0, 7.0])
