import math

import numpy as np
import pytest

from seakeep.recorder.pairs import PairTable
from seakeep.records.release import Release
from seakeep.replay.shadow import ALPHA, Thresholds, shadow_difference
from seakeep.serving.comparison import mean_between, questions
from seakeep.serving.rollout import Span

STARTED = Release(model="late", revision=2, from_us=100, action="promote", actor="", reason="", routes=())
SPAN = Span(started=STARTED, ended=None, champion=3, candidate=5)
THRESHOLDS = Thresholds(champion=0.5, candidate=0.6)


def pairs(count=400, shift=0.1, seed=0):
    rng = np.random.default_rng(seed)
    old = rng.uniform(0, 0.85, count)
    new = np.clip(old + np.where(rng.random(count) < 0.5, shift, 0.0), 0, 1)
    label = (rng.random(count) < old).astype(float)
    label[::3] = np.nan
    old[5], new[7] = np.nan, np.nan
    return PairTable(
        recorded_us=np.arange(count),
        label=label,
        label_us=np.arange(count),
        timed=np.ones(count, dtype=bool),
        champion_score=old,
        candidate_score=new,
        champion_us=np.full(count, 10.0),
        candidate_us=np.full(count, 12.0),
        champion_failed=np.isnan(old),
        candidate_failed=np.isnan(new),
    )


def test_the_difference_is_the_one_counted_by_hand():
    table = pairs()
    found = shadow_difference("late", SPAN, table, THRESHOLDS)
    up = down = equal = labelled = 0
    differences, brier = [], []
    for old, new, label in zip(table.champion_score, table.candidate_score, table.label, strict=True):
        if math.isnan(old) or math.isnan(new):
            continue
        up += new >= 0.6 and old < 0.5
        down += new < 0.6 and old >= 0.5
        equal += old == new
        differences.append(new - old)
        if not math.isnan(label):
            labelled += 1
            brier.append((new - label) ** 2 - (old - label) ** 2)
    assert (found.pairs, found.labelled, found.equal, found.up, found.down) == (400, labelled, equal, up, down)
    assert found.largest == max(map(abs, differences))
    means = {"score": np.mean(differences), "brier": np.mean(brier), "alert_rate": (up - down) / len(differences)}
    assert {name: one.value for name, one in found.differences.items()} == pytest.approx(means)
    assert (found.champion, found.candidate, found.from_us, found.to_us) == (3, 5, 100, None)


def test_intervals_and_tests_are_the_comparisons_own():
    table = pairs()
    found = shadow_difference("late", SPAN, table, THRESHOLDS)
    score = found.differences["score"]
    scored = ~table.champion_failed & ~table.candidate_failed
    assert (score.low, score.high) == mean_between((table.candidate_score - table.champion_score)[scored], ALPHA)
    assert [(one.question, one.p_value, one.sentence) for one in found.tests] == [
        (one.harm, one.p_value, one.sentence) for one in questions(table)
    ]


def test_without_pairs_or_outcomes_there_is_less_to_tell():
    table = pairs()
    none = PairTable(**{name: getattr(table, name)[:0] for name in table.__slots__})
    found = shadow_difference("late", SPAN, none, THRESHOLDS)
    assert (found.pairs, found.equal, found.largest, found.differences) == (0, 0, 0.0, {})
    assert {one.p_value for one in found.tests} == {1.0}
    table.label[:] = np.nan
    assert set(shadow_difference("late", SPAN, table, THRESHOLDS).differences) == {"score", "alert_rate"}
