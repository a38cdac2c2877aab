"""Champion and candidate on live requests that both scored: how they differ, in numbers that may be read at any time."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.replay import SequentialTest, ShadowDifference
from seakeep.records.run import Metric
from seakeep.replay.values import above, bits_differ, other_class
from seakeep.serving.comparison import losses, mean_between, questions
from seakeep.serving.rollout import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.recorder.pairs import PairTable

ALPHA = 0.05
"""Probability that an interval ever, at any moment, leaves out the mean."""


@dataclasses.dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores from which each version's decision is "yes"."""

    champion: float
    candidate: float


def shadow_difference(
    model: str, span: Span, pairs: PairTable, thresholds: Thresholds, outputs: Outputs = PROBABILITY
) -> ShadowDifference:
    """How a rollout's two versions differ on the requests that both scored.

    Parameters
    ----------
    span
        The rollout.
    pairs
        In the order in which they came.
    outputs
        What the versions answer.
    """
    scored = np.isfinite(pairs.champion_score) & np.isfinite(pairs.candidate_score)
    whole, other_whole = (
        scores[scored] if outputs.of_classes else score[scored]
        for scores, score in (
            (pairs.champion_scores, pairs.champion_score),
            (pairs.candidate_scores, pairs.candidate_score),
        )
    )
    champion, candidate, label = (
        values[scored] for values in (pairs.champion_score, pairs.candidate_score, pairs.label)
    )
    if outputs.yes_or_no:
        before, after = champion >= thresholds.champion, candidate >= thresholds.candidate
    elif outputs.of_classes:
        other = other_class(whole, other_whole)
        before, after = other & (candidate <= champion), other & (candidate > champion)
    else:
        before, after = above(champion, candidate), above(candidate, champion)
    known = np.isfinite(label)
    size = np.abs(candidate - champion)
    values: dict[str, NDArray[np.float64]] = {}
    if outputs.yes_or_no:
        values = {"score": candidate - champion, "alert_rate": after.astype(np.float64) - before.astype(np.float64)}
    else:
        lost = losses(pairs, outputs)
        values["brier" if outputs.of_classes else "capped_loss"] = lost.candidate - lost.champion
    if outputs.of_classes:
        values = {"confidence": candidate - champion, **values}
    if outputs.yes_or_no and known.any():
        values["brier"] = ((candidate - label) ** 2 - (champion - label) ** 2)[known]
    return ShadowDifference(
        model=model,
        champion=span.champion,
        candidate=span.candidate,
        from_us=span.started.from_us,
        to_us=span.ended.from_us if span.ended else None,
        pairs=len(pairs),
        labelled=int(known.sum()),
        equal=len(whole) - int(bits_differ(whole, other_whole).sum()),
        up=int((after & ~before).sum()),
        down=int((before & ~after).sum()),
        largest=float(size.max(initial=0.0)),
        differences={name: _mean(one) for name, one in values.items() if len(one)},
        tests=tuple(
            SequentialTest(question=one.harm, p_value=one.p_value, sentence=one.sentence)
            for one in questions(pairs, outputs)
        ),
        outputs=outputs,
    )


def _mean(values: NDArray[np.float64]) -> Metric:
    low, high = mean_between(values, ALPHA)
    return Metric(value=float(values.mean()), low=low, high=high)
