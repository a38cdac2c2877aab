"""Predicted numbers of two versions on the same rows: which are another number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.outputs import TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def above(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where one is larger by more than rounding explains; nowhere where either is missing. All ``(n,)``."""
    with np.errstate(invalid="ignore"):
        room = TOLERANCE * np.maximum(1.0, np.maximum(np.abs(one), np.abs(other)))
        return np.asarray(one - other > room, dtype=np.bool_)


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where two numbers differ by more than rounding explains, or one alone is missing."""
    told: NDArray[np.bool_] = above(one, other) | above(other, one) | (np.isnan(one) != np.isnan(other))
    return told
