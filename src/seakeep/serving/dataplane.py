"""The data plane, whatever the transport: requests of one turn of the event loop become one batch per version.

No timer holds a request back. All requests that were read in one turn are executed at its end: alone when there is one,
together when there are many, so that batches form under load and only then. A model that would hold the event loop works
apart: all that came while a batch was executed is its next one.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping

from seakeep.config import ServingSettings
from seakeep.errors import NotFoundError, SeakeepError, UnavailableError
from seakeep.records.prediction import Role
from seakeep.serving import deadline
from seakeep.serving.admission import TICK_S, Queue
from seakeep.serving.apart import Apart
from seakeep.serving.batch import Batch, BatchRunner
from seakeep.serving.errors import InternalError
from seakeep.serving.inference import Call, Part
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.recording import Recording
from seakeep.serving.routing import Traffic
from seakeep.serving.shadow import Shadow
from seakeep.serving.terms import Terms

REFUSING_S = TICK_S / 8
"""How long calls are turned away before those that wait get a turn."""

_log = logging.getLogger("seakeep.serving")


class Dataplane:
    """Answers calls.

    Parameters
    ----------
    runner, recording, shadow
        Execute, record, and score in the shadow.
    defer
        Calls a function at the end of this turn of the event loop: its ``call_soon``.
    settings
        How many calls are held at once, and how long they may be expected to wait.
    terms
        What the settings add to calls.
    apart
        Where models work that would hold the event loop; None: there, all the same.

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
        settings: ServingSettings,
        terms: Terms | None = None,
        apart: Apart | None = None,
    ) -> None:
        self._runner, self._recording, self._shadow = runner, recording, shadow
        self._defer, self._apart, self._terms = defer, apart, terms or None
        self._max_in_flight, self._wait_s = settings.max_in_flight, settings.queue_ms / 1000
        self.traffic: Mapping[str, Traffic | None] = {}
        self.in_flight = 0
        self._queues: dict[str, Queue] = {}
        self._scheduled = False
        self._worked_s = 0.0

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

    def check(self, model: str, rank: int, arrived_s: float) -> None:
        """Turn a request away before it is read; raises as :meth:`submit` does, but for quotas."""
        queue = self._queues.get(model)
        if queue is None:
            return
        try:
            queue.check(rank, arrived_s)
        except UnavailableError:
            # An event loop may read hundreds of sockets between two turns; those who wait must not wait for all of them.
            if time.perf_counter() - self._worked_s > REFUSING_S:
                self._tick()
            raise

    def submit(self, call: Call) -> None:
        """Take a call; its ``reply`` is called when it is answered.

        Raises
        ------
        QuotaError
            Its key has used up what it may ask for.
        UnavailableError
            It would wait too long, or too many calls or rows are in flight.
        """
        if self._terms:
            self._terms.settle(call)
        queue = self._queues.get(call.model)
        if queue is None:
            queue = self._queues[call.model] = Queue(self._wait_s)
        queue.check(call.rank, call.parsed_s, call.deadline_s, call.size)
        if self._terms:
            self._terms.spend(call)
        self._make_room(queue, call)
        self.in_flight += 1
        queue.add(call)
        if queue.busy:
            if self._apart and call.deadline_s is not None:
                self._apart.after(call.deadline_s - call.parsed_s, self._schedule)
        elif not self._scheduled:
            self._schedule()

    def _make_room(self, queue: Queue, call: Call) -> None:
        """Turn away waiting calls of lower classes while there is no room."""
        while self.in_flight >= self._max_in_flight or not queue.has_room(call.size):
            others = [queue] if not queue.has_room(call.size) else [queue, *self._queues.values()]
            other = next(filter(None, (one.displace(call.rank) for one in others)), None)
            if other is None:
                raise queue.full(call.size, call.parsed_s)
            other.error = queue.full(other.size, call.parsed_s)
            self._unrouted(other)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._defer(self._due)

    def _due(self) -> None:
        self._scheduled = False
        self._tick()

    def _tick(self) -> None:
        """One turn: of each model's calls as many as it may take."""
        self._worked_s = time.perf_counter()
        for queue in list(self._queues.values()):
            if not len(queue):
                continue
            began_s = time.perf_counter()
            for call in queue.overdue(began_s):
                call.error = deadline.over()
                self._unrouted(call)
            if queue.busy:
                continue
            self._execute(queue, queue.take(), began_s)
            if len(queue) and not queue.busy:
                self._schedule()

    def _execute(self, queue: Queue, calls: list[Call], began_s: float) -> None:
        groups: dict[tuple[int, bool], list[Part]] = {}
        for call in calls:
            for part in self._parts(call):
                groups.setdefault((id(part.version), call.direct is None), []).append(part)
        rows = sum([call.size for call in calls])
        work = functools.partial(self._run, list(groups.values()))
        if self._apart and groups and queue.apart(rows):
            queue.busy = True
            self._watch(calls)
            self._apart.run(calls[0].model, work, functools.partial(self._returned, queue, calls, began_s))
            return
        cpu_s = time.thread_time()
        batches, _ = work()
        self._settle(calls, batches)
        self._worked_s = time.perf_counter()
        queue.worked(rows, time.thread_time() - cpu_s, began_s, self._worked_s)

    def _run(self, groups: list[list[Part]]) -> tuple[list[Batch], float]:
        """Batches, and the processor seconds that they took."""
        began_s = time.thread_time()
        batches = [batch for parts in groups for batch in self._runner.run(parts[0].version, parts)]
        return batches, time.thread_time() - began_s

    def _returned(self, queue: Queue, calls: list[Call], began_s: float, done: tuple[list[Batch], float]) -> None:
        """Batches that were executed apart are back."""
        queue.busy = False
        batches, cpu_s = done
        self._settle(calls, batches)
        queue.worked(sum([call.size for call in calls]), cpu_s, began_s, time.perf_counter())
        if len(queue):
            self._schedule()

    def _watch(self, calls: list[Call]) -> None:
        """Tell those whose time is over while their batch is executed apart."""
        timed = [call for call in calls if call.deadline_s is not None and not call.answered]
        if not timed or not self._apart:
            return
        now_s = time.perf_counter()
        for call in timed:
            if call.deadline_s is not None and call.deadline_s <= now_s:
                call.error = deadline.over()
                self._reply(call)
        waiting = [call.deadline_s for call in timed if call.deadline_s is not None and call.deadline_s > now_s]
        if waiting:
            self._apart.after(min(waiting) - now_s, functools.partial(self._watch, timed))

    def _settle(self, calls: list[Call], batches: list[Batch]) -> None:
        """Hand out what was computed, and record it."""
        for batch in batches:
            self._recording.number(batch)
            _hand_out(batch)
        for call in calls:
            self._reply(call)
        done_s = time.perf_counter()
        for batch in batches:
            self._finish(batch, done_s)

    def _unrouted(self, call: Call) -> None:
        """Answer a call that reached no version."""
        if call.error:
            self._recording.unrouted(call.error.code)
        self._reply(call)

    def _reply(self, call: Call) -> None:
        if call.answered:
            return
        call.answered = True
        self.in_flight -= 1
        try:
            call.reply(call)
        except Exception:  # noqa: BLE001 -- the request border
            _log.exception("an answer could not be sent")

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
