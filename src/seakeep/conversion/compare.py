"""Two sides' answers to the same rows, and where they disagree."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.conversion.rows import Rows, Scorer
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """Scores ``(n, k)``, NaN where there is none; and which rows were refused with an error, ``(n,)``."""

    scores: NDArray[np.float64]
    refused: NDArray[np.bool_]

    @property
    def nan(self) -> NDArray[np.bool_]:
        """Rows without a score, ``(n,)``."""
        none: NDArray[np.bool_] = np.isnan(self.scores).max(axis=1, initial=False)
        return none

    def at(self, chosen: NDArray[np.int64]) -> Answers:
        """Those to the rows at these positions."""
        return Answers(self.scores[chosen], self.refused[chosen])


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides' answers to the rows of one kind; every array ``(n,)``.

    Attributes
    ----------
    difference
        Largest absolute difference of a row's scores, over the size of the trained one where that is above 1 and no
        probability; 0 where either has none.
    error, nan
        Rows that only one side refused, and those where only one side gave NaN. A row that the estimator refuses must
        be refused by the served model or score NaN.
    flip, tie
        Rows whose decision differs; and apart from them those whose score is within the tolerance of the threshold,
        whose two first classes are within it of each other, or whose answer is in doubt.
    """

    rows: Rows
    trained: Answers
    served: Answers
    difference: NDArray[np.float64]
    error: NDArray[np.bool_]
    nan: NDArray[np.bool_]
    flip: NDArray[np.bool_]
    tie: NDArray[np.bool_]

    def wrong(self, tolerance: float) -> NDArray[np.bool_]:
        """Rows in which the sides disagree."""
        wrong: NDArray[np.bool_] = self.error | self.nan | self.flip | (self.difference > tolerance)
        return wrong

    def at(self, chosen: NDArray[np.int64]) -> Comparison:
        """That of the rows at these positions."""
        return Comparison(
            self.rows.take(chosen),
            self.trained.at(chosen),
            self.served.at(chosen),
            self.difference[chosen],
            self.error[chosen],
            self.nan[chosen],
            self.flip[chosen],
            self.tie[chosen],
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """How answers of one kind are compared, and how they decide."""

    outputs: Outputs
    threshold: float
    tolerance: float

    def decide(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """The decision that scores ``(n, k)`` stand for, as a number; a value stands for none."""
        kind = self.outputs.kind
        if kind in {"probabilities", "decisions"}:
            highest: NDArray[np.int64] = np.argmax(scores, axis=1)
            return highest
        if kind in {"value", "values"}:
            return np.zeros(len(scores), dtype=np.int64)
        first = scores[:, 0]
        if kind == "class":
            return np.nan_to_num(first, nan=-1.0).astype(np.int64)
        return ((first > 0) if kind == "decision" else (first >= self._limit)).astype(np.int64)

    def margin(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far scores ``(n, k)`` are from another decision, ``(n,)``; for values from their median."""
        kind = self.outputs.kind
        if kind in {"probabilities", "decisions"}:
            ordered = np.sort(scores, axis=1)
            with np.errstate(invalid="ignore"):  # of equal infinities
                apart: NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
            return apart
        if kind in {"value", "values", "class"}:
            told = scores[np.isfinite(scores[:, 0]), 0]
            return np.abs(scores[:, 0] - (np.median(told) if len(told) else 0.0))
        return np.abs(scores[:, 0] - self._limit)

    def close(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Rows so close to another decision that rounding may take it."""
        if self.outputs.kind in {"value", "values", "class"}:
            return np.zeros(len(scores), dtype=bool)
        size = self._size(scores).max(axis=1, initial=1.0)
        close: NDArray[np.bool_] = self.margin(scores) <= self.tolerance * size * (2 - self.outputs.single)
        return close

    def difference(self, trained: NDArray[np.float64], served: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much the answers differ, ``(n,)``."""
        with np.errstate(all="ignore"):
            apart = np.abs(trained - served) / self._size(trained)
        largest: NDArray[np.float64] = np.where(trained == served, 0.0, apart).max(axis=1, initial=0.0)
        return largest

    @property
    def _limit(self) -> float:
        return self.threshold if self.outputs.kind == "probability" else 0.0

    def _size(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.outputs.kind in {"probability", "probabilities"}:
            return np.ones_like(scores)
        return np.maximum(np.abs(scores), 1.0)


def answers(scorer: Scorer, rows: Rows) -> Answers:
    """Score rows; where a batch is refused, find by halving which rows are."""
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    refused = np.zeros(len(rows), dtype=bool)
    pending = [np.arange(len(rows))] if len(rows) else []
    while pending:
        part = pending.pop()
        some = rows.take(part)
        try:
            found.append((part, scorer(some.numbers, some.categories).reshape(len(part), -1)))
        except Exception:  # noqa: BLE001 -- the plugin border: engines raise what they like; a refusal is an answer
            if len(part) == 1:
                refused[part] = True
            else:
                pending += [part[len(part) // 2 :], part[: len(part) // 2]]
    scores = np.full((len(rows), found[0][1].shape[1] if found else 1), np.nan)
    for part, told in found:
        scores[part] = told
    return Answers(scores, refused)


def weigh(rows: Rows, trained: Answers, served: Answers, rule: Rule) -> Comparison:
    """Hold both sides' answers to some rows against each other."""
    left, right = np.broadcast_arrays(trained.scores, served.scores)
    both = ~trained.nan & ~served.nan
    difference = np.where(both, rule.difference(left, right), 0.0)
    other = both & (rule.decide(left) != rule.decide(right))
    close = rule.close(left)
    error = np.where(trained.refused, ~served.nan, served.refused)
    nan = ~trained.refused & ~served.refused & (trained.nan != served.nan)
    return Comparison(rows, trained, served, difference, error, nan, other & ~close, other & close)


def without(found: Comparison, doubted: NDArray[np.bool_]) -> Comparison:
    """The comparison in which rows in doubt may differ, which is told as ties."""
    differs = doubted & (found.flip | (found.difference > 0))
    return dataclasses.replace(
        found,
        difference=np.where(doubted, 0.0, found.difference),
        flip=found.flip & ~doubted,
        tie=found.tie | differs,
    )
