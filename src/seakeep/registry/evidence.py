"""What gates are judged on, and the comparison with the champion on the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from seakeep.conversion.latency import LatencyEvidence, Scorer
from seakeep.features.frame import Frame
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.run import Metric, Run
from seakeep.records.version import ParityProof
from seakeep.training.evaluate import Scored, paired_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ChampionEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A version beside the champion on the version's own validation rows.

    Attributes
    ----------
    paired
        Loss minus the champion's as :func:`seakeep.training.evaluate.paired_loss` has it (negative is better), with its
        95 % interval; None where they cannot be compared.
    obstacle
        Why not, in words.
    """

    champion: str
    rows: int = 0
    paired: Metric | None = None
    obstacle: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a gate may look at.

    Attributes
    ----------
    champion
        None where there is no other champion.
    """

    run: Run
    proof: ParityProof | None = None
    latency: LatencyEvidence | None = None
    champion: ChampionEvidence | None = None


def against_champion(
    *,
    champion: str,
    frame: Frame,
    candidate_columns: Sequence[FeatureColumn],
    candidate_model: Scorer,
    champion_columns: Sequence[FeatureColumn],
    champion_model: Scorer,
    outputs: Outputs = PROBABILITY,
) -> ChampionEvidence:
    """Compare both models on the labelled rows of a frame.

    Parameters
    ----------
    champion
        Reference of the champion, for the record.
    frame
        The candidate's validation rows. The champion may have learnt from some of them: that can only make the
        candidate look worse.
    """
    missing = sorted({column.name for column in champion_columns} - set(frame.values))
    if missing:
        return ChampionEvidence(champion=champion, obstacle=f"the rows lack its inputs {', '.join(missing)}")
    rows = frame.select(np.isfinite(frame.label))
    scores = _score(candidate_model, rows, candidate_columns)
    others = _score(champion_model, rows, champion_columns)
    finite = np.isfinite(scores + others)
    both = finite if finite.ndim == 1 else np.asarray(finite.all(axis=1))
    if not both.any():
        return ChampionEvidence(champion=champion, obstacle="no labelled row was scored by both")
    scored = Scored(label=rows.label[both], score=scores[both], time_us=rows.time_us[both], outputs=outputs)
    return ChampionEvidence(champion=champion, rows=len(scored.label), paired=paired_loss(scored, others[both]))


def _score(model: Scorer, rows: Frame, columns: Sequence[FeatureColumn]) -> NDArray[np.float64]:
    own = dataclasses.replace(rows, columns=tuple(columns))
    return model.score(own.numbers(), own.categories())
