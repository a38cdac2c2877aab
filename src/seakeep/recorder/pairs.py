"""Champion and candidate on the same requests: answered predictions and their shadows, two by two."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.prediction import Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.recorder.table import PredictionTable


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


def pairs_of(table: PredictionTable, champion: int, candidate: int, labels: NDArray[np.float64]) -> PairTable:
    """The pairs of two versions in a table of both.

    Parameters
    ----------
    labels
        float64, an entry a prediction; NaN while not known.
    """
    two = np.isin(table.version, (champion, candidate))
    answered = {str(table.id[row]): row for row in np.flatnonzero(two & (table.role != "shadow")).tolist()}
    shadows = [row for row in np.flatnonzero(two & (table.role == "shadow")).tolist() if table.pair[row] in answered]
    first = np.array([answered[table.pair[row]] for row in shadows], dtype=np.int64)
    second = np.array(shadows, dtype=np.int64)
    old = np.where(table.version[first] == champion, first, second)
    new = np.where(table.version[first] == champion, second, first)
    return PairTable(
        recorded_us=table.recorded_us[old],
        label=labels[old],
        champion_score=table.score[old],
        candidate_score=table.score[new],
        champion_us=table.model_us[old],
        candidate_us=table.model_us[new],
        champion_failed=table.error[old] != "",
        candidate_failed=table.error[new] != "",
    )


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
