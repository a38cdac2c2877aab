"""Collects, block by block, what the comparison of two versions needs of each request, and tells what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.conversion.latency import ROWS as TIMED_ROWS
from seakeep.conversion.latency import LatencyEvidence, measure_in_turn
from seakeep.errors import NotFoundError
from seakeep.records.replay import Confusion, Side, WhatIf
from seakeep.records.run import Metric
from seakeep.replay.execute import Block, Executable
from seakeep.replay.inputs import refuse_unread
from seakeep.replay.values import bits_differ, confidence
from seakeep.replay.whatif import Pairs, compare

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_SLICES = 200
"""Values of a category input that are slices: its most frequent ones."""


class Gathering:
    """Keeps of each request about fifty bytes: its moment, its outcome, both scores, and the codes of its categories.

    Parameters
    ----------
    candidate, against
        The versions that execute each block, in this order.
    labels
        Outcomes by key.
    categories
        Category inputs of a version by its number, ``(n, categories)``, as they are shown: each ``(n,)``, by name.
    """

    def __init__(
        self,
        candidate: Executable,
        against: Executable,
        *,
        labels: Mapping[str, float],
        categories: Callable[[int, NDArray[np.object_]], Mapping[str, NDArray[Any]]],
    ) -> None:
        self._candidate, self._against = candidate, against
        self._labels, self._categories = labels, categories
        self._kept: list[tuple[NDArray[Any], ...]] = []
        self._slices = _Slices()
        self._sample = _Sample(TIMED_ROWS)
        self._failed = self._unmatched = self._irreproducible = 0
        self._cpu_s = [0.0, 0.0]

    def add(self, block: Block) -> None:
        """Take in a block."""
        self._failed += block.failed
        self._unmatched += block.unmatched
        table = block.table
        if not len(table):
            return
        candidate, against = block.executions
        labels = np.array([self._labels.get(key, np.nan) for key in table.key.tolist()], dtype=np.float64)
        self._kept.append((table.time_us, labels, candidate.score, against.score))
        answered_by = int(table.version[0])
        slices = self._categories(answered_by, table.categories)
        chosen = self._categories(self._candidate.number, candidate.categories)
        self._slices.add({**slices, **chosen}, len(table))
        self._sample.add((candidate.numbers, candidate.categories, against.numbers, against.categories))
        if answered_by == self._against.number:
            self._irreproducible += int(bits_differ(table.told, against.score).sum())
        self._cpu_s[0] += candidate.cpu_s
        self._cpu_s[1] += against.cpu_s

    def result(self, model: str, *, from_us: int, to_us: int) -> WhatIf:
        """What came of it; times both versions on a sample of the rows.

        Raises
        ------
        NotFoundError
            No request was recorded.
        DataError
            There is none that both versions could execute.
        """
        if not self._kept:
            self._refuse(model)
        time_us, label, candidate, against = (np.concatenate(parts) for parts in zip(*self._kept, strict=True))
        pairs = Pairs(
            time_us=time_us,
            label=label,
            candidate=candidate,
            against=against,
            slices=self._slices.most_frequent(),
            outputs=self._candidate.outputs,
        )
        found = compare(pairs, candidate_threshold=self._candidate.threshold, against_threshold=self._against.threshold)
        numbers, categories, other_numbers, other_categories = self._sample.rows()
        timed = measure_in_turn(
            [
                (self._candidate.scorer, numbers, categories),
                (self._against.scorer, other_numbers, other_categories),
            ]
        )
        confusions = found.confusions or (None, None)
        return WhatIf(
            model=model,
            from_us=from_us,
            to_us=to_us,
            rows=len(time_us),
            failed=self._failed,
            unmatched=self._unmatched,
            recomputed=self._recomputed,
            irreproducible=self._irreproducible,
            equal=found.equal,
            mean_difference=found.mean_difference,
            largest=found.largest,
            decisions=found.decisions,
            outcomes=found.outcomes,
            candidate=_side(self._candidate, candidate, confusions[0], found.metrics.one, timed[0], self._cpu_s[0]),
            against=_side(self._against, against, confusions[1], found.metrics.other, timed[1], self._cpu_s[1]),
            differences=found.metrics.difference,
            blocks=len(found.blocks),
            whole_days=found.blocks.whole_days,
            slices=found.slices,
            outputs=self._candidate.outputs,
        )

    @property
    def _recomputed(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._candidate.inputs.recomputed, *self._against.inputs.recomputed)))

    def _refuse(self, model: str) -> None:
        if self._unmatched:
            refuse_unread(f"{model}:{self._candidate.number}", self._recomputed, self._unmatched)
        failed = f"; {self._failed:,} requests failed" if self._failed else ""
        message = f"no answered request of {model} is recorded in this period{failed}"
        raise NotFoundError(message, hint="choose another period with --from and --to")


def _side(
    version: Executable,
    score: NDArray[np.float64],
    confusion: Confusion | None,
    metrics: dict[str, Metric],
    timed: LatencyEvidence,
    cpu_s: float,
) -> Side:
    return Side(
        version=version.number,
        threshold=version.threshold,
        refused=int(np.isnan(confidence(score)).sum()),
        alerts=int((confidence(score) >= version.threshold).sum()),
        confusion=confusion,
        metrics=metrics,
        p50_us=timed.p50_us,
        p99_us=timed.p99_us,
        cpu_s_per_million=timed.cpu_us,
        batch_cpu_s_per_million=cpu_s / len(score) * 1e6,
    )


class _Slices:
    """The category inputs of all rows so far, as codes."""

    def __init__(self) -> None:
        self._rows = 0
        self._codes: dict[str, list[NDArray[np.int32]]] = {}
        self._values: dict[str, dict[str, int]] = {}

    def add(self, columns: Mapping[str, NDArray[np.object_]], rows: int) -> None:
        """Take in columns of equally many rows; one that is absent has no value there."""
        for name in columns.keys() - self._codes.keys():
            self._codes[name], self._values[name] = [np.full(self._rows, -1, dtype=np.int32)], {}
        for name, parts in self._codes.items():
            if name in columns:
                values = self._values[name]
                codes = [values.setdefault(value, len(values)) for value in columns[name].tolist()]
                parts.append(np.array(codes, dtype=np.int32))
            else:
                parts.append(np.full(rows, -1, dtype=np.int32))
        self._rows += rows

    def most_frequent(self) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
        """By column, the codes of its most frequent values, and these by code; other rows have a code below 0."""
        found: dict[str, tuple[NDArray[np.int64], list[str]]] = {}
        for name in sorted(self._codes):
            code = np.concatenate(self._codes[name])
            names = list(self._values[name])
            counts = np.bincount(code[code >= 0], minlength=len(names))
            chosen = np.argsort(-counts, kind="stable")[:MOST_SLICES]
            # One more than there are values, so that rows without one (-1) keep it.
            place = np.full(len(names) + 1, -1, dtype=np.int64)
            place[chosen] = np.arange(len(chosen))
            found[name] = place[code], [names[one] for one in chosen]
        return found


class _Sample:
    """An even sample of rows of unknown number: each has a random rank, and those with the lowest are kept.

    References
    ----------
    Efraimidis and Spirakis (2006), Weighted random sampling with a reservoir, for equal weights.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._generator = np.random.default_rng(0)
        self._rank = np.empty(0)
        self._columns: tuple[NDArray[Any], ...] = ()

    def add(self, columns: tuple[NDArray[Any], ...]) -> None:
        """Take in columns of equally many rows."""
        rank = np.concatenate([self._rank, self._generator.random(len(columns[0]))])
        chosen = np.argsort(rank, kind="stable")[: self._size]
        before = self._columns or tuple(one[:0] for one in columns)
        self._columns = tuple(np.concatenate([old, new])[chosen] for old, new in zip(before, columns, strict=True))
        self._rank = rank[chosen]

    def rows(self) -> tuple[NDArray[Any], ...]:
        """The columns of the sample."""
        return self._columns
