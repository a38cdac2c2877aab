import dataclasses
import math

import numpy as np
import pytest

from seakeep.recorder.pairs import PairTable
from seakeep.records.model import Canary
from seakeep.records.outputs import classes, number
from seakeep.serving.comparison import (
    ALPHA,
    COLD,
    MIN_LABELLED,
    REACH,
    SAME_SCORE,
    bet,
    coin,
    judge,
    losses,
    mean_between,
    questions,
)

VALUE = number()
CANARY = Canary(min_pairs=200)


def pairs(count=1000, *, seed=0, label=None, old=None, new=None, old_us=30.0, new_us=30.0, old_failed=0, new_failed=0):
    """Pairs that differ in nothing, but for what is given: scores and labels as arrays, failures as counts."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.05, 0.95, count)
    first, last = np.arange(count) < old_failed, np.arange(count) >= count - new_failed
    old, new = (np.array(scores if one is None else one, dtype=float) for one in (old, new))
    old[first], new[last] = np.nan, np.nan
    return PairTable(
        recorded_us=np.arange(count),
        label=np.full(count, np.nan) if label is None else np.array(label, dtype=float),
        label_us=np.arange(count),
        timed=np.ones(count, dtype=bool),
        champion_score=old,
        candidate_score=new,
        champion_us=np.full(count, old_us) * rng.uniform(0.8, 1.25, count),
        candidate_us=np.full(count, new_us) * rng.uniform(0.8, 1.25, count),
        champion_failed=first,
        candidate_failed=last,
    )


def outcomes(count=1000, seed=0):
    """True probabilities and what came of them."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.05, 0.95, count)
    return truth, (rng.random(count) < truth).astype(float)


def test_a_candidate_like_the_champion_advances_with_enough_pairs_and_waits_before():
    assert judge(pairs(200), CANARY).action == "advance"
    waiting = judge(pairs(199), CANARY)
    assert waiting.action == "wait"
    assert waiting.reasons[0] == "199 of 200 pairs"
    unseen = "that the candidate is not slower is not shown yet"
    assert judge(pairs(0), CANARY).reasons == ("0 of 200 pairs", unseen)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ({"new_failed": 12}, "of 1,000 requests the candidate alone failed 12, the champion alone 0"),
        ({"new_failed": 30, "old_failed": 5}, "of 1,000 requests the candidate alone failed 30, the champion alone 5"),
        ({"new_us": 200.0}, "model time"),
        ({"old_us": 1.0, "new_us": 40.0}, "model time"),
    ],
)
def test_real_harm_takes_the_candidate_back_and_says_why(harm, told):
    found = judge(pairs(**harm), CANARY)
    assert found.action == "rollback"
    assert told in found.reasons[0]


@pytest.mark.parametrize(
    "harmless",
    [
        {"old_failed": 400}, {"old_failed": 5, "new_failed": 5}, {"old_us": 200.0}, {"new_us": 40.0},
        {"old_us": 1.0, "new_us": 20.0}, {"old_us": 2000.0, "new_us": 2500.0},
    ],
)  # fmt: skip
def test_what_is_no_harm_beyond_doubt_does_not_take_it_back(harmless):
    assert judge(pairs(**harmless), CANARY).action == "advance"


def test_harm_is_acted_on_before_there_are_enough_pairs_to_advance():
    assert judge(pairs(50, new_failed=50), CANARY).action == "rollback"


def test_the_first_inferences_of_a_fresh_version_are_not_timed():
    cold = pairs(200)
    cold.candidate_us[:COLD] = 3000.0
    assert judge(cold, CANARY).action == "advance"
    assert judge(pairs(COLD, new_us=3000.0), CANARY).action == "wait"
    assert judge(pairs(COLD + 30, new_us=3000.0), CANARY).action == "rollback"
    failed = pairs(80, new_us=3000.0, old_failed=60)
    assert judge(failed, CANARY).action == "wait"


