"""Champion and candidate on the same requests: answered predictions and their shadows, two by two."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seakeep.records.prediction import COMPARED, Prediction

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
        float64; 1, 0, or NaN while it does not count: not known, or of a request younger than outcomes usually are.
        Young requests are left out because their outcomes may come at a speed that depends on the outcome.
    label_us
        int64; the moment from which the label counts. In this order they are evidence, so that later ones follow
        earlier ones.
    champion_score, candidate_score
        float64; NaN where that side failed.
    champion_us, candidate_us
        float64; time in the model of the rows scored together, microseconds.
    timed
        bool; whether the times are a comparison: of one pair of each batch that both versions scored whole. The other
        pairs of the batch repeat it, and batches of different sizes do not compare.
    champion_failed, candidate_failed
        bool.
    """

    recorded_us: NDArray[np.int64]
    label: NDArray[np.float64]
    label_us: NDArray[np.int64]
    champion_score: NDArray[np.float64]
    candidate_score: NDArray[np.float64]
    champion_us: NDArray[np.float64]
    candidate_us: NDArray[np.float64]
    timed: NDArray[np.bool_]
    champion_failed: NDArray[np.bool_]
    candidate_failed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.recorded_us)

    def since(self, moment_us: int) -> PairTable:
        """The pairs answered from a moment on."""
        rows = self.recorded_us >= moment_us
        return PairTable(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})


def pairs_of(
    table: PredictionTable,
    champion: int,
    candidate: int,
    *,
    label: NDArray[np.float64],
    known_us: NDArray[np.int64],
    delay_us: int,
) -> PairTable:
    """The pairs of two versions in a table of predictions of one model.

    Parameters
    ----------
    label, known_us
        An entry a prediction: 1, 0 or NaN, and the moment from which it could be known.
    delay_us
        See :meth:`Pairing.table`.
    """
    pairing = Pairing("", champion, candidate)
    compared = np.isin(table.role.astype(str), (*COMPARED, "pinned"))
    two = np.flatnonzero(np.isin(table.version, (champion, candidate)) & compared)
    names = ("version", "role", "id", "pair", "key", "time_us", "recorded_us", "score", "model_us", "error")
    for version, role, id_, pair, *rest in zip(*(getattr(table, name)[two].tolist() for name in names), strict=True):
        pairing.meet(pair if role == "shadow" else id_, Side(version, *rest), shadow=role == "shadow")
    known = zip(table.key.tolist(), label.tolist(), known_us.tolist(), strict=True)
    return pairing.table({key: (value, moment_us) for key, value, moment_us in known}, delay_us)


class Side(NamedTuple):
    """What of a prediction is compared; see :class:`seakeep.records.prediction.Prediction`."""

    version: int
    key: str
    time_us: int
    recorded_us: int
    score: float
    model_us: float
    error: str

    @property
    def batch(self) -> tuple[int, int, float]:
        """What only rows scored together have in common."""
        return self.version, self.recorded_us, self.model_us


class Pairing:
    """Builds pairs from the records of one model as they come, in any order.

    Parameters
    ----------
    model, champion, candidate
        The model and the two versions.
    """

    def __init__(self, model: str, champion: int, candidate: int) -> None:
        self._model, self._champion, self._candidate = model, champion, candidate
        self._answered: dict[str, Side] = {}
        self._shadows: dict[str, Side] = {}
        self._pairs: list[tuple[Side, Side]] = []
        self._sizes: Counter[tuple[int, int, float]] = Counter()

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, prediction: Prediction) -> None:
        """Take in a prediction; those of other models and versions do not count."""
        if prediction.model != self._model or prediction.version not in {self._champion, self._candidate}:
            return
        if prediction.role not in (*COMPARED, "pinned"):
            return  # what stood in tells nothing of the two
        shadow = prediction.role == "shadow"
        side = Side(
            prediction.version,
            prediction.key,
            prediction.time_us,
            prediction.recorded_us,
            prediction.score,
            prediction.model_us,
            prediction.error,
        )
        self.meet(prediction.pair if shadow else prediction.id, side, shadow=shadow)

    def meet(self, name: str, side: Side, *, shadow: bool) -> None:
        """Take in one side of the pair of an answered prediction's id."""
        self._sizes[side.batch] += 1
        mine, other = (self._shadows, self._answered) if shadow else (self._answered, self._shadows)
        partner = other.pop(name, None)
        if partner is None:
            mine[name] = side
        else:
            self._pairs.append((side, partner) if side.version == self._champion else (partner, side))

    def table(self, outcomes: Mapping[str, tuple[float, int]], delay_us: int = 0) -> PairTable:
        """The pairs, with their labels.

        Parameters
        ----------
        outcomes
            By key: the label, and the moment at which it could be known.
        delay_us
            How long after its moment the outcome of a request is usually known. The present is the newest moment asked
            for, which is also right for traffic of the past that is replayed.
        """
        champions = [side for side, _ in self._pairs]
        candidates = [side for _, side in self._pairs]
        time_us = np.array([one.time_us for one in champions], dtype=np.int64)
        known = [outcomes.get(one.key, (np.nan, 0)) for one in champions]
        label_us = np.maximum(time_us + delay_us, np.array([moment for _, moment in known], dtype=np.int64))
        label = np.array([value for value, _ in known], dtype=np.float64)
        label[label_us > time_us.max(initial=0)] = np.nan
        return PairTable(
            recorded_us=np.array([one.recorded_us for one in champions], dtype=np.int64),
            label=label,
            label_us=label_us,
            champion_score=np.array([one.score for one in champions], dtype=np.float64),
            candidate_score=np.array([one.score for one in candidates], dtype=np.float64),
            champion_us=np.array([one.model_us for one in champions], dtype=np.float64),
            candidate_us=np.array([one.model_us for one in candidates], dtype=np.float64),
            timed=np.array(self._timed(), dtype=np.bool_),
            champion_failed=np.array([bool(one.error) for one in champions], dtype=np.bool_),
            candidate_failed=np.array([bool(one.error) for one in candidates], dtype=np.bool_),
        )

    def _timed(self) -> list[bool]:
        seen: set[Any] = set()
        found = []
        for champion, candidate in self._pairs:
            batches = champion.batch, candidate.batch
            found.append(batches not in seen and self._sizes[batches[0]] == self._sizes[batches[1]])
            seen.add(batches)
        return found
