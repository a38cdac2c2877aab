"""What is measured of candidates beside their source: loss, metric and flips on labelled rows, and times of calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seakeep.conversion.compare import Rule
from seakeep.conversion.latency import Scorer, Side, times_in_turn
from seakeep.conversion.optimise.search import Candidate
from seakeep.features.frame import Frame
from seakeep.records.feature import FeatureColumn
from seakeep.records.metric import Metric
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.training.evaluate import KNOWN_BY, Scored, evaluate, paired_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TIMED_ROWS = 2_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """A model's answers to some rows.

    Attributes
    ----------
    score
        float64 ``(n,)``, of classes ``(n, classes)``; NaN where the model refuses the row.
    threshold
        From which on it says "yes".
    """

    score: NDArray[np.float64]
    threshold: float

    def select(self, rows: NDArray[np.bool_]) -> Scores:
        """Those of some rows."""
        return dataclasses.replace(self, score=self.score[rows])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One model beside the source on the same labelled rows.

    Attributes
    ----------
    loss
        Loss minus the source's (negative is better), with its 95 % interval by whole days.
    metric, source
        What the model is known by, and the source's.
    flips
        Rows whose decision differs: the yes or no by each one's own threshold, or the class.
    refused
        Rows that it refuses and the source does not.
    """

    loss: Metric
    metric: Metric | None
    source: Metric | None
    flips: int
    refused: int


def beside(rows: Frame, own: Scores, source: Scores, outputs: Outputs = PROBABILITY, seed: int = 0) -> Beside:
    """Compare a model's answers with the source's.

    Parameters
    ----------
    rows
        Labelled rows, of which the source answers at least one.
    """
    answers = answered(source.score)
    both = answers & answered(own.score)
    if not both.any():
        nothing = Metric(value=np.inf, low=np.inf, high=np.inf)
        return Beside(loss=nothing, metric=None, source=None, flips=0, refused=int(answers.sum()))
    label, time_us = rows.label[both], rows.time_us[both]
    scored = Scored(label=label, score=own.score[both], time_us=time_us, outputs=outputs)
    other = dataclasses.replace(scored, score=source.score[both])
    known_by = KNOWN_BY[outputs.kind]
    return Beside(
        loss=paired_loss(scored, other.score, seed=seed),
        metric=evaluate(scored, threshold=own.threshold, seed=seed).get(known_by),
        source=evaluate(other, threshold=source.threshold, seed=seed).get(known_by),
        flips=int((_decisions(scored, own.threshold) != _decisions(other, source.threshold)).sum()),
        refused=int((answers & ~both).sum()),
    )


def answered(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows, ``(n,)``, of scores ``(n,)`` or ``(n, classes)`` that the model does not refuse."""
    return np.asarray(np.isfinite(scores.reshape(len(scores), -1)).all(axis=1), dtype=np.bool_)


def _decisions(rows: Scored, threshold: float) -> NDArray[np.int64]:
    return Rule(rows.outputs, threshold, 0.0).decide(rows.score.reshape(len(rows.score), -1))


def candidate(name: str, size_bytes: int, found: Beside) -> Candidate:
    """What the search needs to know of it."""
    fault = f"refuses {found.refused:,} rows that the source answers" if found.refused else ""
    return Candidate(name=name, size_bytes=size_bytes, loss=found.loss, fault=fault)


def score(model: Scorer, rows: Frame, columns: Sequence[FeatureColumn]) -> NDArray[np.float64]:
    """A model's answers to rows that have at least its columns, ``(n,)`` or ``(n, classes)``."""
    own = dataclasses.replace(rows, columns=tuple(columns))
    return model.score(own.numbers(), own.categories())


class InTurn:
    """Times loaded models on the same real rows; see :class:`seakeep.conversion.optimise.search.Measure`.

    Parameters
    ----------
    models
        By name, each with its columns.
    rows
        Evenly spread ones are taken; they are repeated where a batch needs more.
    batch
        Rows of one call.
    """

    def __init__(
        self, models: Mapping[str, tuple[Scorer, Sequence[FeatureColumn]]], rows: Frame, *, batch: int
    ) -> None:
        count = max(batch, min(len(rows), _TIMED_ROWS))
        taken = rows.select(np.linspace(0, len(rows) - 1, count).astype(np.int64))
        self._batch = batch
        self._sides: dict[str, Side] = {}
        for name, (model, columns) in models.items():
            own = dataclasses.replace(taken, columns=tuple(columns))
            self._sides[name] = (model, own.numbers(), own.categories())

    def __call__(self, names: Sequence[str], calls: int) -> Sequence[NDArray[np.float64]]:
        """Microseconds of each call, ``(calls,)`` for each name; the least of three times each."""
        took_us, _ = times_in_turn([self._sides[name] for name in names], calls=calls, batch=self._batch)
        return list(took_us)


def importances(
    model: Scorer, rows: Frame, columns: Sequence[FeatureColumn], outputs: Outputs = PROBABILITY, seed: int = 0
) -> dict[str, float]:
    """By how much the loss grows when one input is shuffled among the rows, by its name.

    References
    ----------
    Breiman (2001), Random forests, section 10; Fisher, Rudin and Dominici (2019), All models are wrong: of any model.
    """
    rng = np.random.default_rng(seed)
    base = score(model, rows, columns)
    both = answered(base)
    found = {}
    for column in columns:
        shuffled = dict(rows.values) | {column.name: rng.permutation(rows.values[column.name])}
        worse = score(model, dataclasses.replace(rows, values=shuffled), columns)
        kept = both & answered(worse)
        scored = Scored(label=rows.label[kept], score=worse[kept], time_us=rows.time_us[kept], outputs=outputs)
        found[column.name] = paired_loss(scored, base[kept], resamples=1).value if kept.any() else np.inf
    return found
