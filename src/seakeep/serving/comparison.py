"""Compares a candidate with the champion on the same requests, as often as one likes to look.

Three questions are asked of the pairs: does the candidate fail more, is it slower, is it worse? Each is answered by
test martingales: money bet against a hypothesis. If the hypothesis is true the money does not grow on average, so it
ever reaches ``1 / alpha`` with probability at most ``alpha``, however often one looks (Ville's inequality). One bet, against
"no harm", takes a candidate back; the three share ``ALPHA`` evenly. Another, against "more harm than the margin", lets
it advance: harm that was only not seen yet does not count as absent.

What that costs, simulated with the controller's looks at single requests (200 pairs a stage, three stages, model times with
a spread of 0.3 in the logarithm, 20 to 40 rollouts each; medians): an identical candidate completes after 640 pairs,
and after 1,760 with a spread of 0.8; one trained anew and as good after 4,000 pairs and their outcomes. One that is
taken back is so after 50 pairs if 2.3 times as slow, 70 if 45 % of its requests are 50 times as slow, 300 if 20 % are,
225 if 5 % of its requests fail, 1,170 if 1 % do, 350 to 690 if its scores are much worse and outcomes take 300 pairs.
One with 10 % of slow requests, at the margin, stays where it is.

References
----------
Ville (1939), Étude critique de la notion de collectif. Waudby-Smith and Ramdas (2024), Estimating means of bounded
random variables by betting, Journal of the Royal Statistical Society B 86 (1), section 4 and appendix B.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING
from typing import Literal as OneOf

import msgspec
import numpy as np

from seakeep.records.model import Canary
from seakeep.records.outputs import PROBABILITY, Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.recorder.pairs import PairTable

ALPHA = 0.01
"""Probability that a candidate that does no harm is ever taken back, and that one beyond a margin leaves a stage."""
SLOWER = 2.0
"""A batch is slower if the candidate takes more than this many times the champion's time ..."""
SLOWER_US = 25.0
"""... and this much more, in microseconds: less is lost in the rest of a request."""
SLOWER_SHARE = 0.1
"""Margin of latency: the share of batches in which the candidate is slower, less the share in which the champion is."""
WORSE_SHARE = 0.1
"""Margin of quality: how much larger than the champion's the Brier score may be, as a share of the champion's."""
COLD = 20
"""Timings set aside: the first inferences of a fresh version run on cold caches."""
MIN_LABELLED = 100
"""Labelled pairs without which a candidate whose scores differ is not trusted with more."""
GRID, GRIDS = 24, 3
"""Points of each grid on which the ends of an interval are found, and how many grids; two in 24 ** 3 is fine enough."""
SAME_SCORE = 0.01
"""Scores are the same if their mean difference is below this share of the champion's mean distance from certainty: a
calibrated champion's Brier score then differs by less than 4 %."""