def test_a_candidate_that_may_fail_more_waits():
    found = judge(pairs(new_failed=3), CANARY)
    assert (found.action, found.reasons[0]) == ("wait", "the candidate may fail more")
    assert judge(pairs(new_failed=3, old_failed=3), CANARY).action == "advance"


@pytest.mark.parametrize(("share", "actions"), [(0.45, {"rollback"}), (0.1, {"wait"}), (0.0, {"advance"})])
def test_a_slow_tail_does_not_advance_though_the_median_is_the_same(share, actions):
    found = set()
    for seed in range(20):
        one = pairs(1000, seed=seed)
        one.candidate_us[np.random.default_rng(seed).random(1000) < share] *= 1000
        found.add(judge(one, CANARY).action)
    assert found == actions


def test_one_timing_counts_once_however_many_rows_it_scored():
    one = pairs(6000, new_us=200.0)
    one.timed[:] = np.arange(6000) % 2000 == 0
    assert judge(one, CANARY).action == "wait"
    one.timed[:] = np.arange(6000) % 60 == 0
    assert "of 80 batches" in judge(one, CANARY).reasons[0]


class TestQuality:
    def test_a_candidate_that_is_worse_on_known_outcomes_is_taken_back(self):
        truth, label = outcomes()
        found = judge(pairs(label=label, old=truth, new=1 - truth), CANARY)
        assert found.action == "rollback"
        assert found.reasons[0].startswith("it is worse: Brier score 0.")
        assert found.reasons[0].endswith("on 1,000 requests with an outcome")

    def test_a_candidate_that_is_better_advances(self):
        truth, label = outcomes()
        assert judge(pairs(label=label, old=np.full(1000, 0.5), new=truth), CANARY).action == "advance"

    def test_one_that_differs_waits_for_outcomes_however_many_pairs_there_are(self):
        truth, label = outcomes()
        for known, action in ((0, "wait"), (MIN_LABELLED - 1, "wait"), (1000, "advance")):
            some = np.where(np.arange(1000) < known, label, np.nan)
            found = judge(pairs(label=some, old=truth, new=np.clip(truth + 0.02, 0, 1)), CANARY)
            assert found.action == action, known
            if action == "wait":
                assert found.reasons[0] == f"scores differ and {known} of {MIN_LABELLED} outcomes are known"

    def test_one_that_is_not_shown_to_be_no_worse_does_not_advance(self):
        """A Brier score larger by two thirds on 100 outcomes: too few to be sure of the harm, more so of none."""
        for seed in range(20):
            _, label = outcomes(200, seed)
            old, new = np.where(label == 1, 0.72, 0.28), np.where(label == 1, 0.64, 0.36)
            some = np.where(np.arange(200) < MIN_LABELLED, label, np.nan)
            assert judge(pairs(200, label=some, old=old, new=new), CANARY).action != "advance", seed

    def test_one_that_hardly_differs_needs_no_outcomes(self):
        truth, _ = outcomes()
        new = truth + SAME_SCORE * 0.99 * np.minimum(truth, 1 - truth)
        assert judge(pairs(old=truth, new=new), CANARY).action == "advance"

    def test_one_that_differs_in_few_requests_only_needs_them(self):
        truth, _ = outcomes()
        assert judge(pairs(old=truth, new=np.where(truth < 0.2, 1 - truth, truth)), CANARY).action == "wait"

    def test_a_dead_model_of_a_rare_outcome_is_not_the_same(self):
        rare = np.random.default_rng(0).beta(0.5, 100, 1000)
        assert judge(pairs(old=rare, new=np.zeros(1000)), CANARY).action == "wait"

    def test_outcomes_are_evidence_in_the_order_in_which_they_count(self):
        truth, label = outcomes()
        forward = pairs(label=label, old=truth, new=1 - truth)
        order = np.random.default_rng(1).permutation(1000)
        names = [field.name for field in dataclasses.fields(PairTable)]
        shuffled = PairTable(**{name: getattr(forward, name)[order] for name in names})
        assert questions(shuffled)[2].log_money == pytest.approx(questions(forward)[2].log_money, rel=1e-9)

    def test_outcomes_of_failed_requests_say_nothing_of_quality(self):
        truth, label = outcomes()
        found = judge(pairs(label=label, old=truth, new=truth, old_failed=900), CANARY)
        assert "on 100 requests with an outcome" in found.reasons[-1]

    def test_a_failed_request_does_not_hide_how_scores_differ(self):
        truth, _ = outcomes()
        assert judge(pairs(old=truth, new=1 - truth, old_failed=400), CANARY).action == "wait"


