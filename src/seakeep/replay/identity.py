"""A version replayed against its own recorded predictions must show no difference: no bit of any score."""

from __future__ import annotations

import dataclasses

import numpy as np

from seakeep.recorder.table import PredictionTable
from seakeep.replay.why import Scorer

_BATCH = 4_096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How a version's recorded scores compare with its scores now.

    Attributes
    ----------
    rows
        Predictions executed again; failed ones have no score and are left out.
    differing
        Ids of those whose score differs in any bit, in the order of time.
    largest
        Largest absolute difference; 0 if none differs.
    """

    rows: int
    differing: tuple[str, ...]
    largest: float

    @property
    def holds(self) -> bool:
        """Whether no bit differs."""
        return not self.differing


def replay_against_itself(table: PredictionTable, session: Scorer) -> Identity:
    """Score recorded predictions of one version again with that version, in batches.

    Parameters
    ----------
    table
        Recorded predictions of the version that ``session`` has loaded.
    """
    answered = table.select(np.flatnonzero(table.error == ""))
    batches = [
        session.score(answered.numbers[start : start + _BATCH], answered.categories[start : start + _BATCH])
        for start in range(0, len(answered), _BATCH)
    ]
    again = np.concatenate([np.empty(0), *batches])
    unequal = answered.score.view(np.int64) != again.view(np.int64)
    difference = np.abs(answered.score[unequal] - again[unequal])
    return Identity(
        rows=len(answered),
        differing=tuple(answered.id[unequal].tolist()),
        # A difference in missing values has no size, and is the worst there is.
        largest=float(np.max(np.nan_to_num(difference, nan=np.inf), initial=0.0)),
    )
