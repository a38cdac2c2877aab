"""Answers the requests of one tick that go to one version together: decode, assemble, score.

Together means once for all rows; the answer to a row does not depend on what it is batched with. If anything fails, the halves
are tried, and theirs, so that only the request at fault fails; but where the store of features does not answer, it is not asked
again for each.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from typing import Literal as OneOf

import msgspec
import numpy as np

from seakeep.clock import Clock, Ids
from seakeep.errors import FeaturesError, RowError, SeakeepError, ServingError
from seakeep.serving.cache import Kept
from seakeep.serving.errors import InternalError
from seakeep.serving.inference import Inputs, Part, rung_of
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.ports import Assembled, DecodedRows, FeatureSource
from seakeep.serving.v1 import Answer, ClassAnswer, RowAnswer, ValueAnswer, check_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

ClockMode = OneOf["wall", "request"]

_log = logging.getLogger("seakeep.serving")


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Batch:
    """Parts that were executed together.

    Attributes
    ----------
    inputs
        Of all rows; None if the one part of this batch failed before it had any.
    answers
        Of all rows, in the order of the parts; those of a part that failed reach no client.
    started_s
        ``time.perf_counter()`` when it left the queue.
    sequence
        The recorder's number for the record of the first row; those of the others follow.
    due
        So many records were numbered and are not made yet.
    recorded_s, record_us
        ``time.perf_counter()`` when its records were made, and how long it took, microseconds.
    """

    version: LoadedVersion
    parts: list[Part]
    inputs: Inputs | None
    answers: list[Answer]
    started_s: float
    model_us: float = 0.0
    sequence: int = 0
    due: int = 0
    recorded_s: float = 0.0
    record_us: float = 0.0


class BatchRunner:
    """Executes batches.

    Parameters
    ----------
    features
        Where inputs are looked up.
    clock, ids
        The present moment; identifiers of predictions.
    mode
        ``wall``: rows speak for the present moment and may not name another. ``request``: each row names its own.
    """

    def __init__(self, features: FeatureSource, *, clock: Clock, ids: Ids, mode: ClockMode) -> None:
        self._features, self._clock, self._ids, self._mode = features, clock, ids, mode
        self._looking: dict[int, float] = {}

    def run(self, version: LoadedVersion, parts: list[Part]) -> list[Batch]:
        """Execute the parts of calls to a version; a part that fails has an ``error``."""
        started_s = time.perf_counter()
        try:
            return [self._execute(version, parts, started_s)]
        except Exception as error:  # noqa: BLE001 -- the request border
            if len(parts) > 1 and not _of_store(error):
                middle = len(parts) // 2
                return self.run(version, parts[:middle]) + self.run(version, parts[middle:])
            told = self._told(error, parts[0])
            return [self.failed(part, told, started_s) for part in parts]

    def failed(self, part: Part, error: SeakeepError, started_s: float) -> Batch:
        """A part that could not be executed."""
        part.error = error
        answers: list[Answer] = [self._unanswered(part.version, key) for key in _keys(part.version, part)]
        return Batch(version=part.version, parts=[part], inputs=part.call.direct, answers=answers, started_s=started_s)

    def looks_up_from(self, since_s: float) -> None:
        """Let the next lookup of this thread count from an earlier moment (``time.perf_counter()``) than its own."""
        self._looking[threading.get_ident()] = since_s

    def looked_up(self) -> None:
        """Tell that this thread looks nothing up."""
        self._looking.pop(threading.get_ident(), None)

    def looking_since(self, thread: int) -> float | None:
        """Since when (``time.perf_counter()``) a thread has been looking features up; None: it does not."""
        return self._looking.get(thread)

    def inputs(self, version: LoadedVersion, rows: Sequence[msgspec.Raw], times_us: list[int] | None = None) -> Inputs:
        """Decode rows and look their features up.

        Parameters
        ----------
        times_us
            The rows' moments if they are known already, as in the shadow.
        """
        began_s = time.perf_counter()
        decoded = self._decoded(version, rows)
        moments = self._moments(version, decoded, times_us)
        decoded_s = time.perf_counter()
        self._looking.setdefault(threading.get_ident(), decoded_s)
        try:
            assembled = self._features.assemble(version.definition, decoded.table, moments)
        except SeakeepError:
            raise
        except Exception as error:  # a store raises its own unrelated types
            raise FeaturesError("the features cannot be looked up", hint="try again in a moment") from error
        finally:
            self.looked_up()
        return _inputs(decoded, moments, assembled, began_s, decoded_s)

    def recalled(self, parts: list[Part], most_age_s: float) -> Batch:
        """Answers with features as they were last known; raises FeaturesError where they are not.

        Parameters
        ----------
        parts
            Of one version, with rows.
        most_age_s
            How old they may be.
        """
        version, started_s = parts[0].version, time.perf_counter()
        decoded = self._decoded(version, _rows(parts))
        moments = self._moments(version, decoded, None)
        decoded_s = time.perf_counter()
        assembled = self._features.recall(version.definition, decoded.table, moments, most_age_s)
        inputs = _inputs(decoded, moments, assembled, started_s, decoded_s)
        return self._scored(version, parts, inputs, started_s)

    def ruled(self, parts: list[Part]) -> Batch:
        """Answers of a version's rule; its model has no inputs then."""
        version, started_s = parts[0].version, time.perf_counter()
        decoded = self._decoded(version, _rows(parts))
        moments = self._moments(version, decoded, None)
        if version.rule is None:
            raise ServingError(f"{version.model}:{version.number} has no rule", hint="declare one: sk.Model(rule=...)")
        count = len(moments)
        scores = np.broadcast_to(np.asarray(version.rule(decoded.table), dtype=np.float64), (count,))
        inputs = Inputs(
            numbers=np.empty((count, 0)),
            categories=np.empty((count, 0), dtype=object),
            keys=decoded.keys,
            times_us=moments.tolist(),
            raw=decoded.raw,
            view_times_us=[[]] * count,
            unknown=[()] * count,
        )
        _check_scores(version, parts, scores)
        return self._batch(version, parts, inputs, scores, started_s)

    def again(self, part: Part, kept: Kept) -> Batch:
        """Earlier answers to the same request, under ids of their own."""
        part.instead_of = [answer.id for answer in kept.answers]
        answers: list[Answer] = [
            msgspec.structs.replace(one, id=self._ids.new(), rung="cached") for one in kept.answers
        ]
        started_s = time.perf_counter()
        return Batch(version=part.version, parts=[part], inputs=kept.inputs, answers=answers, started_s=started_s)

    @staticmethod
    def _decoded(version: LoadedVersion, rows: Sequence[msgspec.Raw]) -> DecodedRows:
        joined = b"[%b]" % b",".join(rows)
        decoded = version.decoder.decode(joined)
        check_rows(joined, decoded.raw)
        return decoded

    def _execute(self, version: LoadedVersion, parts: list[Part], started_s: float) -> Batch:
        if parts[0].role == "rule":
            return self.ruled(parts)
        inputs = _joined(parts) if parts[0].call.direct else self.inputs(version, _rows(parts))
        return self._scored(version, parts, inputs, started_s)

    def _scored(self, version: LoadedVersion, parts: list[Part], inputs: Inputs, started_s: float) -> Batch:
        began_s = time.perf_counter()
        scores = version.score(inputs.numbers, inputs.categories)
        model_us = (time.perf_counter() - began_s) * 1e6
        _check_scores(version, parts, scores)
        batch = self._batch(version, parts, inputs, scores, started_s)
        batch.model_us = model_us
        return batch

    def _batch(
        self, version: LoadedVersion, parts: list[Part], inputs: Inputs, scores: NDArray[np.float64], started_s: float
    ) -> Batch:
        number = version.number
        rung, fresh = rung_of(parts[0].role), self._ids.several(len(scores))
        answers: list[Answer]
        if version.outputs.yes_or_no:
            decisions = (scores >= version.threshold).tolist()
            columns = zip(fresh, inputs.keys, scores.tolist(), decisions, inputs.unknown, strict=True)
            answers = [
                RowAnswer(id_, key, score, decision, number, unknown, rung)
                for id_, key, score, decision, unknown in columns
            ]
        elif version.outputs.of_classes:
            named = zip(fresh, inputs.keys, by_class(version.outputs.names, scores), inputs.unknown, strict=True)
            answers = [ClassAnswer(id_, key, *told, number, unknown, rung) for id_, key, told, unknown in named]
        else:
            answers = [
                ValueAnswer(id_, key, value, number, unknown, rung)
                for id_, key, value, unknown in zip(fresh, inputs.keys, scores.tolist(), inputs.unknown, strict=True)
            ]
        return Batch(version=version, parts=parts, inputs=inputs, answers=answers, started_s=started_s)

    def _unanswered(self, version: LoadedVersion, key: str) -> RowAnswer:
        return RowAnswer(self._ids.new(), key, math.nan, False, version.number, ())  # noqa: FBT003 -- a struct

    def _told(self, error: Exception, part: Part) -> SeakeepError:
        """The error as the client of a part is told: with its own count of rows, and nothing of our insides."""
        if not isinstance(error, SeakeepError):
            _log.error("a request to %s:%s failed", part.version.model, part.version.number, exc_info=error)
            return InternalError("a fault in the server")
        if isinstance(error, FeaturesError) and error.__cause__:
            _log.error("features of %s:%s cannot be looked up", part.version.model, part.version.number, exc_info=error)
        if isinstance(error, RowError) and part.positions is not None:
            try:
                self.inputs(part.version, part.call.rows)
            except RowError as whole:
                return whole
            except Exception:  # noqa: BLE001 -- it is looked at again for its wording alone
                return error
        return error

    def _moments(self, version: LoadedVersion, decoded: DecodedRows, times_us: list[int] | None) -> NDArray[np.int64]:
        column = version.definition.request.time
        given = decoded.times_us
        if self._mode == "request":
            if not given.all():
                row = int(np.flatnonzero(given == 0)[0])
                message = f"row {row} has no {column!r}, the moment to predict for"
                raise RowError(message, row=row, column=column, hint="send it, or serve with clock = 'wall'")
            return given
        if given.any():
            row = int(np.flatnonzero(given)[0])
            message = f"row {row} names its own {column!r}, but predictions are made for the present moment"
            raise RowError(message, row=row, column=column, hint="leave it out, or serve with clock = 'request'")
        moments = np.full(len(given), self._clock.now_us(), dtype=np.int64) if times_us is None else np.array(times_us)
        if column in decoded.table:
            decoded.table[column] = moments.view("datetime64[us]")
        return moments


