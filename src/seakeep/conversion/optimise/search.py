"""The search: who goes on, who may be chosen, and who is. Pure: times come through a port, nothing else does.

A candidate is judged by pessimistic bounds. Its loss is the upper end of a paired interval; its 99th percentile the
upper end of one that holds for any distribution of times. What may be true of it is not enough: it must be shown.

References
----------
Jamieson and Talwalkar (2016), Non-stochastic best arm identification and hyperparameter optimization: successive halving.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from seakeep.conversion.optimise.bounds import P99, upper_bound
from seakeep.records.metric import Metric
from seakeep.records.optimise import Limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_CALLS, LAST_CALLS = 60, 600
"""Calls timed of each candidate in the first round, and in the last."""
LAST_STANDING = 4
"""Candidates that the last round is between."""
MEGABYTE = 1e6
SOURCE = "the source"


class Measure(Protocol):
    """Times calls of several candidates, interleaved, so that what else the machine does hits all of them alike."""

    def __call__(self, names: Sequence[str], calls: int) -> Sequence[NDArray[np.float64]]:
        """Microseconds of each call, ``(calls,)`` for each name."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of a candidate before it is timed.

    Attributes
    ----------
    loss
        Loss minus the source's on the calibration rows, with its 95 % interval.
    fault
        Why it cannot be chosen whatever its times are.
    """

    name: str
    size_bytes: int
    loss: Metric
    fault: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Times of one candidate's calls in the last round it took part in, microseconds."""

    calls: int
    p50_us: float
    p99_us: float
    p99_high_us: float | None

    @classmethod
    def of(cls, times: NDArray[np.float64]) -> Timed:
        """From the times of its calls, ``(n,)``."""
        p50, p99 = np.quantile(times, (0.5, P99)).tolist()
        return cls(calls=len(times), p50_us=p50, p99_us=p99, p99_high_us=upper_bound(times))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search gave.

    Attributes
    ----------
    timed
        By name, the source's too.
    faults
        By name, why a candidate cannot be chosen; ``""`` for those that can.
    ranking
        Names of those that can, the fastest first.
    source_keeps
        Whether the source itself keeps the limits.
    """

    timed: dict[str, Timed]
    faults: dict[str, str]
    ranking: tuple[str, ...]
    source_keeps: bool


def search(source: Candidate, candidates: Sequence[Candidate], limits: Limits, measure: Measure) -> Found:
    """Time all candidates a little, those that keep the limits more, and the best of them enough to be sure.

    Parameters
    ----------
    source
        The version that is to be replaced; it is timed in every round beside the others.
    candidates
        Names differ.
    """
    fixed = {one.name: one.fault or _outside(one, limits) for one in candidates}
    timed: dict[str, Timed] = {}
    standing = [one.name for one in candidates]
    calls = FIRST_CALLS
    _time([source.name, *standing], calls, measure, timed)
    standing = [name for name in standing if not fixed[name]]
    while len(standing) > LAST_STANDING:
        standing = sorted(standing, key=lambda name: timed[name].p99_us)[
            : max(LAST_STANDING, math.ceil(len(standing) / 2))
        ]
        calls = min(2 * calls, LAST_CALLS)
        _time([source.name, *standing], calls, measure, timed)
    _time([source.name, *standing], LAST_CALLS, measure, timed)
    faults = {name: fixed[name] or "slower than those that went on" for name in fixed}
    faults |= {name: _slow(timed[name], timed[source.name], limits) for name in standing}
    able = sorted((name for name in standing if not faults[name]), key=lambda name: timed[name].p99_high_us or math.inf)
    return Found(
        timed=timed,
        faults=faults,
        ranking=tuple(able),
        source_keeps=not (_outside(source, limits) or _late(timed[source.name], limits)),
    )


def pareto(candidates: Sequence[Candidate], timed: Mapping[str, Timed]) -> frozenset[str]:
    """Names of those that no other is at least as good as in p99, size and loss, and better in one of them."""
    points = {one.name: (timed[one.name].p99_us, one.size_bytes, one.loss.value) for one in candidates}

    def beaten(point: tuple[float, ...]) -> bool:
        return any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points.values()
        )

    return frozenset(name for name, point in points.items() if not beaten(point))


def nearest(candidates: Sequence[Candidate], timed: Mapping[str, Timed], limits: Limits) -> str:
    """The name of the one whose worst excess over a limit, as a share of the limit, is least; ``""`` without any."""

    def excess(one: Candidate) -> float:
        time = timed[one.name]
        shares = [one.loss.high / limits.loss if limits.loss > 0 else (0.0 if one.loss.high <= 0 else math.inf)]
        if limits.size_mb is not None:
            shares.append(one.size_bytes / MEGABYTE / limits.size_mb)
        if limits.p99_ms is not None:
            shares.append((time.p99_high_us or time.p99_us) / 1_000 / limits.p99_ms)
        return max(shares)

    return min(candidates, key=lambda one: (excess(one), timed[one.name].p99_us)).name if candidates else ""


def outside_loss(loss: Metric, limits: Limits) -> str:
    """Why a loss is not shown to keep the limit; ``""`` if it is."""
    return "" if loss.high <= limits.loss else f"may lose {loss.high:.4f}, above {limits.loss:g}"


def _time(names: Sequence[str], calls: int, measure: Measure, timed: dict[str, Timed]) -> None:
    timed.update(zip(names, map(Timed.of, measure(names, calls)), strict=True))


def _outside(one: Candidate, limits: Limits) -> str:
    """What of the limits on size and loss it breaks, or may break."""
    size_mb = one.size_bytes / MEGABYTE
    if limits.size_mb is not None and size_mb > limits.size_mb:
        return f"{size_mb:.2f} MB, above {limits.size_mb:g}"
    return outside_loss(one.loss, limits)


def _late(time: Timed, limits: Limits) -> str:
    if limits.p99_ms is None:
        return ""
    if time.p99_high_us is None:
        return f"p99 not bounded by {time.calls} calls"
    return (
        ""
        if time.p99_high_us <= limits.p99_ms * 1_000
        else (f"p99 may be {time.p99_high_us / 1_000:.3f} ms, above {limits.p99_ms:g}")
    )


def _slow(time: Timed, source: Timed, limits: Limits) -> str:
    """Why its times stand in the way: the limit, or a source that may be as fast."""
    if late := _late(time, limits):
        return late
    faster = time.p99_high_us is not None and time.p99_high_us <= source.p99_us and time.p50_us <= source.p50_us
    return "" if faster else "not shown to be faster than the source"
