"""A share of independent trials, or the difference of two on the same trials, with its interval."""

from __future__ import annotations

import math

from seakeep.records.run import Metric

_Z = 1.959963984540054  # the normal distribution's 97.5 % quantile


def widen(metric: Metric, independent: Metric | None) -> Metric:
    """No narrower than with independent rows: a few resampled days, or one, do not show how days differ."""
    if independent is None:
        return metric
    return Metric(value=metric.value, low=min(metric.low, independent.low), high=max(metric.high, independent.high))


def proportion(hits: float, trials: float) -> Metric | None:
    """The share of hits with Wilson's 95 % interval, which holds near 0 and 1 too; None without a trial.

    Expected counts, which are no whole numbers, are welcome.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    if not trials:
        return None
    share = hits / trials
    shrunk = 1 + _Z**2 / trials
    centre = (share + _Z**2 / (2 * trials)) / shrunk
    half = _Z / shrunk * math.sqrt(share * (1 - share) / trials + (_Z / (2 * trials)) ** 2)
    # Wilson's interval holds the share; rounding must not push it out.
    return Metric(value=share, low=max(0.0, min(share, centre - half)), high=min(1.0, max(share, centre + half)))


def paired_difference(both: int, first: int, second: int, trials: int) -> Metric | None:
    """The share of hits of the first of two sides minus that of the second, on the same trials; None without a trial.

    With the 95 % interval of Newcombe's method 10, which like Wilson's holds near 0 and for few trials.

    Parameters
    ----------
    both, first, second
        Trials that both sides, only the first and only the second hit.

    References
    ----------
    Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
    Statistics in Medicine 17, 1998.
    """
    one, other = proportion(both + first, trials), proportion(both + second, trials)
    if one is None or other is None:
        return None
    neither = trials - both - first - second
    agreement = float(both * neither - first * second)
    if agreement > 0:
        agreement = max(0.0, agreement - trials / 2)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    correlation = agreement / math.sqrt(margins) if margins else 0.0

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b))

    difference = (first - second) / trials
    return Metric(
        value=difference,
        low=max(-1.0, difference - reach(one.value - one.low, other.high - other.value)),
        high=min(1.0, difference + reach(one.high - one.value, other.value - other.low)),
    )
