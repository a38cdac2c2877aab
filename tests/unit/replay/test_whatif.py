"""The comparison beside a computation by hand: rows in loops, metrics from scikit-learn."""

import math

import numpy as np
import pytest
from sklearn import metrics

from seakeep.clock import DAY_US
from seakeep.replay.whatif import Pairs, compare

OLD, NEW = 0.5, 0.4


def traffic(count=3000, *, seed=0, days=20, labelled=0.8, refused=0.01):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.05, 0.95, count)
    candidate, against = np.clip(truth + rng.normal(0, 0.1, (2, count)), 0.01, 0.99)
    against[: count // 4] = candidate[: count // 4]
    candidate[rng.random(count) < refused] = np.nan
    label = (rng.random(count) < truth).astype(float)
    label[rng.random(count) > labelled] = np.nan
    code = rng.integers(-1, 3, count)
    return Pairs(
        time_us=np.sort(rng.integers(0, days * DAY_US, count)),
        label=label,
        candidate=candidate,
        against=against,
        slices={"carrier": (code, ["UA", "AA", ""]), "one": (np.zeros(count, dtype=np.int64), ["only"])},
    )


@pytest.fixture(scope="module")
def pairs():
    return traffic()


@pytest.fixture(scope="module")
def found(pairs):
    return compare(pairs, candidate_threshold=NEW, against_threshold=OLD)


def by_hand(pairs, rows):
    """Decisions up and down, and outcomes righter and wronger, row by row."""
    up = down = righter = wronger = known = 0
    for row in rows:
        before, after = pairs.against[row] >= OLD, pairs.candidate[row] >= NEW
        up += after and not before
        down += before and not after
        if not math.isnan(pairs.label[row]):
            known += 1
            was, is_ = before == bool(pairs.label[row]), after == bool(pairs.label[row])
            righter += is_ and not was
            wronger += was and not is_
    return (len(rows), up, down), (known, righter, wronger)


def counts(shift):
    return shift.rows, shift.up, shift.down


def test_decisions_and_outcomes_are_those_counted_by_hand(pairs, found):
    decided, told = by_hand(pairs, range(len(pairs.label)))
    assert counts(found.decisions) == decided
    assert counts(found.outcomes) == told
    assert decided[1] > 50 < decided[2]
    assert told[0] < decided[0]


def test_every_slice_is_counted_by_hand(pairs, found):
    assert len(found.slices) == 4
    for one in found.slices:
        code, values = pairs.slices[one.column]
        decided, told = by_hand(pairs, np.flatnonzero(code == values.index(one.value)).tolist())
        assert counts(one.decisions) == decided
        assert counts(one.outcomes) == told
    evidence = [one.decisions.p_value for one in found.slices]
    assert evidence == sorted(evidence)
    only = next(one for one in found.slices if one.column == "one")
    assert counts(only.decisions) == counts(found.decisions)
    assert only.decisions.net == found.decisions.net


def test_scores_are_compared_by_their_bits(pairs, found):
    both = ~np.isnan(pairs.candidate)
    difference = (pairs.candidate - pairs.against)[both]
    assert found.equal == (pairs.candidate == pairs.against).sum() >= 700
    assert found.mean_difference == pytest.approx(difference.mean())
    assert found.largest == np.abs(difference).max()
    zeros = Pairs(time_us=np.arange(4), label=np.full(4, np.nan), candidate=np.array([0.0, -0.0, np.nan, 1.0]),
                  against=np.array([-0.0, -0.0, np.nan, 0.5]), slices={})  # fmt: skip
    assert compare(zeros, candidate_threshold=0.5, against_threshold=0.5).equal == 2


def test_confusions_are_those_of_scikit_learn(pairs, found):
    known = ~np.isnan(pairs.label)
    for score, threshold, one in zip((pairs.candidate, pairs.against), (NEW, OLD), found.confusions, strict=True):
        silent, false, missed, hit = metrics.confusion_matrix(pairs.label[known], score[known] >= threshold).ravel()
        assert (one.hits, one.false_alarms, one.missed, one.silent) == (hit, false, missed, silent)


def test_metrics_are_those_of_scikit_learn_and_their_differences(pairs, found):
    rows = ~np.isnan(pairs.label) & ~np.isnan(pairs.candidate)
    label = pairs.label[rows]
    formulas = {
        "roc_auc": lambda score, _: metrics.roc_auc_score(label, score),
        "average_precision": lambda score, _: metrics.average_precision_score(label, score),
        "log_loss": lambda score, _: metrics.log_loss(label, score),
        "brier": lambda score, _: metrics.brier_score_loss(label, score),
        "recall": lambda score, threshold: metrics.recall_score(label, score >= threshold),
        "precision": lambda score, threshold: metrics.precision_score(label, score >= threshold),
        "alert_rate": lambda score, threshold: (score >= threshold).mean(),
    }
    for name, formula in formulas.items():
        new, old = formula(pairs.candidate[rows], NEW), formula(pairs.against[rows], OLD)
        assert found.metrics.one[name].value == pytest.approx(new)
        assert found.metrics.other[name].value == pytest.approx(old)
        difference = found.metrics.difference[name]
        assert difference.value == pytest.approx(new - old)
        assert difference.low <= difference.value <= difference.high
        apart = found.metrics.one[name].high - found.metrics.other[name].low
        assert difference.high < apart  # paired: what both have in common cancels


def test_a_version_beside_itself_shows_nothing():
    pairs = traffic(refused=0.0)
    same = Pairs(
        time_us=pairs.time_us, label=pairs.label, candidate=pairs.against, against=pairs.against, slices=pairs.slices
    )
    found = compare(same, candidate_threshold=OLD, against_threshold=OLD)
    assert found.equal == len(pairs.label)
    assert (found.mean_difference, found.largest) == (0.0, 0.0)
    for shift in (found.decisions, found.outcomes, *(one.decisions for one in found.slices)):
        assert (shift.up, shift.down, shift.net.value, shift.p_value) == (0, 0, 0.0, 1.0)
    for one in found.metrics.difference.values():
        assert (one.value, one.low, one.high) == (0.0, 0.0, 0.0)


def test_without_outcomes_there_are_decisions_alone():
    found = compare(traffic(labelled=0.0), candidate_threshold=NEW, against_threshold=OLD)
    assert found.outcomes is None
    assert found.confusions is None
    assert (found.metrics.one, found.metrics.difference) == ({}, {})
    assert {one.outcomes for one in found.slices} == {None}
    assert found.decisions.up > 0


def test_one_request_is_enough():
    found = compare(
        Pairs(time_us=np.array([5]), label=np.array([1.0]), candidate=np.array([0.9]), against=np.array([0.1]),
              slices={"c": (np.array([0]), ["x"])}),
        candidate_threshold=0.5, against_threshold=0.5,
    )  # fmt: skip
    assert counts(found.decisions) == counts(found.outcomes) == (1, 1, 0)
    assert found.decisions.p_value == 1.0
    assert found.confusions[0].hits == found.confusions[1].missed == 1
    assert "roc_auc" not in found.metrics.one


def test_few_days_are_resampled_in_stretches_and_that_is_told():
    week = compare(traffic(days=7), candidate_threshold=NEW, against_threshold=OLD)
    assert (len(week.blocks), week.blocks.whole_days) == (20, False)
    month = compare(traffic(days=30), candidate_threshold=NEW, against_threshold=OLD)
    assert (len(month.blocks), month.blocks.whole_days) == (30, True)


def test_a_shift_in_one_slice_is_found_there_and_not_elsewhere():
    rng = np.random.default_rng(3)
    against = rng.random(20_000)
    code = rng.integers(0, 25, 20_000)
    candidate = np.clip(against + np.where(code == 7, 0.1, 0.0) + rng.normal(0, 0.02, 20_000), 0, 1)
    found = compare(
        Pairs(time_us=np.sort(rng.integers(0, 28 * DAY_US, 20_000)), label=np.full(20_000, np.nan), candidate=candidate,
              against=against, slices={"carrier": (code, [str(one) for one in range(25)])}),
        candidate_threshold=0.9, against_threshold=0.9,
    )  # fmt: skip
    assert [one.value for one in found.slices if one.decisions.p_value <= 0.05] == ["7"]
