"""Proof that features served were features as trained: logged values against values recomputed from history."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seakeep.errors import DataError
from seakeep.features.frame import Frame
from seakeep.records.model import ModelDefinition

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-9
"""Largest relative difference of two numbers that count as equal."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeatureParity:
    """How well one feature agrees.

    Attributes
    ----------
    rows
        Rows compared.
    matched
        Rows that agree: both missing, equal text, or numbers within the tolerance.
    identical
        Rows that agree to the last bit.
    max_difference
        Largest absolute difference where both are numbers; infinite where only one side is missing or texts differ.
    worst_key
        Key of a row with the largest difference; ``""`` if every row is identical.
    """

    name: str
    rows: int
    matched: int
    identical: int
    max_difference: float
    worst_key: str

    @property
    def match_rate(self) -> float:
        """Share of rows that agree; 1 when there is none."""
        return self.matched / self.rows if self.rows else 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """Parity of every feature over the logged rows that could be recomputed.

    Attributes
    ----------
    rows
        Logged rows compared.
    unmatched
        Logged rows without a recomputed row of the same key and moment: they are not checked.
    """

    rows: int
    unmatched: int
    features: tuple[FeatureParity, ...]

    @property
    def passed(self) -> bool:
        """Whether every feature agrees in every row that was checked."""
        return all(one.matched == one.rows for one in self.features)


def compare(
    definition: ModelDefinition,
    *,
    numbers: NDArray[np.float64],
    categories: NDArray[np.object_],
    times_us: NDArray[np.int64],
    keys: Sequence[str],
    frame: Frame,
    tolerance: float = TOLERANCE,
) -> ParityReport:
    """Compare logged features with the same features recomputed from history, row by row of equal key and moment.

    Parameters
    ----------
    numbers, categories
        As logged: shapes ``(n, numbers)`` and ``(n, categories)``.
    times_us, keys
        Moment (int64 ``(n,)``) and key of each logged row.
    frame
        The recomputed rows, in any order.
    tolerance
        Relative: numbers agree when they differ by at most ``tolerance * max(1, |logged|, |recomputed|)``.

    Raises
    ------
    DataError
        The logged columns are not those of the definition.
    """
    _check_shape(definition, numbers, categories)
    place = {row: at for at, row in enumerate(zip(frame.key.tolist(), frame.time_us.tolist(), strict=True))}
    found = np.array([place.get(row, -1) for row in zip(keys, times_us.tolist(), strict=True)], dtype=np.int64)
    logged = np.flatnonzero(found >= 0)
    recomputed = frame.select(found[logged])
    names = np.array(list(keys), dtype=object)[logged]
    features = []
    next_number = next_category = 0
    for column in definition.columns:
        values = recomputed.values[column.name]
        if column.kind == "number":
            difference = _number_difference(numbers[logged, next_number], values)
            scale = np.fmax(1.0, np.fmax(np.abs(numbers[logged, next_number]), np.abs(values)))
            next_number += 1
        else:
            difference = np.where(categories[logged, next_category] == values, 0.0, np.inf)
            scale = np.ones(len(values))
            next_category += 1
        features.append(_feature(column.name, difference, difference <= tolerance * scale, names))
    return ParityReport(rows=len(logged), unmatched=len(found) - len(logged), features=tuple(features))


def _check_shape(definition: ModelDefinition, numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> None:
    kinds = [column.kind for column in definition.columns]
    wanted = kinds.count("number"), kinds.count("category")
    given = numbers.shape[1], categories.shape[1]
    if wanted != given:
        raise DataError(
            f"{given[0]} numbers and {given[1]} categories were logged; the definition of {definition.name!r} has "
            f"{wanted[0]} and {wanted[1]}",
            hint="compare predictions with the version that made them",
        )


def _number_difference(logged: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = np.isnan(logged), np.isnan(values)
    difference: NDArray[np.float64] = np.abs(logged - values)
    return np.where(missing[0] & missing[1], 0.0, np.where(missing[0] | missing[1], np.inf, difference))


def _feature(
    name: str, difference: NDArray[np.float64], agrees: NDArray[np.bool_], keys: NDArray[np.object_]
) -> FeatureParity:
    worst = int(np.argmax(difference)) if len(difference) else -1
    largest = float(difference[worst]) if worst >= 0 else 0.0
    return FeatureParity(
        name=name,
        rows=len(difference),
        matched=int(np.count_nonzero(agrees)),
        identical=int(np.count_nonzero(difference == 0)),
        max_difference=largest,
        worst_key=str(keys[worst]) if largest > 0 else "",
    )
