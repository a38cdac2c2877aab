"""What follows from the measured behaviour of a worker: the knee, the bottleneck, how many workers, how many rows.

References
----------
L. Kleinrock, Power and deterministic rules of thumb for probabilistic problems in computer communications, ICC 1979: the
knee is where throughput over response time, the power, is greatest.
A. M. Law, Simulation Modeling and Analysis, 5th ed., 9.5.3: intervals from means of batches, for a series whose neighbours
depend on one another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.profile import Bottleneck, Level, Limit
from seakeep.records.run import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL = 0.85
"""Part of its time from which on a worker counts as full: a loop that is looked at in intervals never shows 1."""
LATE_US = 1000.0
"""A generator whose 99th percentile is later than this, though a connection was free, has set the latency itself."""
BATCHES = 10
_T95 = 2.262  # Student's t, 97.5 %, 9 degrees of freedom
NEAR = 0.1
"""How much dearer than the cheapest a row may be."""


def interval(values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float]) -> Metric:
    """A statistic of a series in the order of time, and a 95 % interval from ten batches of it; NaN without values."""
    if len(values) == 0:
        return Metric(value=math.nan, low=math.nan, high=math.nan)
    value = float(statistic(values))
    if len(values) < 2 * BATCHES:
        return Metric(value=value, low=-math.inf, high=math.inf)
    parts = np.array([statistic(part) for part in np.array_split(values, BATCHES)])
    half = _T95 * float(parts.std(ddof=1)) / math.sqrt(BATCHES)
    return Metric(value=value, low=value - half, high=value + half)


def knee(levels: Sequence[Level]) -> Metric | None:
    """The rate of the greatest power, between its neighbours; None where the power still grows at the highest rate.

    Parameters
    ----------
    levels
        By ascending rate; those that the load generator limited or at which requests failed are left out.
    """
    told = [one for one in levels if not one.limited and not one.failed and one.mean_us.value > 0]
    if len(told) < 3:
        return None
    best = max(range(len(told)), key=lambda place: told[place].answered / told[place].mean_us.value)
    if best == len(told) - 1:
        return None
    below = told[best - 1] if best else told[0]
    return Metric(value=told[best].answered, low=below.answered, high=told[best + 1].answered)


def bottleneck(levels: Sequence[Level]) -> Bottleneck:
    """What keeps a worker from more, seen at the highest rate that the load generator could offer.

    A stage's time is by the wall clock, the loop's by the processor: where stages fill the time and the processor is idle,
    the loop stands still for something.
    """
    told = [one for one in levels if not one.limited]
    level = (told or list(levels))[-1]
    shares = {stage: cost.share for stage, cost in level.stages.items()}
    occupied = sum(shares.values())
    shares["transport"] = max(0.0, level.busy - occupied)
    stage = max(shares, key=lambda name: shares[name])
    return Bottleneck(limit=_limit(level, occupied), stage=stage, share=shares[stage])


def _limit(level: Level, occupied: float) -> Limit:
    if level.busy >= FULL:
        return "processor"
    if level.busy + level.preempted >= FULL:
        return "shared"
    if occupied >= FULL:
        return "waiting"
    return "generator" if level.limited else "none"


def workers_for(rate: float, found: Metric | None, levels: Sequence[Level]) -> int:
    """Workers that answer a rate, each at its knee; without one, each as full as Kleinrock's rule allows a queue.

    Returns
    -------
    int
        At least 1; 0 if nothing was measured that tells.
    """
    if found:
        return max(1, math.ceil(rate / found.value))
    told = [one for one in levels if not one.limited and one.answered and one.busy > 0]
    if not told:
        return 0
    level = told[-1]
    return max(1, math.ceil(rate * level.busy / level.answered / (2 - math.sqrt(2))))  # M/D/1: greatest power at 0.59


def best_rows(times_us: Mapping[int, float]) -> int:
    """The smallest number of rows at which a row costs nearly as little as at the best.

    Parameters
    ----------
    times_us
        Time of the model for so many rows together, microseconds.
    """
    cheapest = min(time_us / rows for rows, time_us in times_us.items())
    return min(rows for rows, time_us in times_us.items() if time_us / rows <= cheapest * (1 + NEAR))


def busiest_rate(recorded_us: NDArray[np.int64]) -> float:
    """Requests a second in the busiest minute in which they were recorded; 0 without any."""
    if len(recorded_us) == 0:
        return 0.0
    _, counts = np.unique(recorded_us // 60_000_000, return_counts=True)
    return float(counts.max()) / 60