def _inputs(
    decoded: DecodedRows, moments: NDArray[np.int64], assembled: Assembled, began_s: float, decoded_s: float
) -> Inputs:
    return Inputs(
        numbers=assembled.numbers,
        categories=assembled.categories,
        keys=decoded.keys,
        times_us=moments.tolist(),
        raw=decoded.raw,
        view_times_us=assembled.view_times_us.tolist(),
        unknown=[tuple(views) for views in assembled.unknown],
        decode_us=(decoded_s - began_s) * 1e6,
        features_us=(time.perf_counter() - decoded_s) * 1e6,
    )


def _of_store(error: Exception) -> bool:
    """Whether the store of features is at fault, whoever asks it: it says so itself, or the system does."""
    return isinstance(error, FeaturesError) and (error.__cause__ is None or isinstance(error.__cause__, OSError))


def _keys(version: LoadedVersion, part: Part) -> list[str]:
    """Keys of the rows of a part that failed, ``""`` where a row cannot be read."""
    if part.call.direct:
        return part.call.direct.keys
    keys = []
    for row in part.rows:
        try:
            keys.append(version.key_of(row))
        except RowError:
            keys.append("")
    return keys


def _rows(parts: list[Part]) -> list[msgspec.Raw]:
    return parts[0].rows if len(parts) == 1 else [row for part in parts for row in part.rows]


