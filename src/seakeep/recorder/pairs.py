"""Champion and candidate on the same requests: answered predictions and their shadows, two by two."""

from __future__ import annotations

import dataclasses
import math
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

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
        float64; NaN where that side failed. Of models of classes the probability of the one that was answered.
    champion_scores, candidate_scores
        float64 ``(n, classes)``, NaN where that side failed; ``(n, 0)`` of other models, and where none are given.
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
    champion_scores: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty((0, 0)))
    candidate_scores: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        for name in ("champion_scores", "candidate_scores"):
            if len(getattr(self, name)) != len(self.recorded_us):
                object.__setattr__(self, name, np.empty((len(self.recorded_us), 0)))

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
    names = ("version", "role", "id", "pair", "key", "time_us", "recorded_us", "score", "model_us", "error", "scores")
    for version, role, id_, pair, *rest in zip(*(getattr(table, name)[two].tolist() for name in names), strict=True):
        pairing.meet(pair if role == "shadow" else id_, Side(version, *rest), shadow=role == "shadow")
    for outcome in zip(table.key.tolist(), label.tolist(), known_us.tolist(), strict=True):
        pairing.outcome(*outcome)
    return pairing.table(delay_us)


class Side(NamedTuple):
    """What of a prediction is compared; see :class:`seakeep.records.prediction.Prediction`."""

    version: int
    key: str
    time_us: int
    recorded_us: int
    score: float
    model_us: float
    error: str
    scores: Sequence[float] = ()

    @property
    def batch(self) -> tuple[int, int, float]:
        """What only rows scored together have in common."""
        return self.version, self.recorded_us, self.model_us


class Pairing:
    """Builds pairs from the records of one model as they come, in any order.

    Taking in a record or an outcome costs the same however many there were before, and :meth:`table` copies arrays: a
    rollout is judged again and again while its pairs grow.

    Parameters
    ----------
    model, champion, candidate
        The model and the two versions.
    """

    def __init__(self, model: str, champion: int, candidate: int) -> None:
        self._model, self._champion, self._candidate = model, champion, candidate
        self._answered: dict[str, Side] = {}
        self._shadows: dict[str, Side] = {}
        self._pairs = _Columns()
        self._batches: dict[tuple[int, int, float], int] = {}
        self._sizes = array("q")
        self._met: set[tuple[int, int]] = set()
        self._outcomes: dict[str, tuple[float, int]] = {}
        self._awaited: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._pairs.time_us)

    @property
    def outcomes(self) -> int:
        """How many outcomes were told."""
        return len(self._outcomes)

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
            prediction.scores,
        )
        self.meet(prediction.pair if shadow else prediction.id, side, shadow=shadow)

    def meet(self, name: str, side: Side, *, shadow: bool) -> None:
        """Take in one side of the pair of an answered prediction's id."""
        batch = self._batches.setdefault(side.batch, len(self._batches))
        if batch == len(self._sizes):
            self._sizes.append(0)
        self._sizes[batch] += 1
        mine, other = (self._shadows, self._answered) if shadow else (self._answered, self._shadows)
        partner = other.pop(name, None)
        if partner is None:
            mine[name] = side
        elif side.version == self._champion:
            self._pair(side, partner)
        else:
            self._pair(partner, side)

    def outcome(self, key: str, value: float, known_us: int) -> None:
        """Take in the outcome of all requests of a key: 1 or 0, and from when it could be known. The first one counts."""
        if key in self._outcomes:
            return
        self._outcomes[key] = value, known_us
        for place in self._awaited.pop(key, ()):
            self._pairs.label[place], self._pairs.known_us[place] = value, known_us

    def table(self, delay_us: int = 0) -> PairTable:
        """The pairs, with their labels.

        Parameters
        ----------
        delay_us
            How long after its moment the outcome of a request is usually known. The present is the newest moment asked
            for, which is also right for traffic of the past that is replayed.
        """
        pairs = self._pairs
        time_us, label = np.array(pairs.time_us), np.array(pairs.label)
        label_us = np.maximum(time_us + delay_us, np.array(pairs.known_us))
        label[label_us > time_us.max(initial=0)] = np.nan
        return PairTable(
            recorded_us=np.array(pairs.recorded_us),
            label=label,
            label_us=label_us,
            champion_score=np.array(pairs.champion_score),
            candidate_score=np.array(pairs.candidate_score),
            champion_us=np.array(pairs.champion_us),
            candidate_us=np.array(pairs.candidate_us),
            timed=self._timed(),
            champion_failed=np.array(pairs.champion_failed, dtype=np.bool_),
            candidate_failed=np.array(pairs.candidate_failed, dtype=np.bool_),
            champion_scores=self._matrix(pairs.champion_scores),
            candidate_scores=self._matrix(pairs.candidate_scores),
        )

    def _pair(self, champion: Side, candidate: Side) -> None:
        pairs, batches = self._pairs, (self._batches[champion.batch], self._batches[candidate.batch])
        if batches not in self._met:
            self._met.add(batches)
            pairs.first.append(len(self))
            pairs.first_of_champion.append(batches[0])
            pairs.first_of_candidate.append(batches[1])
        known = self._outcomes.get(champion.key)
        if known is None:
            self._awaited.setdefault(champion.key, []).append(len(self))
        value, known_us = known or (math.nan, 0)
        pairs.time_us.append(champion.time_us)
        pairs.recorded_us.append(champion.recorded_us)
        pairs.label.append(value)
        pairs.known_us.append(known_us)
        pairs.champion_score.append(champion.score)
        pairs.candidate_score.append(candidate.score)
        if champion.scores or candidate.scores:
            pairs.scored.append(len(self) - 1)
            failed = (math.nan,) * max(len(champion.scores), len(candidate.scores))
            pairs.champion_scores.extend(champion.scores or failed)
            pairs.candidate_scores.extend(candidate.scores or failed)
        pairs.champion_us.append(champion.model_us)
        pairs.candidate_us.append(candidate.model_us)
        pairs.champion_failed.append(bool(champion.error))
        pairs.candidate_failed.append(bool(candidate.error))

    def _matrix(self, told: array[float]) -> NDArray[np.float64]:
        """One side's scores of every class, a row a pair."""
        places = np.array(self._pairs.scored, dtype=np.int64)
        matrix = np.full((len(self), len(told) // max(1, len(places))), np.nan)
        matrix[places] = np.array(told).reshape(len(places), -1) if len(places) else np.empty((0, 0))
        return matrix

    def _timed(self) -> NDArray[np.bool_]:
        """The first pair of each two batches that were scored whole by both versions."""
        pairs, sizes, timed = self._pairs, np.array(self._sizes), np.zeros(len(self), dtype=np.bool_)
        whole = sizes[np.array(pairs.first_of_champion)] == sizes[np.array(pairs.first_of_candidate)]
        timed[np.array(pairs.first)[whole]] = True
        return timed


class _Columns:
    """The pairs so far, as arrays that grow, with the places of those that have scores of classes; and of each two batches that met the first pair, and which they are."""

    def __init__(self) -> None:
        self.time_us, self.recorded_us, self.known_us = array("q"), array("q"), array("q")
        self.label, self.champion_score, self.candidate_score = array("d"), array("d"), array("d")
        self.champion_us, self.candidate_us = array("d"), array("d")
        self.champion_failed, self.candidate_failed = array("b"), array("b")
        self.champion_scores, self.candidate_scores, self.scored = array("d"), array("d"), array("q")
        self.first, self.first_of_champion, self.first_of_candidate = array("q"), array("q"), array("q")
