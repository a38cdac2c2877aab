"""How surprising a change is, given a handful of past windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def student_tail(t: float, freedom: int) -> float:
    """``P(T >= t)`` of Student's t with a whole number of degrees of freedom.

    References
    ----------
    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    cosine2 = math.cos(angle) ** 2
    term = total = 1.0 if freedom % 2 == 0 else math.cos(angle)
    first = 1 if freedom % 2 == 0 else 2
    for k in range(first, freedom - 2, 2):
        term *= cosine2 * k / (k + 1)
        total += term
    inside = math.sin(angle) * total
    if freedom % 2:
        inside = 2 / math.pi * (angle + (inside if freedom > 1 else 0.0))
    tail = max(0.0, (1 - inside) / 2)
    return tail if t >= 0 else 1 - tail


def surprise(past: NDArray[np.float64], now: float, *, floor: float, freedom: int = 0) -> tuple[float, float]:
    """How far a value lies from past ones, in their standard deviations, and the two-sided p-value of a further one.

    Parameters
    ----------
    past
        Values of at least two past windows.
    floor
        Least standard deviation: what the measurement itself varies by.
    freedom
        Degrees of freedom; by default one less than there are windows.
    """
    freedom = freedom or max(1, len(past) - 1)
    effect = float((now - past.mean()) / max(float(past.std(ddof=1)), floor))
    return effect, 2 * student_tail(abs(effect) / math.sqrt(1 + 1 / (freedom + 1)), freedom)


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values: rejecting those at most ``q`` keeps the false discovery rate at most ``q``.

    References
    ----------
    Benjamini and Hochberg, "Controlling the false discovery rate", J. R. Statist. Soc. B 57, 1995.
    """
    n = len(p_values)
    order = np.argsort(p_values)[::-1]
    adjusted = np.minimum.accumulate(p_values[order] * n / np.arange(n, 0, -1))
    result = np.empty(n)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def sign_flips(sums: NDArray[np.float64]) -> float:
    """How often a total this far from zero would arise if each block's sum could as well have the other sign.

    Exact, for whole numbers: all ``2 ** blocks`` ways are counted. With one block it is 1, and it is never below
    ``2 ** (1 - blocks)``: a few blocks cannot prove much, however many rows they have.

    Parameters
    ----------
    sums
        Whole numbers, one a block of rows that are alike, ``(blocks,)``.

    References
    ----------
    Canay, Romano and Shaikh, "Randomization tests under an approximate symmetry assumption", Econometrica 85, 2017.
    """
    sizes = np.abs(sums[sums != 0]).astype(np.int64)
    reach = int(sizes.sum())
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for size in sizes.tolist():
        flipped = np.zeros_like(chances)
        flipped[size:] = chances[:-size] / 2
        flipped[:-size] += chances[size:] / 2
        chances = flipped
    observed = abs(round(float(sums.sum())))
    return min(1.0, float(chances[: reach - observed + 1].sum() + chances[reach + observed :].sum()))