def _joined(parts: list[Part]) -> Inputs:
    """The inputs of parts whose clients sent them."""
    given = [part.call.direct for part in parts if part.call.direct]
    if len(given) == 1:
        return given[0]

    def chain(name: str) -> list[Any]:
        return [value for one in given for value in getattr(one, name)]

    return Inputs(
        numbers=np.concatenate([one.numbers for one in given]),
        categories=np.concatenate([one.categories for one in given]),
        keys=chain("keys"),
        times_us=chain("times_us"),
        raw=chain("raw"),
        view_times_us=chain("view_times_us"),
        unknown=chain("unknown"),
    )


def _check_scores(version: LoadedVersion, parts: list[Part], scores: NDArray[np.float64]) -> None:
    """A score that is no number is no answer; the request that it belongs to fails."""
    if np.isfinite(scores).all():
        return
    start = 0
    for part in parts:
        if not np.isfinite(scores[start : start + part.size]).all():
            message = f"the model of {version.model}:{version.number} gave no finite score"
            part.error = ServingError(message, hint="look at the recorded inputs")
        start += part.size


def by_class(names: tuple[str, ...], scores: NDArray[np.float64]) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Of each row of probabilities ``(n, classes)`` the class it answers with, its probability, and all by name."""
    for place, row in zip(np.argmax(scores, axis=1).tolist(), scores.tolist(), strict=True):
        yield names[place], row[place], dict(zip(names, row, strict=True))


def failures(batch: Batch) -> list[tuple[Part, list[str]]]:
    """The parts that failed, each with the ids of its answers."""
    failed: list[tuple[Part, list[str]]] = []
    start = 0
    for part in batch.parts:
        if part.error:
            failed.append((part, [answer.id for answer in batch.answers[start : start + part.size]]))
        start += part.size
    return failed


def hand_out(batch: Batch) -> None:
    """Give each call the answers to its rows; a part that failed and that nothing stood in for fails its call."""
    start = 0
    for part in batch.parts:
        answers = batch.answers[start : start + part.size]
        start += part.size
        call = part.call
        if part.error and not part.stood_in:
            call.error = call.error or part.error
        if part.error or call.error:
            continue
        if part.positions is None:
            call.answers = answers
            continue
        if not call.answers:
            call.answers = [answers[0]] * call.size
        for position, answer in zip(part.positions, answers, strict=True):
            call.answers[position] = answer