def test_a_rollback_tells_all_that_was_found_the_harm_first():
    truth, label = outcomes()
    found = judge(pairs(label=label, old=truth, new=truth, new_us=500.0, old_failed=1), CANARY)
    assert found.action == "rollback"
    assert [sentence.split()[0] for sentence in found.reasons] == ["it", "of", "Brier"]


class TestCoin:
    @pytest.mark.parametrize(("heads", "tails"), [(0, 0), (5, 5), (5, 6), (0, 9)])
    def test_no_more_heads_than_tails_win_nothing(self, heads, tails):
        assert coin(heads, tails) == -math.inf

    @pytest.mark.parametrize(("heads", "tails"), [(1, 0), (3, 2), (9, 0), (40, 20), (700, 650)])
    def test_the_money_is_that_of_the_mixture_of_coins_or_less(self, heads, tails):
        bias = (np.arange(200_000) + 0.5) / 400_000 + 0.5
        log_money = heads * np.log(2 * bias) + tails * np.log(2 * (1 - bias))
        exact = float(np.log(np.mean(np.exp(log_money - log_money.max()))) + log_money.max())
        assert exact - math.log(2) - 1e-6 <= coin(heads, tails) <= exact + 1e-6

    def test_more_heads_win_more(self):
        money = [coin(heads, 10) for heads in range(11, 200)]
        assert money == sorted(money)
        assert coin(5, 0) < math.log(3 / ALPHA) < coin(12, 0)


class TestBet:
    def test_a_fair_value_wins_nothing(self):
        assert bet(np.full(1000, 0.5)) == 0

    def test_values_below_a_half_win_next_to_nothing_and_values_above_more_and_more(self):
        rng = np.random.default_rng(0)
        noise = rng.uniform(-0.3, 0.3, 5000)
        money = [bet(np.clip(0.5 + shift + noise, 0, 1)) for shift in (-0.1, 0.02, 0.05, 0.1)]
        assert money == sorted(money)
        assert money[0] < 1
        assert money[-1] > 50

    def test_money_won_and_lost_again_was_won(self):
        won = np.r_[np.full(100, 0.9), np.full(1000, 0.1)]
        assert bet(won) == bet(won[:100]) > math.log(3 / ALPHA)

    def test_a_bet_is_made_before_its_value_is_seen(self):
        """With one value there is nothing to have learnt from: no bet."""
        assert bet(np.array([1.0])) == 0.0
        assert bet(np.array([1.0, 1.0])) > 0.0


def test_each_question_has_a_p_value_that_is_what_the_money_says():
    fails, slower, worse = questions(pairs(1000, new_failed=12))
    assert (fails.harm, slower.harm, worse.harm) == ("it fails more", "it is slower", "it is worse")
    assert fails.p_value == pytest.approx(math.exp(-coin(12, 0)))
    assert fails.p_value < ALPHA / 3
    assert (slower.p_value, worse.p_value) == (1.0, 1.0)
    assert worse.sentence == ""
    assert questions(pairs(0))[0].p_value == 1.0


def test_an_interval_of_a_mean_narrows_around_it():
    rng = np.random.default_rng(0)
    values = rng.normal(0.03, 0.1, 20_000).clip(-1, 1)
    widths = []
    for count in (10, 100, 1_000, 20_000):
        low, high = mean_between(values[:count], 0.05)
        assert low < values[:count].mean() < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.01
    assert mean_between(values, 0.05)[0] > 0.02
    assert mean_between(-values, 0.05) == tuple(-end for end in reversed(mean_between(values, 0.05)))


