"""The data plane, whatever the transport: requests of one turn of the event loop become one batch per version.

No timer holds a request back. All requests that were read in one turn are executed at its end: alone when there is one,
together when there are many, so that batches form under load and only then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from seakeep.errors import NotFoundError, SeakeepError, UnavailableError
from seakeep.records.prediction import Role
from seakeep.serving import deadline
from seakeep.serving.batch import Batch, BatchRunner
from seakeep.serving.errors import InternalError
from seakeep.serving.inference import Call, Part
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.recording import Recording
from seakeep.serving.routing import Traffic
from seakeep.serving.shadow import Shadow

TICK_ROWS = 4096
"""Rows executed between two looks at the sockets."""
MAX_WAITING = 16 * TICK_ROWS
"""Rows that may wait in a worker; more are answered 503."""

_log = logging.getLogger("seakeep.serving")


class Dataplane:
    """Answers calls.

    Parameters
    ----------
    runner, recording, shadow
        Execute, record, and score in the shadow.
    defer
        Calls a function at the end of this turn of the event loop: its ``call_soon``.
    max_in_flight
        Calls held at once; more are refused.
    deadlines
        Of calls that bring none.

    Attributes
    ----------
    traffic
        By model; None for a model of which no version is loaded yet. Replaced as a whole, never changed.
    in_flight
        Calls taken and not yet answered.
    """

    def __init__(
        self,
        runner: BatchRunner,
        recording: Recording,
        shadow: Shadow,
        *,
        defer: Callable[[Callable[[], None]], object],
        max_in_flight: int,
        deadlines: deadline.Deadlines | None = None,
    ) -> None:
        self._runner, self._recording, self._shadow = runner, recording, shadow
        self._defer, self._max_in_flight = defer, max_in_flight
        self._deadlines = deadlines if deadlines and deadlines.any else None
        self.traffic: Mapping[str, Traffic | None] = {}
        self.in_flight = 0
        self._calls: list[Call] = []
        self._rows = 0
        self._scheduled = False

    def traffic_of(self, model: str) -> Traffic:
        """How a model's requests are shared out.

        Raises
        ------
        NotFoundError
            There is no such model.
        UnavailableError
            None of its versions is loaded.
        """
        traffic = self.traffic.get(model)
        if traffic is None:
            if model in self.traffic:
                raise UnavailableError(f"model {model!r} is not loaded yet", hint="try again in a moment")
            known = ", ".join(sorted(self.traffic)) or "none"
            raise NotFoundError(f"there is no model {model!r} here", hint=f"models served: {known}")
        return traffic

    def version_of(self, model: str, number: int) -> LoadedVersion:
        """A loaded version that takes part in answering.

        Raises
        ------
        NotFoundError
            There is none of that number.
        UnavailableError
            No version of the model is loaded.
        """
        traffic = self.traffic_of(model)
        version = traffic.version(number)
        if version is None:
            loaded = ", ".join(str(one.number) for one in traffic.versions)
            message = f"version {number} of {model!r} is not loaded"
            raise NotFoundError(message, hint=f"loaded: {loaded}")
        return version

    def submit(self, call: Call) -> None:
        """Take a call; its ``reply`` is called when it is answered.

        Raises
        ------
        UnavailableError
            Too many calls or rows are in flight.
        """
        if self.in_flight >= self._max_in_flight or self._rows + call.size > MAX_WAITING:
            raise UnavailableError("too many requests are in flight", hint="send them more slowly, or add workers")
        if self._deadlines and call.deadline_s is None:
            call.deadline_s = self._deadlines.of(call.model, call.arrived_s)
        self.in_flight += 1
        self._rows += call.size
        self._calls.append(call)
        if not self._scheduled:
            self._scheduled = True
            self._defer(self._tick)

    def _tick(self) -> None:
        calls: list[Call] = []
        rows = 0
        while rows < TICK_ROWS and len(calls) < len(self._calls):
            calls.append(self._calls[len(calls)])
            rows += calls[-1].size
        del self._calls[: len(calls)]
        self._rows -= rows
        self._scheduled = bool(self._calls)
        if self._scheduled:
            self._defer(self._tick)
        self._execute(calls)

    def _execute(self, calls: list[Call]) -> None:
        groups: dict[tuple[int, bool], list[Part]] = {}
        for call in calls:
            for part in self._parts(call):
                groups.setdefault((id(part.version), call.direct is None), []).append(part)
        batches = [batch for parts in groups.values() for batch in self._runner.run(parts[0].version, parts)]
        for batch in batches:
            self._recording.number(batch)
            _hand_out(batch)
        for call in calls:
            self.in_flight -= 1
            try:
                call.reply(call)
            except Exception:  # noqa: BLE001 -- the request border
                _log.exception("an answer could not be sent")
        done_s = time.perf_counter()
        for batch in batches:
            self._finish(batch, done_s)

    def _finish(self, batch: Batch, done_s: float) -> None:
        try:
            self._recording.answered(batch, done_s)
            traffic = self.traffic.get(batch.version.model)
            other = traffic.shadow_of(batch.version) if traffic else None
            if other:
                self._shadow.offer(batch, other)
        except Exception:  # noqa: BLE001 -- the request border: the answers are out; a record that cannot be made is a fault of ours
            _log.exception("a batch of %s:%s was not recorded", batch.version.model, batch.version.number)

    def _parts(self, call: Call) -> list[Part]:
        """The rows of a call by the version that answers them; none if it fails at once."""
        try:
            deadline.check(call.deadline_s)
            if call.version:
                return [Part(call, call.version, call.role)]
            traffic = self.traffic_of(call.model)
            if traffic.split:
                return _split(call, traffic)
            version, role = traffic.choose("")
            return [Part(call, version, role)]
        except SeakeepError as error:
            call.error = error
        except Exception:  # noqa: BLE001 -- the request border
            _log.exception("a request to %s could not be routed", call.model)
            call.error = InternalError("a fault in the server")
        self._recording.unrouted(call.error.code)
        return []


def _split(call: Call, traffic: Traffic) -> list[Part]:
    """Rows by the version that their keys choose."""
    chosen: dict[Role, tuple[LoadedVersion, list[int]]] = {}
    for position, row in enumerate(call.rows):
        version, role = traffic.choose(traffic.champion.key_of(row))
        chosen.setdefault(role, (version, []))[1].append(position)
    if len(chosen) == 1:
        ((role, (version, _)),) = chosen.items()
        return [Part(call, version, role)]
    return [Part(call, version, role, positions) for role, (version, positions) in chosen.items()]


def _hand_out(batch: Batch) -> None:
    """Give each call the answers to its rows."""
    start = 0
    for part in batch.parts:
        answers = batch.answers[start : start + part.size]
        start += part.size
        call = part.call
        if call.error:
            continue
        if part.positions is None:
            call.answers = answers
            continue
        if not call.answers:
            call.answers = [answers[0]] * call.size
        for position, answer in zip(part.positions, answers, strict=True):
            call.answers[position] = answer
