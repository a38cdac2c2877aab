"""Recorded requests executed by one or more versions, block by block, on all the cores given."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.replay.inputs import InputSource
from seakeep.replay.why import Scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.recorder.table import PredictionTable

BATCH = 1_000
"""Rows scored at once: the largest batch in which a parity proof shows that a row's bits are those it has alone."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A version that can be executed on recorded requests: its number, threshold, model, inputs, and what it answers."""

    number: int
    threshold: float
    scorer: Scorer
    inputs: InputSource
    outputs: Outputs = PROBABILITY


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What a version made of ``n`` rows.

    Attributes
    ----------
    numbers, categories
        Its inputs.
    score
        float64 ``(n,)``, of classes ``(n, classes)``; NaN where it refuses.
    cpu_s
        CPU seconds in the model.
    """

    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    score: NDArray[np.float64]
    cpu_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some recorded requests, all answered by one version.

    Attributes
    ----------
    table
        Those that every version executed.
    executions
        One a version, in their order, each over the rows of ``table``; none if all rows had failed.
    failed
        Others, which had failed when they were recorded.
    unmatched
        Others, of which a version's inputs are neither recorded nor to be recomputed.
    """

    table: PredictionTable
    executions: tuple[Execution, ...]
    failed: int
    unmatched: int


def execute(tables: Iterable[PredictionTable], versions: Sequence[Executable], *, threads: int) -> Iterator[Block]:
    """Execute every version on the same rows; the next block is read meanwhile.

    Parameters
    ----------
    tables
        Blocks of recorded predictions, each of one version.
    threads
        Threads that score; a session itself has one.
    """
    with ThreadPoolExecutor(threads) as pool:
        for table in _ahead(tables):
            answered = table.select(table.error == "")
            if not len(answered):
                yield Block(table=answered, executions=(), failed=len(table), unmatched=0)
                continue
            inputs = [version.inputs.of(answered) for version in versions]
            found = np.logical_and.reduce([one.found for one in inputs])
            executions = []
            for version, one in zip(versions, inputs, strict=True):
                rows = found[one.found]
                whole = bool(rows.all())
                numbers, categories = (
                    (one.numbers, one.categories) if whole else (one.numbers[rows], one.categories[rows])
                )
                score, cpu_s = _score(pool, version.scorer, numbers, categories)
                executions.append(Execution(numbers=numbers, categories=categories, score=score, cpu_s=cpu_s))
            yield Block(
                table=answered.select(found),
                executions=tuple(executions),
                failed=len(table) - len(answered),
                unmatched=int((~found).sum()),
            )


def _score(
    pool: Executor, scorer: Scorer, numbers: NDArray[np.float64], categories: NDArray[np.object_]
) -> tuple[NDArray[np.float64], float]:
    def batch(start: int) -> tuple[NDArray[np.float64], float]:
        began = time.thread_time()
        score = scorer.score(numbers[start : start + BATCH], categories[start : start + BATCH])
        return score, time.thread_time() - began

    done = list(pool.map(batch, range(0, len(numbers), BATCH)))
    return np.concatenate([score for score, _ in done] or [np.empty(0)]), sum(cpu_s for _, cpu_s in done)


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made while the one before it is worked on."""
    waiting = iter(items)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, waiting, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, waiting, None)
            yield item
