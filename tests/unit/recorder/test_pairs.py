import itertools
import math

import numpy as np
import pytest
from tests.recording import prediction

from seakeep.recorder.pairs import Pairing

ANSWERS = [
    prediction(1, id="a", role="champion", version=1, score=0.1, key="x", model_us=5.0),
    prediction(2, id="b", role="shadow", version=2, pair="a", score=0.2, key="x", model_us=7.0),
    prediction(3, id="c", role="canary", version=2, score=0.4, key="y"),
    prediction(4, id="d", role="shadow", version=1, pair="c", score=0.3, key="y"),
    prediction(5, id="e", role="champion", version=1, score=0.9, key="alone"),
    prediction(6, id="f", role="shadow", version=3, pair="e", score=0.8, key="alone"),
    prediction(7, id="g", role="champion", model="other", version=1),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_answers_and_shadows_meet_in_any_order(order):
    pairing = Pairing("late-arrival", 1, 2)
    for place in (*order, 4, 5, 6):
        pairing.add(ANSWERS[place])
    table = pairing.table({"x": 1.0})
    assert len(pairing) == len(table) == 2
    rows = np.argsort(table.champion_score)
    assert table.champion_score[rows].tolist() == [0.1, 0.3]
    assert table.candidate_score[rows].tolist() == [0.2, 0.4]
    assert (table.champion_us[rows][0], table.candidate_us[rows][0]) == (5.0, 7.0)
    np.testing.assert_array_equal(table.label[rows], [1.0, np.nan])


def test_failures_of_either_side_are_kept():
    pairing = Pairing("late-arrival", 1, 2)
    pairing.add(ANSWERS[0])
    pairing.add(prediction(2, id="b", role="shadow", version=2, pair="a", score=math.nan, error="serving"))
    table = pairing.table({})
    assert (table.champion_failed.tolist(), table.candidate_failed.tolist()) == ([False], [True])


def test_pairs_are_counted_from_a_moment_on():
    pairing = Pairing("late-arrival", 1, 2)
    for one in ANSWERS:
        pairing.add(one)
    assert [pairing.since(one.recorded_us) for one in (ANSWERS[0], ANSWERS[1], ANSWERS[3], ANSWERS[4])] == [2, 1, 1, 0]


def test_no_pairs_give_an_empty_table():
    assert len(Pairing("late-arrival", 1, 2).table({})) == 0
