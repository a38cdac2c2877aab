"""Champion and candidate on the same requests: answered predictions and their shadows, two by two."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.prediction import Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PairTable:
    """Requests that both versions scored, in the order they were paired; every array has ``n`` rows.

    Attributes
    ----------
    recorded_us
        int64; when the request was answered.
    label
        float64; 1, 0, or NaN while not known.
    champion_score, candidate_score
        float64; NaN where that side failed.
    champion_us, candidate_us
        float64; time in the model, microseconds.
    champion_failed, candidate_failed
        bool.
    """

    recorded_us: NDArray[np.int64]
    label: NDArray[np.float64]
    champion_score: NDArray[np.float64]
    candidate_score: NDArray[np.float64]
    champion_us: NDArray[np.float64]
    candidate_us: NDArray[np.float64]
    champion_failed: NDArray[np.bool_]
    candidate_failed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.recorded_us)


@dataclasses.dataclass(frozen=True, slots=True)
class _Side:
    key: str
    recorded_us: int
    score: float
    model_us: float
    failed: bool


class Pairing:
    """Builds pairs from the records of one model as they come, in any order.

    Parameters
    ----------
    model, champion, candidate
        The model and the two versions.
    """

    def __init__(self, model: str, champion: int, candidate: int) -> None:
        self._model, self._champion, self._candidate = model, champion, candidate
        self._answered: dict[str, _Side] = {}
        self._shadows: dict[str, _Side] = {}
        self._pairs: list[tuple[_Side, _Side]] = []

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, prediction: Prediction) -> None:
        """Take in a prediction; those of other models and versions do not count."""
        if prediction.model != self._model or prediction.version not in {self._champion, self._candidate}:
            return
        side = _Side(
            prediction.key, prediction.recorded_us, prediction.score, prediction.model_us, bool(prediction.error)
        )
        shadow = prediction.role == "shadow"
        name = prediction.pair if shadow else prediction.id
        mine, other = (self._shadows, self._answered) if shadow else (self._answered, self._shadows)
        partner = other.get(name)
        if partner is None:
            mine[name] = side
        else:
            del other[name]
            self._pairs.append((side, partner) if prediction.version == self._champion else (partner, side))

    def since(self, moment_us: int) -> int:
        """How many pairs were answered from a moment on."""
        return sum(champion.recorded_us >= moment_us for champion, _ in self._pairs)

    def table(self, labels: dict[str, float]) -> PairTable:
        """The pairs, with the labels known by key."""
        champions = [champion for champion, _ in self._pairs]
        candidates = [candidate for _, candidate in self._pairs]
        return PairTable(
            recorded_us=np.array([one.recorded_us for one in champions], dtype=np.int64),
            label=np.array([labels.get(one.key, np.nan) for one in champions], dtype=np.float64),
            champion_score=np.array([one.score for one in champions], dtype=np.float64),
            candidate_score=np.array([one.score for one in candidates], dtype=np.float64),
            champion_us=np.array([one.model_us for one in champions], dtype=np.float64),
            candidate_us=np.array([one.model_us for one in candidates], dtype=np.float64),
            champion_failed=np.array([one.failed for one in champions], dtype=np.bool_),
            candidate_failed=np.array([one.failed for one in candidates], dtype=np.bool_),
        )
