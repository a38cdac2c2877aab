"""Rows of a model's inputs, as matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.records.feature import FeatureColumn

Scorer = Callable[["NDArray[np.float64]", "NDArray[np.object_]"], "NDArray[np.float64]"]
"""``(numbers, categories) -> scores``; raises if it refuses a row."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """Inputs of ``n`` rows: ``numbers`` float64 ``(n, d)`` and ``categories`` of ``str``, ``(n, c)``."""

    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, chosen: NDArray[Any]) -> Rows:
        """The rows at these positions, or under this mask; copies."""
        return Rows(self.numbers[chosen], self.categories[chosen])

    def values(self, row: int, columns: Sequence[FeatureColumn]) -> dict[str, float | str]:
        """One row's values by column name."""
        number, category = iter(self.numbers[row].tolist()), iter(self.categories[row].tolist())
        return {column.name: next(number if column.kind == "number" else category) for column in columns}


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of ``parts``, in order."""
    return Rows(np.concatenate([p.numbers for p in parts]), np.concatenate([p.categories for p in parts]))


def spread(count: int, limit: int) -> NDArray[np.int64]:
    """At most ``limit`` of the positions ``0 .. count - 1``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).astype(np.int64)) if count else np.empty(0, np.int64)
