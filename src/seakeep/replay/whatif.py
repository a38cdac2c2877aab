"""What a candidate would have done to recorded traffic, beside another version on the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.replay import Confusion, Shift, SliceShift
from seakeep.replay.shift import corrected, shifts
from seakeep.replay.values import above, bits_differ, class_of, confidence, other_class
from seakeep.training.evaluate import Beside, Resampled, Scored, evaluate_beside, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Requests that two versions executed; every array has one entry a request.

    Attributes
    ----------
    time_us
        int64; the moment it spoke for.
    label
        float64; 1, 0, or NaN where no outcome is known.
    candidate, against
        float64; the scores, NaN where refused; of classes ``(n, classes)``.
    slices
        By category input: the code of the value (int64) and the values by code. Codes below 0 are of no value.
    outputs
        What the scores are. Numbers cross no threshold: theirs count where one is larger, and where one is nearer to
        the outcome. Classes count where one version answers another class, and has more confidence in its own.
    """

    time_us: NDArray[np.int64]
    label: NDArray[np.float64]
    candidate: NDArray[np.float64]
    against: NDArray[np.float64]
    slices: Mapping[str, tuple[NDArray[np.int64], Sequence[str]]]
    outputs: Outputs = PROBABILITY


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two versions' scores of the same requests show; see :class:`seakeep.records.replay.WhatIf`."""

    blocks: Resampled
    equal: int
    mean_difference: float
    largest: float
    decisions: Shift
    outcomes: Shift | None
    confusions: tuple[Confusion, Confusion] | None
    metrics: Beside
    slices: tuple[SliceShift, ...]


def compare(pairs: Pairs, *, candidate_threshold: float, against_threshold: float, seed: int = 0) -> Comparison:
    """Compare two versions' scores of the same requests, at least one.

    Parameters
    ----------
    seed
        Of the resampling.
    """
    blocks = resample(pairs.time_us, seed)
    yes_or_no = pairs.outputs.yes_or_no
    new, old = confidence(pairs.candidate), confidence(pairs.against)
    if yes_or_no:
        after, before = new >= candidate_threshold, old >= against_threshold
    elif pairs.outputs.of_classes:
        other = other_class(pairs.candidate, pairs.against)
        after, before = other & (new > old), other & (new <= old)
    else:
        after, before = above(new, old), above(old, new)
    both = np.isfinite(new) & np.isfinite(old)
    difference = (new - old)[both]
    known = np.isfinite(pairs.label)
    positive = pairs.label > 0
    of_known = dataclasses.replace(blocks, block=blocks.block[known])
    if yes_or_no:
        right_before, right_after = (before == positive)[known], (after == positive)[known]
    elif pairs.outputs.of_classes:
        right_before, right_after = (
            (class_of(score) == pairs.label)[known] for score in (pairs.against, pairs.candidate)
        )
    else:
        now, then = (np.abs(score - pairs.label)[known] for score in (pairs.candidate, pairs.against))
        right_before, right_after = above(now, then), above(then, now)

    def by(column: str, code: NDArray[np.int64], values: Sequence[str]) -> list[SliceShift]:
        decided = shifts(before, after, code, len(values), blocks)
        told = shifts(right_before, right_after, code[known], len(values), of_known)
        return [
            SliceShift(column=column, value=value, decisions=one, outcomes=other)
            for value, one, other in zip(values, decided, told, strict=True)
            if one
        ]

    (whole,) = by("", np.zeros(len(before), dtype=np.int64), [""])
    found = [one for column, (code, values) in pairs.slices.items() for one in by(column, code, values)]
    scored = known & both
    return Comparison(
        blocks=blocks,
        equal=len(new) - int(bits_differ(pairs.candidate, pairs.against).sum()),
        mean_difference=float(difference.mean()) if len(difference) else 0.0,
        largest=float(np.abs(difference).max(initial=0.0)),
        decisions=whole.decisions,
        outcomes=whole.outcomes,
        confusions=(_confusion(after[known], positive[known]), _confusion(before[known], positive[known]))
        if yes_or_no and known.any()
        else None,
        metrics=_metrics(pairs, scored, candidate_threshold, against_threshold, blocks),
        slices=_corrected(found),
    )


def _metrics(
    pairs: Pairs, rows: NDArray[np.bool_], candidate_threshold: float, against_threshold: float, blocks: Resampled
) -> Beside:
    if not rows.any():
        return Beside(one={}, other={}, difference={})
    label, time_us = pairs.label[rows], pairs.time_us[rows]
    return evaluate_beside(
        Scored(label=label, score=pairs.candidate[rows], time_us=time_us, outputs=pairs.outputs),
        Scored(label=label, score=pairs.against[rows], time_us=time_us, outputs=pairs.outputs),
        threshold=candidate_threshold,
        other_threshold=against_threshold,
        blocks=dataclasses.replace(blocks, block=blocks.block[rows]),
    )


def _confusion(yes: NDArray[np.bool_], positive: NDArray[np.bool_]) -> Confusion:
    return Confusion(
        hits=int((yes & positive).sum()),
        false_alarms=int((yes & ~positive).sum()),
        missed=int((~yes & positive).sum()),
        silent=int((~yes & ~positive).sum()),
    )


def _corrected(found: Sequence[SliceShift]) -> tuple[SliceShift, ...]:
    """Slices with p-values corrected over all of them, what decisions show first."""
    decided = corrected([one.decisions for one in found])
    told = iter(corrected([one.outcomes for one in found if one.outcomes]))
    slices = [
        SliceShift(
            column=one.column, value=one.value, decisions=decisions, outcomes=next(told) if one.outcomes else None
        )
        for one, decisions in zip(found, decided, strict=True)
    ]
    return tuple(
        sorted(slices, key=lambda one: (one.decisions.p_value, -abs(one.decisions.net.value), -one.decisions.rows))
    )
