import itertools
import math

import msgspec
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
    for place in (*order[:2], "outcome", *order[2:], 4, 5, 6):
        if place == "outcome":
            pairing.outcome("x", 1.0, 0)
        else:
            pairing.add(ANSWERS[place])
    table = pairing.table()
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
    table = pairing.table()
    assert (table.champion_failed.tolist(), table.candidate_failed.tolist()) == ([False], [True])


def batch_of(count, *, version, role, at_us, first=0, model_us):
    return [
        prediction(n + 1, id=f"{role[0]}{n}", pair=f"c{n}" if role == "shadow" else "", role=role, version=version,
                   key=f"k{n}", time_us=1_000 + n, recorded_us=at_us, model_us=model_us)
        for n in range(first, first + count)
    ]  # fmt: skip


def paired(*records):
    pairing = Pairing("late-arrival", 1, 2)
    for one in records:
        pairing.add(one)
    return pairing


def test_rows_scored_together_are_timed_once():
    answered = batch_of(60, version=1, role="champion", at_us=5, model_us=90.0)
    shadow = batch_of(60, version=2, role="shadow", at_us=6, model_us=80.0)
    more = batch_of(1, version=1, role="champion", at_us=7, first=60, model_us=9.0)
    its = batch_of(1, version=2, role="shadow", at_us=8, first=60, model_us=8.0)
    table = paired(*answered, *shadow, *more, *its).table()
    assert np.flatnonzero(table.timed).tolist() == [0, 60]


def test_batches_of_different_sizes_are_not_compared():
    answered = batch_of(100, version=1, role="champion", at_us=5, model_us=90.0)
    steps = [
        batch_of(50, version=2, role="shadow", at_us=6 + step, first=50 * step, model_us=50.0 + step) for step in (0, 1)
    ]
    table = paired(*answered, *steps[0], *steps[1]).table()
    assert len(table) == 100
    assert not table.timed.any()


@pytest.mark.parametrize(("delay_us", "counted"), [(0, 10), (4, 6), (100, 0)])
def test_outcomes_of_requests_younger_than_the_usual_delay_do_not_count(delay_us, counted):
    """Here negatives are known at once: were they counted, they would stand for all."""
    answered = batch_of(10, version=1, role="champion", at_us=5, model_us=90.0)
    shadow = batch_of(10, version=2, role="shadow", at_us=6, model_us=80.0)
    pairing = paired(*answered, *shadow)
    for n in range(10):
        pairing.outcome(f"k{n}", 0.0, 0)
    table = pairing.table(delay_us)
    assert np.isfinite(table.label).sum() == counted
    assert table.label_us.tolist() == [1_000 + n + delay_us for n in range(10)]


def test_the_first_outcome_of_a_key_counts_for_all_its_requests_before_and_after():
    pairing = Pairing("late-arrival", 1, 2)
    for first in (0, 3):
        for one in (
            *batch_of(3, version=1, role="champion", at_us=5 + first, first=first, model_us=9.0),
            *batch_of(3, version=2, role="shadow", at_us=5 + first, first=first, model_us=8.0),
        ):
            pairing.add(msgspec.structs.replace(one, key="k"))
        pairing.outcome("k", 1.0 - first, 1_001)
    table = pairing.table()
    assert pairing.outcomes == 1
    assert table.label.tolist() == [1.0] * 6
    assert table.label_us.tolist() == [1_001, 1_001, 1_002, 1_003, 1_004, 1_005]


def test_a_table_stays_as_it_was_while_more_pairs_come():
    pairing = paired(*ANSWERS[:2])
    before = pairing.table()
    for one in ANSWERS[2:4]:
        pairing.add(one)
    pairing.outcome("x", 1.0, 0)
    assert (len(before), len(pairing.table())) == (1, 2)
    assert np.isnan(before.label[0])


def test_the_pairs_of_a_stage_are_those_answered_from_its_beginning():
    table = paired(*ANSWERS[:4]).table()
    stage = table.since(int(table.recorded_us.max()))
    assert len(stage) == 1
    assert stage.champion_score.tolist() == [0.3]


def test_no_pairs_give_an_empty_table():
    assert len(Pairing("late-arrival", 1, 2).table()) == 0


def test_scores_of_classes_stay_with_their_pairs_whichever_failed():
    rows = [(0.2, 0.3, 0.5), (), (0.6, 0.3, 0.1), ()]
    others = [(0.1, 0.8, 0.1), (0.25, 0.5, 0.25), (), ()]
    records = []
    for place, (one, other) in enumerate(zip(rows, others, strict=True)):
        for scores, version, role in ((one, 1, "champion"), (other, 2, "shadow")):
            top = {"score": max(scores, default=math.nan), "error": "" if scores else "internal"}
            pair = f"p{place}" if version == 2 else ""
            id_ = f"p{place}" if version == 1 else f"s{place}"
            records.append(prediction(place + 1, id=id_, version=version, role=role, pair=pair, scores=scores, **top))
    table = paired(*records).table()
    nothing = [math.nan] * 3
    np.testing.assert_array_equal(table.champion_scores, [one or nothing for one in rows])
    np.testing.assert_array_equal(table.candidate_scores, [one or nothing for one in others])
    later = table.since(int(table.recorded_us[2]))
    np.testing.assert_array_equal(later.champion_scores, [rows[2], nothing])
    single = paired(prediction(1), prediction(2, version=2, role="shadow", pair="p00000001")).table()
    assert single.champion_scores.shape == (1, 0)
