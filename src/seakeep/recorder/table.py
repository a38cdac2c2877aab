"""Recorded predictions and outcomes as columns: what replay, monitoring and diagnosis compute on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PredictionTable:
    """Predictions in the order of ``time_us``; every array has ``n`` rows.

    A model's validation rows, scored, take the same form (role ``"validation"``), so that a reference period and a
    live period are compared by the same code.

    Attributes
    ----------
    id, key, role, pair, error
        Object arrays of ``str``; see :class:`seakeep.records.prediction.Prediction`.
    version
        int64.
    time_us, recorded_us
        int64; the moment spoken for, and the wall clock when answered.
    numbers
        float64 ``(n, numbers)``, NaN for missing.
    categories
        Object ``(n, categories)`` of ``str``, ``""`` for missing.
    score
        float64; NaN where the request failed. Of a model of classes the probability of the one that was answered.
    scores
        float64 ``(n, classes)``, NaN where the request failed; ``(n, 0)`` of other models, and where none are given.
    decision
        bool.
    model_us, total_us
        float64; time in the model and end to end, microseconds.
    """

    id: NDArray[np.object_]
    key: NDArray[np.object_]
    role: NDArray[np.object_]
    pair: NDArray[np.object_]
    error: NDArray[np.object_]
    version: NDArray[np.int64]
    time_us: NDArray[np.int64]
    recorded_us: NDArray[np.int64]
    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    score: NDArray[np.float64]
    decision: NDArray[np.bool_]
    model_us: NDArray[np.float64]
    total_us: NDArray[np.float64]
    scores: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.time_us):
            object.__setattr__(self, "scores", np.empty((len(self.time_us), 0)))

    def __len__(self) -> int:
        return len(self.time_us)

    @property
    def told(self) -> NDArray[np.float64]:
        """What the model gave for each row, as it gives it: ``(n,)``, of classes ``(n, classes)``."""
        return self.scores if self.scores.shape[1] else self.score

    def select(self, rows: NDArray[Any] | slice) -> Self:
        """The rows chosen by a boolean mask, by positions or by a slice."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def merge(self, other: PredictionTable) -> PredictionTable:
        """The rows of both, which must have the same inputs."""
        width = max(self.scores.shape[1], other.scores.shape[1])
        two = [dataclasses.replace(one, scores=widened(one.scores, width, np.nan)) for one in (self, other)]
        joined = PredictionTable(
            **{
                field.name: np.concatenate([getattr(one, field.name) for one in two])
                for field in dataclasses.fields(PredictionTable)
            }
        )
        return joined.select(np.argsort(joined.time_us, kind="stable"))

    def without_inputs(self) -> PredictionTable:
        """The rows without what went into the model, so that those of several versions can be merged."""
        n = len(self)
        return dataclasses.replace(self, numbers=np.empty((n, 0)), categories=np.empty((n, 0), dtype=object))


def widened(matrix: NDArray[Any], width: int, empty: object) -> NDArray[Any]:
    """A matrix ``(n, k)`` with the columns that are missing to a width."""
    lacking = max(0, width - matrix.shape[1])
    return np.hstack([matrix, np.full((len(matrix), lacking), empty, matrix.dtype)]) if lacking else matrix


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AskedTable(PredictionTable):
    """Predictions with the rows that asked for them.

    Attributes
    ----------
    request
        Object array: the asking row as recorded, a JSON object as ``str`` or ``bytes``.
    """

    request: NDArray[np.object_]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeTable:
    """What became of it, in the order of ``known_us``; one row a key (the first outcome known counts).

    Attributes
    ----------
    key
        Object array of ``str``.
    known_us
        int64; when the outcome could first be known.
    value
        float64; 1 or 0, or the number that came, or the code of the class.
    """

    key: NDArray[np.object_]
    known_us: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.known_us)

    def select(self, rows: NDArray[np.bool_]) -> OutcomeTable:
        """The rows chosen by a mask."""
        return OutcomeTable(key=self.key[rows], known_us=self.known_us[rows], value=self.value[rows])

    def merge(self, other: OutcomeTable) -> OutcomeTable:
        """The outcomes of both, which must be of different keys."""
        key, known_us, value = (
            np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("key", "known_us", "value")
        )
        order = np.argsort(known_us, kind="stable")
        return OutcomeTable(key=key[order], known_us=known_us[order], value=value[order])

    def labels_for(self, key: NDArray[np.object_], *, as_of_us: int) -> NDArray[np.float64]:
        """Labels of the given keys as known before ``as_of_us``: float64, NaN where not yet known."""
        known = self.known_us < as_of_us
        by_key = dict(zip(self.key[known].tolist(), self.value[known].tolist(), strict=True))
        return np.array([by_key.get(one, np.nan) for one in key.tolist()], dtype=np.float64)
