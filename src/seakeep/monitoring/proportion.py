"""A share of independent trials, with its interval."""

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