SAME_VALUE = 0.001
"""The same of numbers: the mean difference as a share of the mean distance of the champion's from their median."""
REACH = 3.0
"""How many times the champion's usual error an error of a number may count, see :class:`Losses`."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison found.

    Attributes
    ----------
    reasons
        One sentence each, with numbers, the weightiest first.
    """

    action: OneOf["advance", "rollback", "wait"]
    reasons: tuple[str, ...]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the pairs.

    Attributes
    ----------
    harm
        What would be harm.
    log_money
        Log of the money won by betting on it; its negative is the log of a p-value that holds however often one looks.
    sentence
        What was counted; ``""`` if there was nothing to count.
    doubt
        What is not shown yet; ``""`` if the harm is shown to be absent or within its margin.
    """

    harm: str
    log_money: float = -math.inf
    sentence: str = ""
    doubt: str = ""

    @property
    def p_value(self) -> float:
        """At most this probable, however often one looks, if there is no harm."""
        return min(1.0, math.exp(-max(self.log_money, 0.0)))


def questions(pairs: PairTable, outputs: Outputs = PROBABILITY) -> tuple[Question, ...]:
    """Whether the candidate fails more, is slower, is worse; ``outputs`` tells what the scores are."""
    return _failures(pairs), _latency(pairs), _quality(pairs, outputs)


def judge(pairs: PairTable, canary: Canary, outputs: Outputs = PROBABILITY) -> Judgement:
    """Decide about a candidate on the requests that both versions scored.

    It is taken back if it fails, is slow or is wrong more than the champion beyond doubt. It advances with
    ``canary.min_pairs`` pairs once they show that it does not fail more, that the latency is within its margin, and
    that the scores are the same or, by their outcomes, the quality within its margin. Different scores alone never
    take a candidate back: to differ is what it was made for.
    """
    found = questions(pairs, outputs)
    limit = math.log(len(found) / ALPHA)
    harm = [f"{one.harm}: {one.sentence}" for one in found if one.log_money >= limit]
    told = [one.sentence for one in found if one.sentence and one.log_money < limit]
    if harm:
        return Judgement(action="rollback", reasons=(*harm, *told))
    waiting = [f"{len(pairs)} of {canary.min_pairs} pairs"] if len(pairs) < canary.min_pairs else []
    waiting += [one.doubt for one in found if one.doubt]
    if waiting:
        return Judgement(action="wait", reasons=(*waiting, *told))
    return Judgement(action="advance", reasons=(f"{len(pairs):,} pairs show no harm", *told))


def _failures(pairs: PairTable) -> Question:
    worse = int((pairs.candidate_failed & ~pairs.champion_failed).sum())
    better = int((pairs.champion_failed & ~pairs.candidate_failed).sum())
    if not worse + better:
        return Question(harm="it fails more")
    money = coin(worse, better)
    return Question(
        harm="it fails more",
        log_money=money,
        doubt="the candidate may fail more" if money > 0 else "",
        sentence=f"of {len(pairs):,} requests the candidate alone failed {worse}, the champion alone {better}",
    )


def _latency(pairs: PairTable) -> Question:
    timed = pairs.timed & ~(pairs.candidate_failed | pairs.champion_failed)
    old, new = pairs.champion_us[timed][COLD:], pairs.candidate_us[timed][COLD:]
    doubt = "that the candidate is not slower is not shown yet"
    if not len(old):
        return Question(harm="it is slower", doubt=doubt)
    slower, faster = _slower(old, new), _slower(new, old)
    values = _above(slower.astype(np.float64) - faster, SLOWER_SHARE)
    return Question(
        harm="it is slower",
        log_money=bet(values),
        doubt="" if _shown(1 - values) else doubt,
        sentence=(
            f"model time {np.median(new):.0f} us against {np.median(old):.0f} us in the median of {len(old):,} batches, "
            f"much slower in {slower.mean():.1%}, much faster in {faster.mean():.1%}"
        ),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Losses:
    """Squared errors of both versions on the pairs with an outcome, in the order in which the outcomes came.

    A bet needs values with limits. A probability's squared error has them; a number's is measured by how far the champion
    usually errs: its first :data:`MIN_LABELLED` outcomes give the measure and count for nothing else, and an error of more
    than :data:`REACH` times the usual one counts as that much. So a few wild errors decide nothing alone, and still weigh
    more than any usual one. Simulated with normal errors that go along with one another (0.9), ten rollouts each: one as
    good advances after 1,000 to 2,000 outcomes, one that errs a tenth less after 400; one that errs 1.3 times as much is
    taken back after 300.

    Attributes
    ----------
    champion, candidate
        float64 ``(n,)``, 0 to 1.
    told
        In words: what was compared, over all outcomes.
    labelled, wanted
        How many outcomes are known, and how many are needed.
    """

    champion: NDArray[np.float64]
    candidate: NDArray[np.float64]
    told: str
    labelled: int
    wanted: int


def losses(pairs: PairTable, outputs: Outputs = PROBABILITY) -> Losses:
    """What both versions lost where the outcome is known."""
    known = np.flatnonzero(
        np.isfinite(pairs.label) & np.isfinite(pairs.champion_score) & np.isfinite(pairs.candidate_score)
    )
    known = known[np.argsort(pairs.label_us[known], kind="stable")]
    label = pairs.label[known]
    on = f"on {len(label):,} requests with an outcome"
    if outputs.of_classes:
        old, new = (_briers(scores[known], label) for scores in (pairs.champion_scores, pairs.candidate_scores))
    else:
        old, new = (pairs.champion_score[known] - label) ** 2, (pairs.candidate_score[known] - label) ** 2
    if outputs.kind != "value":
        told = f"Brier score {new.mean():.4f} against {old.mean():.4f} {on}" if len(label) else ""
        return Losses(old, new, told, len(label), MIN_LABELLED)
    told = f"RMSE {np.sqrt(new.mean()):.4g} against {np.sqrt(old.mean()):.4g} {on}" if len(label) else ""
    most = REACH**2 * old[:MIN_LABELLED].mean() if len(old) > MIN_LABELLED else 0.0
    old, new = old[MIN_LABELLED:], new[MIN_LABELLED:]
    # Beside a champion without a fault every error is as bad as can be.
    old, new = ((np.minimum(one / most, 1.0) if most else np.sign(one)) for one in (old, new))
    return Losses(old, new, told, len(label), 2 * MIN_LABELLED)


def _briers(scores: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brier score of each row of probabilities ``(n, classes)``: half the sum over the classes, 0 to 1.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78(1).
    """
    came = label[:, None] == np.arange(scores.shape[1])
    return np.asarray(((scores - came) ** 2).sum(axis=1) / 2, dtype=np.float64)