def test_without_values_or_at_the_ends_an_interval_is_still_one():
    assert mean_between(np.empty(0), 0.05) == (-1.0, 1.0)
    low, high = mean_between(np.zeros(10_000), 0.05)
    assert -0.002 < low < 0 < high < 0.002
    assert mean_between(np.ones(1_000), 0.05)[1] == 1.0
    assert 0.9 < mean_between(np.ones(1_000), 0.05)[0] < 1.0


def numbers(count=1000, *, unit=1.0, spread=2.0, seed=0):
    """Predicted numbers of a champion, what came, and a candidate's with errors of another size."""
    rng = np.random.default_rng(seed)
    label = rng.normal(30, 10, count)
    old, new = label + rng.normal(0, 2, count), label + rng.normal(0, spread, count)
    return pairs(count, label=unit * label, old=unit * old, new=unit * new)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_candidate_whose_numbers_are_further_off_is_taken_back_whatever_the_unit(unit):
    found = judge(numbers(unit=unit, spread=6.0), CANARY, VALUE)
    assert found.action == "rollback"
    assert "it is worse: RMSE" in found.reasons[0]
    assert judge(numbers(unit=unit, spread=1.0), CANARY, VALUE).action == "advance"


def test_numbers_that_differ_wait_for_outcomes_and_the_same_numbers_do_not():
    label = np.full(1000, np.nan)
    old = np.random.default_rng(0).normal(30, 10, 1000)
    assert judge(pairs(label=label, old=old, new=old), CANARY, VALUE).action == "advance"
    found = judge(pairs(label=label, old=old, new=old + 5), CANARY, VALUE)
    assert found.action == "wait"
    assert "predictions differ and 0 of 200 outcomes are known" in found.reasons


def test_numbers_that_are_as_good_are_seldom_called_worse():
    taken_back = [judge(numbers(seed=seed), CANARY, VALUE).action == "rollback" for seed in range(40)]
    assert not any(taken_back)


def told_numbers(count=1000, *, seed=0, ratio=1.0):
    """Pairs of numbers with outcomes: errors that go along with one another (0.9), the candidate's ``ratio`` as large."""
    rng = np.random.default_rng(seed)
    truth, error, own = rng.normal(100, 40, count), rng.normal(0, 5, count), rng.normal(0, 5, count)
    return pairs(count, label=truth, old=truth + error, new=truth + ratio * (0.9 * error + math.sqrt(0.19) * own))


