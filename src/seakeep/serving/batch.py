"""Answers the requests of one tick that go to one version together: decode, assemble, score.

Together means once for all rows; the answer to a row does not depend on what it is batched with. If anything fails, each
request is tried alone, so that only the one at fault fails.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from typing import Literal as OneOf

import msgspec
import numpy as np

from seakeep.clock import Clock, Ids
from seakeep.errors import RowError, SeakeepError, ServingError
from seakeep.serving.errors import InternalError
from seakeep.serving.inference import Inputs, Part
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.ports import DecodedRows, FeatureSource
from seakeep.serving.v1 import RowAnswer, check_rows

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
    recorded_s, record_us
        ``time.perf_counter()`` when its records were made, and how long it took, microseconds.
    """

    version: LoadedVersion
    parts: list[Part]
    inputs: Inputs | None
    answers: list[RowAnswer]
    started_s: float
    model_us: float = 0.0
    sequence: int = 0
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

    def run(self, version: LoadedVersion, parts: list[Part]) -> list[Batch]:
        """Execute the parts of calls to a version; a part that fails sets its call's ``error``."""
        started_s = time.perf_counter()
        try:
            return [self._execute(version, parts, started_s)]
        except Exception as error:  # noqa: BLE001 -- the request border
            if len(parts) > 1:
                return [batch for part in parts for batch in self.run(version, [part])]
            parts[0].call.error = self._told(error, parts[0])
            answers = [self._unanswered(version, key) for key in _keys(version, parts[0])]
            return [
                Batch(version=version, parts=parts, inputs=parts[0].call.direct, answers=answers, started_s=started_s)
            ]

    def inputs(self, version: LoadedVersion, rows: Sequence[msgspec.Raw], times_us: list[int] | None = None) -> Inputs:
        """Decode rows and look their features up.

        Parameters
        ----------
        times_us
            The rows' moments if they are known already, as in the shadow.
        """
        began_s = time.perf_counter()
        joined = b"[%b]" % b",".join(rows)
        decoded = version.decoder.decode(joined)
        check_rows(joined, decoded.raw)
        moments = self._moments(version, decoded, times_us)
        decoded_s = time.perf_counter()
        assembled = self._features.assemble(version.definition, decoded.table, moments)
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

    def _execute(self, version: LoadedVersion, parts: list[Part], started_s: float) -> Batch:
        inputs = _joined(parts) if parts[0].call.direct else self.inputs(version, _rows(parts))
        began_s = time.perf_counter()
        scores = version.score(inputs.numbers, inputs.categories)
        model_us = (time.perf_counter() - began_s) * 1e6
        _check_scores(version, parts, scores)
        number, decisions = version.number, (scores >= version.threshold).tolist()
        columns = zip(
            self._ids.several(len(scores)), inputs.keys, scores.tolist(), decisions, inputs.unknown, strict=True
        )
        answers = [
            RowAnswer(fresh, key, score, decision, number, unknown) for fresh, key, score, decision, unknown in columns
        ]
        return Batch(
            version=version, parts=parts, inputs=inputs, answers=answers, started_s=started_s, model_us=model_us
        )

    def _unanswered(self, version: LoadedVersion, key: str) -> RowAnswer:
        return RowAnswer(self._ids.new(), key, math.nan, False, version.number, ())  # noqa: FBT003 -- a struct

    def _told(self, error: Exception, part: Part) -> SeakeepError:
        """The error as the client of a part is told: with its own count of rows, and nothing of our insides."""
        if not isinstance(error, SeakeepError):
            _log.error("a request to %s:%s failed", part.version.model, part.version.number, exc_info=error)
            return InternalError("a fault in the server")
        if isinstance(error, RowError) and part.positions is not None:
            try:
                self.inputs(part.version, part.call.rows)
            except RowError as whole:
                return whole
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
            part.call.error = ServingError(message, hint="look at the recorded inputs")
        start += part.size
