"""Takes events in: recorded durably first, then applied to the features, then acknowledged."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

import msgspec

from seakeep.clock import Clock, Ids
from seakeep.errors import NotFoundError, RecorderError, RowError, SeakeepError, UnavailableError
from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import Cell, EventBatch
from seakeep.records.source import Events
from seakeep.serving.errors import InternalError, RequestError
from seakeep.serving.ports import EventDecoder, EventDecoders, FeatureSource, RecordSink
from seakeep.serving.v1 import EventsAnswer, check_rows

_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_log = logging.getLogger("seakeep.serving")


@dataclasses.dataclass(frozen=True, slots=True)
class Intake:
    """One source whose events are taken."""

    source: Events
    decoder: EventDecoder


@dataclasses.dataclass(frozen=True, slots=True)
class _Waiting:
    batch: EventBatch
    rows: int
    reply: Callable[[EventsAnswer | SeakeepError], None]


class Ingest:
    """Takes batches of events.

    All batches that arrive while one commit runs share the next. Acknowledged means durable and seen by later
    predictions. A client that got no answer sends the batch again under the same idempotency key: it counts once.

    Parameters
    ----------
    sink
        The recorder's pen for events.
    features
        What the events are applied to.
    executor
        Threads that may block on the disk.
    max_waiting
        Batches held at once; more are refused.

    Attributes
    ----------
    intakes
        By name of the source. Replaced as a whole, never changed.
    """

    def __init__(
        self,
        sink: RecordSink,
        features: FeatureSource,
        executor: Executor,
        *,
        clock: Clock,
        ids: Ids,
        max_waiting: int,
    ) -> None:
        self._sink, self._features, self._executor = sink, features, executor
        self._clock, self._ids, self._max_waiting = clock, ids, max_waiting
        self.intakes: Mapping[str, Intake] = {}
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self.in_flight = 0

    def check(self, source: str) -> None:
        """Raise NotFoundError if no events of that source are taken."""
        if source not in self.intakes:
            known = ", ".join(sorted(self.intakes)) or "none"
            raise NotFoundError(f"no events of {source!r} are taken here", hint=f"sources: {known}")

    def submit(
        self, source: str, rows: list[msgspec.Raw], key: str, reply: Callable[[EventsAnswer | SeakeepError], None]
    ) -> None:
        """Take a batch; ``reply`` is called with the outcome.

        Parameters
        ----------
        key
            Idempotency key of the batch, or ``""``.

        Raises
        ------
        SeakeepError
            It is not taken.
        """
        self.check(source)
        if self.in_flight >= self._max_waiting:
            raise UnavailableError("too many batches of events are in flight", hint="send them more slowly")
        if key and not _KEY.fullmatch(key):
            raise RequestError(400, "the idempotency key must be 1 to 200 visible ASCII characters")
        columns = self._decode(self.intakes[source], rows)
        batch = EventBatch(
            sequence=self._sink.next_sequence(),
            batch=key or self._ids.new(),
            source=source,
            recorded_us=self._clock.now_us(),
            columns=columns,
        )
        if not self._sink.append(batch):
            raise RecorderError("the recorder has no room for a batch of events", hint="send it again later")
        self.in_flight += 1
        self._waiting.append(_Waiting(batch, len(rows), reply))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    @staticmethod
    def _decode(intake: Intake, rows: list[msgspec.Raw]) -> dict[str, list[Cell]]:
        joined = b"[%b]" % b",".join(rows)
        columns = intake.decoder.decode(joined)
        check_rows(joined, msgspec.json.decode(joined))
        time = intake.source.time
        if None in columns[time]:
            row = columns[time].index(None)
            message = f"row {row} has no {time!r}"
            raise RowError(message, row=row, column=time, hint="an event needs its time")
        return columns

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batches, self._waiting = self._waiting, []
                try:
                    outcomes = await loop.run_in_executor(self._executor, self._settle, batches)
                except RuntimeError:  # no thread can be started at present
                    _log.exception("events could not be recorded")
                    outcomes = [InternalError("a fault in the server")] * len(batches)
                for batch, outcome in zip(batches, outcomes, strict=True):
                    self.in_flight -= 1
                    _tell(batch, outcome)
        finally:
            self._task = None

    def _settle(self, batches: list[_Waiting]) -> list[EventsAnswer | SeakeepError]:
        """Make batches durable and apply them; in a thread."""
        try:
            self._sink.commit()
        except SeakeepError as error:
            _log.exception("events could not be recorded")
            return [error] * len(batches)
        except Exception:  # noqa: BLE001 -- the job border
            _log.exception("events could not be recorded")
            return [InternalError("a fault in the server")] * len(batches)
        return [self._apply(batch) for batch in batches]

    def _apply(self, one: _Waiting) -> EventsAnswer | SeakeepError:
        try:
            fresh = self._features.ingest(one.batch.source, one.batch.columns, one.batch.batch)
        except SeakeepError as error:
            _log.exception("events of %s were recorded but not applied", one.batch.source)
            return error
        except Exception:  # noqa: BLE001 -- the job border
            _log.exception("events of %s were recorded but not applied", one.batch.source)
            return InternalError("a fault in the server")
        return EventsAnswer(accepted=one.rows, duplicate=not fresh)


def _tell(batch: _Waiting, outcome: EventsAnswer | SeakeepError) -> None:
    try:
        batch.reply(outcome)
    except Exception:  # noqa: BLE001 -- the job border: the other batches are told
        _log.exception("what became of a batch of events could not be told")


def intakes_of(definitions: list[ModelDefinition], decoders: EventDecoders) -> dict[str, Intake]:
    """The sources that definitions read: those of their views and of their labels; later definitions count."""
    found: dict[str, Intake] = {}
    for definition in definitions:
        for source in (*(view.source for view in definition.views), definition.label.source):
            schema = definition.schemas.get(source.name)
            if schema:
                found[source.name] = Intake(source, decoders(source, schema))
    return found