class TestNumbers:
    def test_one_that_errs_as_much_advances_and_one_that_errs_more_is_taken_back(self):
        alike = judge(told_numbers(3_000), CANARY, VALUE)
        assert alike.action == "advance"
        assert "RMSE " in " ".join(alike.reasons)
        assert "on 3,000 requests with an outcome" in " ".join(alike.reasons)
        worse = judge(told_numbers(600, ratio=1.5), CANARY, VALUE)
        assert worse.action == "rollback"
        assert worse.reasons[0].startswith("it is worse: RMSE")
        assert judge(told_numbers(1_000, ratio=0.9), CANARY, VALUE).action == "advance"

    @pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
    def test_the_unit_of_the_numbers_is_of_no_account(self, unit):
        found = told_numbers(500, ratio=1.2)
        scaled = dataclasses.replace(
            found, **{name: getattr(found, name) * unit for name in ("label", "champion_score", "candidate_score")}
        )
        assert questions(scaled, VALUE)[2].log_money == pytest.approx(questions(found, VALUE)[2].log_money, rel=1e-6)

    def test_the_first_outcomes_give_the_measure_and_count_for_nothing_else(self):
        found = told_numbers(500)
        lost = losses(found, VALUE)
        usual = np.mean((found.champion_score - found.label)[:MIN_LABELLED] ** 2)
        expected = np.minimum((found.candidate_score - found.label)[MIN_LABELLED:] ** 2 / (REACH**2 * usual), 1.0)
        np.testing.assert_allclose(lost.candidate, expected)
        assert (lost.labelled, lost.wanted, len(lost.champion)) == (500, 2 * MIN_LABELLED, 500 - MIN_LABELLED)

    @pytest.mark.parametrize("known", [0, 40, MIN_LABELLED, 2 * MIN_LABELLED - 1])
    def test_with_too_few_outcomes_it_waits_and_says_how_many_there_are(self, known):
        found = told_numbers(500)
        found.label[known:] = np.nan
        judged = judge(found, CANARY, VALUE)
        assert judged.action == "wait"
        assert f"predictions differ and {known} of {2 * MIN_LABELLED} outcomes are known" in judged.reasons

    def test_a_wild_error_counts_like_a_large_one_and_decides_nothing_alone(self):
        found = told_numbers(600)
        found.candidate_score[400] += 1e9
        assert losses(found, VALUE).candidate.max() == 1.0
        assert questions(found, VALUE)[2].p_value > ALPHA

    def test_the_same_numbers_need_no_outcomes(self):
        truth = np.random.default_rng(0).normal(100, 40, 500)
        assert judge(pairs(500, old=truth, new=truth + 1e-9), CANARY, VALUE).action == "advance"
        assert judge(pairs(500, old=truth, new=truth + 1.0), CANARY, VALUE).action == "wait"

    def test_beside_a_faultless_champion_every_error_is_as_bad_as_can_be(self):
        truth = np.random.default_rng(0).normal(100, 40, 400)
        found = pairs(400, label=truth, old=truth, new=truth + 1e-3)
        lost = losses(found, VALUE)
        assert set(lost.champion) == {0.0}
        assert set(lost.candidate) == {1.0}

    @pytest.mark.parametrize(("share", "times"), [(0.03, 30), (0.05, 10), (0.1, 5)])
    def test_one_that_is_a_little_nearer_mostly_and_far_off_now_and_then_never_advances(self, share, times):
        """By whose answer is nearer it would be the better one, though its mean absolute error is far the larger."""
        found = told_numbers(2_000)
        wild = np.where(np.random.default_rng(1).random(2_000) < share, times, 0.95)
        new = found.label + wild * (found.champion_score - found.label)
        found = dataclasses.replace(found, candidate_score=new)
        for count in (250, 400, 700, 1_000):
            early = dataclasses.replace(found, label=np.where(np.arange(2_000) < count, found.label, np.nan))
            assert judge(early, CANARY, VALUE).action != "advance"
        assert judge(found, CANARY, VALUE).action == "rollback"


def of_classes(count=1000, seed=0):
    """Pairs of models of three classes, both as good as can be, and what came."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet([1.0, 1.0, 1.0], count)
    label = (rng.random(count)[:, None] > scores.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    top = scores.max(axis=1)
    both = {"champion_scores": scores, "candidate_scores": scores}
    return dataclasses.replace(pairs(count, old=top, new=top, label=label, seed=seed), **both)


ARRIVES = classes("early", "late", "never")


def test_a_candidate_with_the_same_probabilities_of_classes_advances():
    assert judge(of_classes(), CANARY, ARRIVES).action == "advance"


def test_a_candidate_that_takes_classes_for_others_is_taken_back_though_as_sure():
    same = of_classes()
    turned = dataclasses.replace(same, candidate_scores=same.candidate_scores[:, [1, 2, 0]])
    found = judge(turned, CANARY, ARRIVES)
    assert found.action == "rollback"
    assert "it is worse: Brier score" in found.reasons[0]
    lost = losses(turned, ARRIVES)
    assert 0 <= lost.champion.min() <= lost.candidate.max() <= 1
    silent = dataclasses.replace(turned, label=np.full(len(turned), np.nan))
    assert "scores differ and 0 of 100 outcomes are known" in judge(silent, CANARY, ARRIVES).reasons


def test_the_loss_of_two_classes_is_that_of_the_probability_of_one():
    two, (truth, came) = of_classes(), outcomes()
    scores = np.column_stack([1 - truth, truth])
    two = dataclasses.replace(two, label=came, champion_scores=scores, candidate_scores=scores)
    found = losses(two, ARRIVES).champion
    np.testing.assert_allclose(found, (truth - came) ** 2, atol=1e-12)