def _quality(pairs: PairTable, outputs: Outputs) -> Question:
    found = losses(pairs, outputs)
    old, new = found.champion, found.candidate
    doubt, what = "", "predictions" if outputs.kind == "value" else "scores"
    if _differ(pairs, outputs):
        if found.labelled < found.wanted:
            doubt = f"{what} differ and {found.labelled} of {found.wanted} outcomes are known"
        elif not _shown(0.5 - (new - (1 + WORSE_SHARE) * old) / (2 * (1 + WORSE_SHARE))):
            doubt = f"{what} differ, and that they are not worse is not shown yet"
    if not len(new):
        return Question(harm="it is worse", doubt=doubt, sentence=found.told)
    return Question(harm="it is worse", log_money=bet(_above(new - old, 0.0)), doubt=doubt, sentence=found.told)


def _slower(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the other took much longer than the one."""
    return (other > SLOWER * one) & (other > one + SLOWER_US)


def _above(harm: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Harm in [-1, 1] as values in [0, 1], with the margin at a half."""
    return 0.5 + (harm - margin) / (2 * (1 + margin))


def _shown(values: NDArray[np.float64]) -> bool:
    """Whether their mean is shown to be above a half."""
    return bet(values) >= math.log(1 / ALPHA)


def _differ(pairs: PairTable, outputs: Outputs) -> bool:
    old, new = pairs.champion_score, pairs.candidate_score
    both = np.isfinite(old) & np.isfinite(new)
    if outputs.of_classes:  # half of what moved from class to class: where there are two, the difference of the one
        moved = np.abs(pairs.candidate_scores - pairs.champion_scores)[both].sum() / 2
        return bool(moved > 0 and moved >= SAME_SCORE * np.minimum(old, 1 - old)[both].sum())
    difference = np.abs(new - old)[both].sum()
    if not outputs.yes_or_no:
        spread = np.abs(old[both] - np.median(old[both])).sum() if both.any() else 0.0
        return bool(difference > SAME_VALUE * spread)
    return bool(difference > 0 and difference >= SAME_SCORE * np.minimum(old, 1 - old)[both].sum())


def coin(heads: int, tails: int) -> float:
    """Log of the money won by betting that a coin shows heads more often than tails.

    The bets are mixed evenly over all coins with more heads; of the mixture's integral, the part of the coins with
    fewer is bounded by a half, which keeps the money below the exact one.
    """
    if heads <= tails:
        return -math.inf
    flips = heads + tails
    return flips * math.log(2) + math.lgamma(heads + 1) + math.lgamma(tails + 1) - math.lgamma(flips + 2)


def bet(values: NDArray[np.float64]) -> float:
    """Log of the most money ever won by betting that the mean of ``values``, none below 0, is above a half.

    Each bet is a share of the money chosen from the values before it (the approximate GRAPA rule), never more than
    half of what can be lost.
    """
    n = np.arange(1, len(values) + 1)
    # The first bet is made on a guess of one value a half off by a half: mean 1/2, variance 1/4.
    mean = (0.5 + np.cumsum(values)) / (n + 1)
    spread = (0.25 + np.cumsum((values - mean) ** 2)) / (n + 1)
    mean, spread = np.r_[0.5, mean[:-1]], np.r_[0.25, spread[:-1]]
    share = np.clip((mean - 0.5) / (spread + (mean - 0.5) ** 2), 0.0, 1.0)
    return float(np.cumsum(np.log1p(share * (values - 0.5))).max(initial=0.0))


def mean_between(values: NDArray[np.float64], alpha: float) -> tuple[float, float]:
    """Where the mean of ``values`` in [-1, 1] lies: with probability ``1 - alpha`` at all moments together.

    A mean is ruled out once the money bet against it has reached ``2 / alpha``; the ends are found on a grid of
    :data:`GRID` points in :data:`GRIDS` steps, each time taking the last point that is ruled out.
    """
    low = _least(values, math.log(2 / alpha))
    return low, -_least(-values, math.log(2 / alpha))


def _least(values: NDArray[np.float64], limit: float) -> float:
    """The largest point of a grid below which no mean is left: money bet on a larger mean has ruled them out."""
    low, high = -1.0, 1.0
    for _ in range(GRIDS):
        points = np.linspace(low, high, GRID + 1)
        # No value is further below the point than 1 + point: so scaled, the worst of them is 0 and the point is a half.
        ruled_out = [bet(0.5 + (values - point) / (2 + 2 * point)) >= limit for point in points[1:].tolist()]
        first = ruled_out.index(False) if False in ruled_out else GRID - 1
        low, high = float(points[first]), float(points[first + 1])
    return low
