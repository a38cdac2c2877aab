"""A version's recorded answers beside its answers now: they must not differ in any bit."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.replay import ReplayedVersion
from seakeep.replay.execute import Block
from seakeep.replay.values import apart, bits_differ, confidence, other_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.recorder.table import PredictionTable

EXAMPLES = 10
"""Ids of differing predictions that are kept."""


@dataclasses.dataclass(slots=True)
class Tally:
    """Counts block after block how recorded scores and scores now compare.

    Parameters
    ----------
    threshold
        Of the version under replay.
    outputs
        What it answers.

    Attributes
    ----------
    versions
        By the version that had answered, in the order met.
    failed, unmatched
        Requests that were not executed; see :class:`seakeep.records.replay.Replay`.
    """

    threshold: float
    outputs: Outputs = PROBABILITY
    versions: dict[int, ReplayedVersion] = dataclasses.field(default_factory=dict)
    failed: int = 0
    unmatched: int = 0

    def add(self, block: Block) -> None:
        """Count a block, executed by the version under replay alone."""
        self.failed += block.failed
        self.unmatched += block.unmatched
        if not len(block.table):
            return
        number = int(block.table.version[0])
        found = compare(block.table, block.executions[0].score, self.threshold, self.outputs)
        before = self.versions.get(number)
        self.versions[number] = _joined(before, found) if before else found


def compare(
    table: PredictionTable, again: NDArray[np.float64], threshold: float, outputs: Outputs = PROBABILITY
) -> ReplayedVersion:
    """How the recorded scores of one version and other scores of the same rows compare.

    Parameters
    ----------
    again
        float64 ``(n,)``, of classes ``(n, classes)``; NaN where the row was refused.
    threshold
        Of the version that gave them.
    """
    recorded = table.told
    unequal = bits_differ(recorded, again)
    refused = np.isnan(confidence(again)) & ~np.isnan(table.score)
    difference = np.abs(recorded[unequal] - again[unequal])
    if outputs.of_classes:
        other = other_class(recorded, again)
    else:  # a number decides nothing: another one is one that rounding does not explain
        other = table.decision != (again >= threshold) if outputs.yes_or_no else apart(recorded, again)
    return ReplayedVersion(
        version=int(table.version[0]),
        rows=len(table),
        equal=len(table) - int(unequal.sum()),
        decisions=int(other.sum()),
        refused=int(refused.sum()),
        largest=float(np.max(difference[np.isfinite(difference)], initial=0.0)),
        examples=tuple(table.id[np.flatnonzero(unequal)[:EXAMPLES]].tolist()),
    )


def _joined(one: ReplayedVersion, other: ReplayedVersion) -> ReplayedVersion:
    return ReplayedVersion(
        version=one.version,
        rows=one.rows + other.rows,
        equal=one.equal + other.equal,
        decisions=one.decisions + other.decisions,
        refused=one.refused + other.refused,
        largest=max(one.largest, other.largest),
        examples=(*one.examples, *other.examples)[:EXAMPLES],
    )
