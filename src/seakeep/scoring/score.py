"""Rows of files through a loaded version, by the very code that answers requests.

Each row is written as the JSON object that a client would send, and goes through the data plane's runner: the same decoder,
features, model and words. Rows are given to it together; where some are refused, the halves are tried, and theirs, so that
each row has the answer, or the error, that it would have had as a request of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from seakeep.errors import DataError, UnavailableError
from seakeep.records.outputs import Outputs
from seakeep.records.scoring import Scored, ScoringPlan
from seakeep.scoring.forms import Held
from seakeep.scoring.inputs import Inputs, Row, kept_type, request_columns
from seakeep.scoring.output import Answers, Output
from seakeep.serving.batch import Batch, BatchRunner
from seakeep.serving.errors import ErrorBody, told
from seakeep.serving.inference import Call, Part
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.v1 import Answer, ClassAnswer

BLOCK = 2048
"""Rows that are read and answered at once."""

Progress = Callable[[int, int], None]
"""Is told how many rows are done, and of how many."""


class Answerer:
    """Answers rows as the service would; what cannot be answered at present, by any request, ends the job.

    Parameters
    ----------
    runner
        Of the mode and the moment that the rows speak for.
    """

    def __init__(self, version: LoadedVersion, runner: BatchRunner) -> None:
        self.version, self._runner = version, runner

    def answer(self, sent: Sequence[msgspec.Raw]) -> list[tuple[Answer, ErrorBody | None]]:
        """The answer to each row, beside what a client would be told in its place.

        Raises
        ------
        UnavailableError
            The features cannot be looked up.
        """
        batch, part = self._run(list(sent))
        if part.error is None:
            return [(answer, None) for answer in batch.answers]
        if isinstance(part.error, UnavailableError):
            raise part.error
        if len(sent) == 1:
            return [(batch.answers[0], told(part.error))]
        middle = len(sent) // 2
        return self.answer(sent[:middle]) + self.answer(sent[middle:])

    def _run(self, sent: list[msgspec.Raw]) -> tuple[Batch, Part]:
        call = Call(
            model=self.version.model, principal="", reply=lambda _call: None, arrived_s=0.0, parsed_s=0.0, rows=sent
        )
        part = Part(call, self.version, "champion")
        (batch,) = self._runner.run(self.version, [part])
        return batch, part


def score(
    plan: ScoringPlan,
    files: Sequence[Held],
    inputs: Inputs,
    output: Output,
    answerer: Answerer,
    *,
    each_part: Callable[[], None],
    on_progress: Progress,
) -> Scored:
    """Do what is left of a job.

    Parameters
    ----------
    files
        What the plan's inputs hold, in the same order.
    each_part
        Called before each part.

    Raises
    ------
    DataError
        An input cannot be read, or changed.
    PlatformError
        The output cannot be written.
    UnavailableError
        The features cannot be looked up.
    """
    done = sum(part.rows for part in output.parts)
    last = output.parts[-1] if output.parts else None
    first, start = (last.input, last.from_row + last.rows) if last else (0, 0)
    columns = request_columns(answerer.version.definition)
    on_progress(done, plan.rows)
    for place in range(first, len(plan.inputs)):
        file, what = plan.inputs[place], files[place]
        at, start = start, 0
        with inputs.rows(file, what, columns, plan.keep, start=at) as take:
            while at < file.rows:
                each_part()
                gathering = _Gathering(answerer, plan, what)
                while gathering.rows < plan.part_rows and (block := take(min(BLOCK, plan.part_rows - gathering.rows))):
                    gathering.add(block)
                    done += len(block)
                    on_progress(done, plan.rows)
                output.add((place, at), plan, gathering.answers())
                at += gathering.rows
            take(1)  # a file that has grown is told too
    if not output.parts:
        output.add((0, 0), plan, _Gathering(answerer, plan, files[0]).answers())
    return output.finish(plan)


def answers_by_column(outputs: Outputs, found: Sequence[Answer]) -> dict[str, Any]:
    """Answers as columns, under the names that they have over HTTP; a refused row has anything.

    Returns
    -------
    dict
        Of a probability ``score`` and ``decision``; of a number ``value``; of classes ``class``, ``probability`` and
        ``probabilities``, which holds by name what each class has.
    """
    scores = np.array([answer.score for answer in found], dtype=np.float64)
    if outputs.yes_or_no:
        return {"score": scores, "decision": np.array([answer.decision for answer in found], dtype=np.bool_)}
    if not outputs.of_classes:
        return {"value": scores}
    told = [answer if isinstance(answer, ClassAnswer) else None for answer in found]
    classes = np.empty(len(told), dtype=object)
    classes[:] = [answer and answer.answer for answer in told]
    of_each = {
        name: np.array([answer.probabilities[name] if answer else np.nan for answer in told], dtype=np.float64)
        for name in outputs.names
    }
    return {"class": classes, "probability": scores, "probabilities": of_each}


def refuse_alike(names: Sequence[str]) -> None:
    """Refuse names of classes of which no columns can be made.

    Raises
    ------
    DataError
        Two differ in nothing but case.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            message = f"the classes {other!r} and {name!r} differ in nothing but case, and fields of a column cannot"
            raise DataError(message, hint="give the classes of the label other names")


class _Gathering:
    """The answers of one part."""

    def __init__(self, answerer: Answerer, plan: ScoringPlan, what: Held) -> None:
        self._answerer, self._plan, self._what = answerer, plan, what
        self._answers: list[tuple[Answer, ErrorBody | None]] = []
        self._kept: list[Row] = []

    @property
    def rows(self) -> int:
        return len(self._answers)

    def add(self, block: Sequence[Row]) -> None:
        self._answers += self._answerer.answer([msgspec.Raw(row[0].encode()) for row in block])
        if self._plan.keep:
            self._kept += block

    def answers(self) -> Answers:
        found = [answer for answer, _ in self._answers]
        kept = {
            name: (kept_type(self._what.types[name]), [row[place] for row in self._kept])
            for place, name in enumerate(self._plan.keep, 1)
        }
        return Answers(
            keys=[answer.key for answer in found],
            given=answers_by_column(self._answerer.version.outputs, found),
            unknown=[msgspec.json.encode(answer.unknown).decode() if answer.unknown else "[]" for answer in found],
            errors=[error.error if error else "" for _, error in self._answers],
            hints=[error.hint if error else "" for _, error in self._answers],
            kept=kept,
        )
