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
