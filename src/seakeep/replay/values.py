"""Answers of two versions to the same rows: which are another number, or another class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.outputs import TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bits_differ(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows in which any of the numbers, ``(n,)`` or ``(n, k)``, has other bits; ``(n,)``."""
    unequal = np.ascontiguousarray(one).view(np.int64) != np.ascontiguousarray(other).view(np.int64)
    return unequal if unequal.ndim == 1 else np.asarray(unequal.any(axis=1), dtype=np.bool_)


def confidence(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """What stands for a row's scores where one number must: of classes the highest probability; ``(n,)``."""
    return scores if scores.ndim == 1 else scores.max(axis=1)


def other_class(one: NDArray[np.float64], another: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows of probabilities ``(n, classes)`` that answer with another class, or of which one alone answers."""
    return np.asarray(class_of(one) != class_of(another), dtype=np.bool_)


def class_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The code of the class that each row of probabilities answers with; -1 where there is none."""
    return np.where(np.isnan(scores).any(axis=1), -1, np.argmax(scores, axis=1))


def above(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where one is larger by more than rounding explains; nowhere where either is missing. All ``(n,)``."""
    with np.errstate(invalid="ignore"):
        room = TOLERANCE * np.maximum(1.0, np.maximum(np.abs(one), np.abs(other)))
        return np.asarray(one - other > room, dtype=np.bool_)


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where two numbers differ by more than rounding explains, or one alone is missing."""
    told: NDArray[np.bool_] = above(one, other) | above(other, one) | (np.isnan(one) != np.isnan(other))
    return told
