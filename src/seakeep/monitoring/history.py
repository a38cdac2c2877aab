"""What is known about one version of a model: its validation rows, its live predictions, and what became of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.outputs import PROBABILITY, Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.recorder.table import OutcomeTable, PredictionTable
    from seakeep.records.feature import FeatureColumn

NEVER_US = np.iinfo(np.int64).max
"""The moment at which an outcome that is not known becomes known."""

USUAL_DELAY_QUANTILE = 0.99


@dataclasses.dataclass(frozen=True, slots=True)
class Labelled:
    """Predictions joined once with their outcomes; every array has one entry a prediction.

    Attributes
    ----------
    predictions
        In the order of ``time_us``.
    value
        float64; 1, 0, the number that came or the code of the class; NaN without an outcome.
    known_us
        int64; when the outcome could first be known, :data:`NEVER_US` without one.
    outputs
        What the predictions are: probabilities of ``value`` 1, or of the class of each code, or numbers as ``value`` is.
    """

    predictions: PredictionTable
    value: NDArray[np.float64]
    known_us: NDArray[np.int64]
    outputs: Outputs = PROBABILITY

    @classmethod
    def join(cls, predictions: PredictionTable, outcomes: OutcomeTable, outputs: Outputs = PROBABILITY) -> Labelled:
        """Join on the key; the first outcome known of a key counts, and a prediction without a key has none."""
        keys = outcomes.key.tolist()
        position = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))
        position.pop("", None)
        found = np.array([position.get(key, -1) for key in predictions.key.tolist()], dtype=np.int64)
        value = np.full(len(found), np.nan)
        known_us = np.full(len(found), NEVER_US)
        hit = found >= 0
        value[hit] = outcomes.value[found[hit]]
        known_us[hit] = outcomes.known_us[found[hit]]
        return cls(predictions, value, np.where(np.isnan(value), NEVER_US, known_us), outputs)

    def __len__(self) -> int:
        return len(self.value)

    def select(self, rows: NDArray[np.bool_] | slice) -> Labelled:
        """The rows chosen by a mask or by a slice."""
        return Labelled(self.predictions.select(rows), self.value[rows], self.known_us[rows], self.outputs)

    def between(self, from_us: int, to_us: int) -> Labelled:
        """The predictions that speak for a moment in ``[from_us, to_us)``."""
        first, last = np.searchsorted(self.predictions.time_us, [from_us, to_us])
        return self.select(slice(int(first), int(last)))

    def labels(self, now_us: int) -> NDArray[np.float64]:
        """Outcomes known before ``now_us``; NaN where not."""
        return np.where(self.known_us < now_us, self.value, np.nan)

    def usual_delay_us(self, *, now_us: int, known_since_us: int = 0) -> int:
        """Time by which 99 % of the outcomes known in ``[known_since_us, now_us)`` were known; 0 without one.

        Outcomes of younger predictions are not like the rest: where one outcome comes sooner than the other (a fraud is
        reported, an honest payment stays silent), those known yet are mostly of that kind.
        """
        told = (self.known_us < now_us) & (self.known_us >= known_since_us)
        delay = self.known_us[told] - self.predictions.time_us[told]
        return max(0, int(np.quantile(delay, USUAL_DELAY_QUANTILE))) if len(delay) else 0

    def answered(self) -> Labelled:
        """The predictions that reached a client with a score: no shadows, no errors, and no rule in the place of the model."""
        table = self.predictions
        by_model = np.isin(table.role.astype(str), ("shadow", "rule"), invert=True)
        return self.select(by_model & (table.error == "") & np.isfinite(table.score))


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """One version's past.

    Attributes
    ----------
    reference
        The validation rows it was accepted on, scored by it.
    live
        What it answered since; the caller selects the version.
    columns
        Names of the model's inputs, in the model's order.
    """

    reference: Labelled
    live: Labelled
    columns: tuple[FeatureColumn, ...] = ()

    @classmethod
    def of(
        cls,
        reference: PredictionTable,
        reference_outcomes: OutcomeTable,
        live: PredictionTable,
        outcomes: OutcomeTable,
        columns: tuple[FeatureColumn, ...] = (),
        outputs: Outputs = PROBABILITY,
    ) -> History:
        """Join both tables with their outcomes."""
        accepted = Labelled.join(reference, reference_outcomes, outputs)
        return cls(accepted, Labelled.join(live, outcomes, outputs), columns)

    @property
    def outputs(self) -> Outputs:
        """What the version answers."""
        return self.reference.outputs

    def until(self, now_us: int) -> History:
        """Without the predictions from ``now_us`` on; outcomes are cut by :meth:`Labelled.labels`."""
        return dataclasses.replace(self, live=self.live.between(0, now_us))

    def period(self, from_us: int, to_us: int) -> Labelled:
        """Answered predictions of a period: live ones, or validation rows where the period ends before the live ones."""
        live = self.live.between(from_us, to_us)
        return (live if len(live) else self.reference.between(from_us, to_us)).answered()
