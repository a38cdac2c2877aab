"""How bad a quantile may be, given some measurements of it: pure."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

P99 = 0.99
CONFIDENCE = 0.95


def calls_needed(quantile: float = P99, confidence: float = CONFIDENCE) -> int:
    """The fewest measurements whose greatest one bounds the quantile; 299 for the 99th percentile with 95 %."""
    return math.ceil(math.log(1 - confidence) / math.log(quantile))


def upper_bound(values: NDArray[np.float64], quantile: float = P99, confidence: float = CONFIDENCE) -> float | None:
    """A value that the quantile does not exceed with this confidence, whatever the distribution; None with too few values.

    It is the smallest order statistic below which, of so many independent draws, as many lie with that probability as
    there are values under the quantile: a binomial count.

    Parameters
    ----------
    values
        Measurements, ``(n,)``.

    References
    ----------
    David and Nagaraja (2003), Order Statistics, 3rd edition, section 7.1: distribution-free intervals of quantiles.
    """
    if len(values) < calls_needed(quantile, confidence):
        return None
    return float(np.sort(values)[_place(len(values), quantile, confidence)])


@functools.cache
def _place(count: int, quantile: float, confidence: float) -> int:
    """The first of ``count`` order statistics that is the bound."""
    # P(at most k of the values lie below the quantile), for k = 0, 1 … n - 1.
    under = np.arange(count)
    log_choices = np.array([math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in under])
    mass = np.exp(log_choices + under * math.log(quantile) + (count - under) * math.log1p(-quantile))
    return int(np.argmax(np.cumsum(mass) >= confidence))
