"""Compares a candidate with the champion on the same requests, as often as one likes to look.

Three questions are asked of the pairs: does the candidate fail more, is it slower, is it worse? Each is answered by a
test martingale: money bet against "no harm". If there is no harm the money does not grow on average, so it ever
reaches ``1 / alpha`` with probability at most ``alpha``, however often one looks (Ville's inequality). The three share
``ALPHA`` evenly.

References
----------
Ville (1939), Étude critique de la notion de collectif. Waudby-Smith and Ramdas (2024), Estimating means of bounded
random variables by betting, Journal of the Royal Statistical Society B 86 (1), section 4 and appendix B.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Literal as OneOf

import msgspec
import numpy as np

from seakeep.records.model import Canary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.recorder.pairs import PairTable

ALPHA = 0.01
"""Probability that a candidate that does no harm is ever taken back."""
SLOWER = 2.0
"""A request is slower if the candidate takes more than this many times the champion's time ..."""
SLOWER_US = 25.0
"""... and this much more, in microseconds: less is lost in the rest of a request."""
MIN_TIMED = 100
"""Pairs before latency is judged: the first inferences of a fresh version run on cold caches."""
MIN_LABELLED = 100
"""Labelled pairs without which a candidate whose scores differ is not trusted with more."""
GRID, GRIDS = 24, 3
"""Points of each grid on which the ends of an interval are found, and how many grids; two in 24 ** 3 is fine enough."""
SAME_SCORE = 0.01
"""Scores whose median difference is below this are the same for all that matters."""


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
    """

    harm: str
    log_money: float
    sentence: str

    @property
    def p_value(self) -> float:
        """At most this probable, however often one looks, if there is no harm."""
        return min(1.0, math.exp(-max(self.log_money, 0.0)))


def questions(pairs: PairTable) -> tuple[Question, ...]:
    """Whether the candidate fails more, is slower, is worse."""
    return _failures(pairs), _latency(pairs), _quality(pairs)


def judge(pairs: PairTable, canary: Canary) -> Judgement:
    """Decide about a candidate on the requests that both versions scored.

    It is taken back if it fails, is slow or is wrong more than the champion beyond doubt. It advances with
    ``canary.min_pairs`` pairs and no harm seen; where its scores differ from the champion's, only once outcomes show
    that they are not worse. Different scores alone never take a candidate back: to differ is what it was made for.
    """
    found = questions(pairs)
    limit = math.log(len(found) / ALPHA)
    harm = [one.sentence for one in found if one.log_money >= limit]
    told = [one.sentence for one in found if one.sentence]
    if harm:
        return Judgement(action="rollback", reasons=(*harm, *(one for one in told if one not in harm)))
    if len(pairs) < canary.min_pairs:
        return Judgement(action="wait", reasons=(f"{len(pairs)} of {canary.min_pairs} pairs", *told))
    labelled = int(_labelled(pairs).sum())
    gap = _gap(pairs)
    if gap >= SAME_SCORE and labelled < MIN_LABELLED:
        waiting = f"scores differ by {gap:.3f} in the median and {labelled} of {MIN_LABELLED} outcomes are known"
        return Judgement(action="wait", reasons=(waiting, *told))
    return Judgement(action="advance", reasons=(f"{len(pairs):,} pairs and no harm seen", *told))


def _failures(pairs: PairTable) -> Question:
    harm = "it fails more"
    worse = int((pairs.candidate_failed & ~pairs.champion_failed).sum())
    better = int((pairs.champion_failed & ~pairs.candidate_failed).sum())
    if not worse + better:
        return Question(harm=harm, log_money=-math.inf, sentence="")
    sentence = f"of {len(pairs):,} requests the candidate alone failed {worse}, the champion alone {better}"
    return Question(harm=harm, log_money=coin(worse, better), sentence=sentence)


def _latency(pairs: PairTable) -> Question:
    harm = "it is slower"
    timed = ~(pairs.candidate_failed | pairs.champion_failed)
    old, new = pairs.champion_us[timed], pairs.candidate_us[timed]
    if len(old) < MIN_TIMED:
        return Question(harm=harm, log_money=-math.inf, sentence="")
    slower = int(((new > SLOWER * old) & (new > old + SLOWER_US)).sum())
    sentence = f"model time {np.median(new):.0f} us against {np.median(old):.0f} us on the same {len(old):,} requests"
    return Question(harm=harm, log_money=coin(slower, len(old) - slower), sentence=sentence)


def _quality(pairs: PairTable) -> Question:
    harm = "it is worse"
    known = _labelled(pairs)
    label = pairs.label[known]
    if not len(label):
        return Question(harm=harm, log_money=-math.inf, sentence="")
    old, new = (pairs.champion_score[known] - label) ** 2, (pairs.candidate_score[known] - label) ** 2
    sentence = f"Brier score {new.mean():.4f} against {old.mean():.4f} on {len(label):,} requests with an outcome"
    return Question(harm=harm, log_money=bet((1 + new - old) / 2), sentence=sentence)


def _labelled(pairs: PairTable) -> NDArray[np.bool_]:
    return np.isfinite(pairs.label) & np.isfinite(pairs.champion_score) & np.isfinite(pairs.candidate_score)


def _gap(pairs: PairTable) -> float:
    difference = np.abs(pairs.candidate_score - pairs.champion_score)
    difference = difference[np.isfinite(difference)]
    return float(np.median(difference)) if len(difference) else 0.0


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
