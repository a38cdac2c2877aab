"""The comparison's test martingales: no harm is hardly ever called harm, however often one looks; harm is found."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.recorder.pairs import PairTable
from seakeep.records.model import Canary
from seakeep.serving.comparison import ALPHA, bet, coin, judge, mean_between

LIMIT = math.log(3 / ALPHA)
CANARY = Canary(min_pairs=100)


def crossed(bias, flips, limit):
    """Exact probability that ``coin``, looked at after each flip, ever shows ``limit`` or more."""
    alive, over = {0: 1.0}, 0.0
    for flip in range(1, flips + 1):
        grown: dict[int, float] = {}
        for heads, share in alive.items():
            for more, chance in ((1, bias), (0, 1 - bias)):
                grown[heads + more] = grown.get(heads + more, 0.0) + share * chance
        over += sum(share for heads, share in grown.items() if coin(heads, flip - heads) >= limit)
        alive = {heads: share for heads, share in grown.items() if coin(heads, flip - heads) < limit}
    return over


@pytest.mark.parametrize("money", [2.0, 20.0, 3 / ALPHA])
@pytest.mark.parametrize("bias", [0.5, 0.45])
def test_a_fair_coin_ever_wins_so_much_with_at_most_one_in_so_many_chances(bias, money):
    chance = crossed(bias, 600, math.log(money))
    assert 0 < chance <= 1 / money


def test_a_biased_coin_is_found_out():
    assert crossed(0.65, 400, LIMIT) > 0.98
    assert crossed(1.0, 12, LIMIT) == 1.0


steps = st.lists(st.floats(0.0, 0.5), min_size=1, max_size=9)


@given(steps)
def test_fair_values_of_any_spread_ever_win_so_much_with_at_most_one_in_so_many_chances(steps):
    """Each value is as likely above as below a half by some step: all paths are walked, so the chances are exact."""
    paths = itertools.product(*[(0.5 - step, 0.5 + step) for step in steps])
    money = np.sort(np.exp([bet(np.array(path)) for path in paths]))[::-1]
    chances = np.arange(1, len(money) + 1) / len(money)
    assert (chances[money > 1 + 1e-9] <= 1 / money[money > 1 + 1e-9] + 1e-9).all()


@given(steps, st.integers(0, 2**32))
def test_the_money_of_a_longer_path_is_never_less(steps, seed):
    signs = np.random.default_rng(seed).choice([-1, 1], len(steps))
    values = 0.5 + signs * np.array(steps)
    won = [bet(values[:count]) for count in range(1, len(values) + 1)]
    assert won == sorted(won)
    assert won[0] == 0.0


def looked_at(count, seed, *, delay=200, shift=0.0, spread=0.15, slower=1.0, failing=0.0):
    """What the judge says, look by look, of a candidate that errs as the champion does, but for what is given.

    Outcomes count some time after their request.
    """
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.05, 0.6, count)
    label = (rng.random(count) < truth).astype(float)
    old = np.clip(truth + rng.normal(0, 0.15, count), 0, 1)
    new = np.clip(truth + shift + rng.normal(0, spread, count), 0, 1)
    known_at = np.arange(count) + delay
    failed = rng.random((2, count)) < np.array([[0.01], [0.01 + failing]])
    times = rng.lognormal(3.5, 0.8, (2, count)) * np.array([[1.0], [slower]])
    look = 20
    while look <= count:
        part = slice(0, look)
        yield (
            look,
            judge(
                PairTable(
                    recorded_us=np.arange(look),
                    label=np.where(known_at[part] <= look, label[part], np.nan),
                    label_us=known_at[part].astype(np.int64),
                    timed=np.ones(look, dtype=np.bool_),
                    champion_score=np.where(failed[0, part], np.nan, old[part]),
                    candidate_score=np.where(failed[1, part], np.nan, new[part]),
                    champion_us=times[0, part],
                    candidate_us=times[1, part],
                    champion_failed=failed[0, part],
                    candidate_failed=failed[1, part],
                ),
                CANARY,
            ),
        )
        look = int(look * 1.05) + 1


@pytest.mark.slow
def test_a_candidate_without_harm_is_hardly_ever_taken_back_however_often_one_looks():
    rollouts = 200
    taken_back = sum(any(found.action == "rollback" for _, found in looked_at(1000, seed)) for seed in range(rollouts))
    assert taken_back <= rollouts * ALPHA


@pytest.mark.parametrize(
    ("harm", "told"), [({"shift": 0.25}, "Brier"), ({"slower": 6.0}, "model time"), ({"failing": 0.05}, "alone failed")]
)
def test_real_harm_is_found_in_time(harm, told):
    for seed in range(15):
        found = next(found for _, found in looked_at(3000, seed, **harm) if found.action == "rollback")
        assert told in found.reasons[0]


def test_a_better_candidate_gets_through():
    for seed in range(15):
        last = [found for _, found in looked_at(1500, seed, spread=0.02, slower=0.5)][-1]
        assert last.action == "advance"


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.floats(0.01, 1.0)), min_size=1, max_size=8))
def test_values_that_can_win_much_and_lose_little_are_no_better_a_bet(gains_and_losses):
    """A bet is fair for values of any skew with mean a half: here one far above against one a little below."""
    odds = [(gain, loss / 2, (loss / 2) / (gain + loss / 2)) for gain, loss in gains_and_losses]
    total: dict[float, float] = {}
    for path in itertools.product((0, 1), repeat=len(odds)):
        values = np.array([0.5 + gain if up else 0.5 - loss for up, (gain, loss, _) in zip(path, odds, strict=True)])
        chance = math.prod(share if up else 1 - share for up, (_, _, share) in zip(path, odds, strict=True))
        money = math.exp(bet(values))
        total[money] = total.get(money, 0.0) + chance
    for money in total:
        if money > 1 + 1e-9:
            assert sum(chance for other, chance in total.items() if other >= money) <= 1 / money + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.04, -0.3])
def test_an_interval_that_is_looked_at_all_the_time_hardly_ever_leaves_out_the_mean(truth):
    """Forty histories of score differences, each looked at ten times: as few as said go wrong at any look."""
    wrong = 0
    looks = np.unique(np.geomspace(5, 600, 10).astype(int))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        spread = np.where(rng.random(600) < 0.1, 0.5, 0.05)
        values = (truth + rng.uniform(-1, 1, 600) * np.minimum(spread, 1 - abs(truth))).clip(-1, 1)
        ends = [mean_between(values[:look], 0.05) for look in looks.tolist()]
        wrong += any(not low <= truth <= high for low, high in ends)
    assert wrong <= 2
