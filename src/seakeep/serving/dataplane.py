"""The data plane, whatever the transport: requests of one turn of the event loop become one batch per version.

No timer holds a request back. All requests that were read in one turn are executed at its end: alone when there is one,
together when there are many, so that batches form under load and only then. Only for a model that was measured to gain by
it do they wait for those of the next turns (:mod:`seakeep.serving.batching`). A model that would hold the event loop works
apart: all that came while a batch was executed is its next one.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence

from seakeep.config import ServingSettings
from seakeep.errors import NotFoundError, SeakeepError, UnavailableError
from seakeep.records.prediction import FULL
from seakeep.serving import deadline
from seakeep.serving.admission import TICK_S, Queue
from seakeep.serving.batch import Batch, BatchRunner, hand_out
from seakeep.serving.batching import ALONE
from seakeep.serving.cache import AnswerCache, Kept, caches_of, key_of
from seakeep.serving.execution import Execution
from seakeep.serving.inference import Call, Part
from seakeep.serving.jobs import Job, fault
from seakeep.serving.ladder import below, declared
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.recording import Recording
from seakeep.serving.routing import Traffic, split
from seakeep.serving.shadow import Shadow
from seakeep.serving.standin import StandIns
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
    observe
        Called with the calls of a turn, and the batches that they were executed in, after they were answered and recorded.

    Attributes
    ----------
    traffic
        By model; None for a model of which no version is loaded yet. Replaced as a whole, never changed.
    in_flight
        Calls taken and not yet answered.
    execution
        Executes what is taken from the queues, on the event loop or apart.
    after
        Calls a function once the answers of this turn are sent, so that recording is not in their way: ``call_soon``, for
        an event loop that sends what was written at the end of a turn. At once, if left alone.
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
        observe: Callable[[Sequence[Call], Sequence[Batch]], None] | None = None,
    ) -> None:
        self._runner, self._recording, self._shadow = runner, recording, shadow
        self._defer, self._terms, self._observe = defer, terms or None, observe
        self._max_in_flight, self._wait_s = settings.max_in_flight, settings.queue_ms / 1000
        self.after: Callable[[Callable[[], None]], object] = operator.call
        self.traffic: Mapping[str, Traffic | None] = {}
        self.in_flight = 0
        self._caches = caches_of(settings)
        self.execution = Execution(
            runner, StandIns(runner, settings), settle=self._settle, reply=self._reply, resume=self._schedule
        )
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
        if queue is None or queue.calm():
            return
        traffic = self.traffic.get(model)
        if model in self._caches or (traffic and traffic.can_degrade):
            return
        try:
            queue.check(rank, arrived_s)
        except UnavailableError:
            # An event loop may read hundreds of sockets between two turns; those who wait must not wait for all of them.
            if time.perf_counter() - self._worked_s > REFUSING_S:
                self.execution.collect()
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
        if self._caches and self._from_cache(call):
            return
        queue = self._queues.get(call.model)
        if queue is None or call.deadline_s is not None or not queue.calm():
            queue = self._queue_for(call)
        crowded = self.in_flight >= self._max_in_flight or not queue.has_room(call.size)
        if crowded:
            self._check_room(queue, call)
        if self._terms:
            self._terms.spend(call)
        if crowded:
            self._make_room(queue, call)
        self.in_flight += 1
        queue.add(call)
        if queue.busy:
            self._set_alarm(queue, call.parsed_s)
        elif not self._scheduled:
            self._schedule()

    def _from_cache(self, call: Call) -> bool:
        """Answer a call with earlier answers to all of its rows, if they are kept."""
        cache = self._caches.get(call.model)
        if cache is None:
            return False
        parts, now_s = self._parts(call), time.perf_counter()
        found = [(part, cache.get(key_of(part), now_s)) for part in parts]
        batches = [
            self._runner.again(Part(call, part.version, "cached", part.positions), kept) for part, kept in found if kept
        ]
        if len(batches) < len(parts):
            return False
        if self._terms:
            self._terms.spend(call)
        self.in_flight += 1
        self._settle([call], batches)
        return True

    def _keep(self, cache: AnswerCache, batch: Batch) -> None:
        """Keep full answers."""
        start = 0
        for part in batch.parts:
            rows = range(start, start + part.size)
            start += part.size
            if batch.inputs and part.role in FULL and not (part.error or part.call.error):
                self._recording.cache_missed(part)
                kept = Kept(batch.inputs.take(list(rows)), batch.answers[rows.start : rows.stop], batch.started_s)
                cache.put(key_of(part), kept)

    def _queue_for(self, call: Call) -> Queue:
        """The queue where a call does not wait too long; the one of a lower rung, if there is one, where it would."""
        queue = self._queues.get(call.model)
        if queue is None:
            queue = self._queues[call.model] = Queue(self._wait_s)
        try:
            queue.check(call.rank, call.parsed_s, call.deadline_s, call.size)
        except UnavailableError:
            for rung in below("pressure", declared(call, self.traffic.get(call.model), stale=False)):
                queue = self._queues.setdefault(f"{call.model} {rung}", Queue(self._wait_s))
                with contextlib.suppress(UnavailableError):
                    queue.check(call.rank, call.parsed_s, call.deadline_s, call.size)
                    call.rung = rung
                    return queue
            raise
        return queue

    def _check_room(self, queue: Queue, call: Call) -> None:
        """Refuse a call for which there would be no room even without the waiting calls of lower classes."""
        _, rows = queue.below(call.rank)
        calls = sum(one.below(call.rank)[0] for one in self._queues.values())
        if self.in_flight - calls >= self._max_in_flight or not queue.has_room(call.size - rows):
            raise queue.full(call.size, call.parsed_s)

    def _make_room(self, queue: Queue, call: Call) -> None:
        """Turn away waiting calls of lower classes until there is room."""
        while self.in_flight >= self._max_in_flight or not queue.has_room(call.size):
            others = [queue] if not queue.has_room(call.size) else [queue, *self._queues.values()]
            other = next(filter(None, (one.displace(call.rank) for one in others)))  # it was counted that there is one
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
        for model, queue in list(self._queues.items()):
            if not queue.rows:
                continue
            began_s = time.perf_counter()
            for call in queue.overdue(began_s):
                call.error = deadline.over()
                self._unrouted(call)
            if queue.busy:
                self._set_alarm(queue, began_s)
                continue
            if not queue.rows:
                continue
            if self._waits(model, queue, began_s):
                self._schedule()
                continue
            calls = queue.take()
            try:
                self._execute(model, queue, calls, began_s)
                self._worked_s = time.perf_counter()
            except Exception:  # noqa: BLE001 -- the request border
                queue.ended()
                self._give_up(calls)
            self._go_on(queue, began_s)

    def _go_on(self, queue: Queue, now_s: float) -> None:
        """See to it that what still waits has another turn."""
        if queue.busy:
            self._set_alarm(queue, now_s)
        elif queue.rows:
            self._schedule()

    def _set_alarm(self, queue: Queue, now_s: float) -> None:
        """Have a turn when the first call of a busy queue is overdue: it is told then."""
        if queue.soonest_s < queue.alarm_s:
            queue.alarm_s = queue.soonest_s
            self.execution.after(queue.soonest_s - now_s, functools.partial(self._ring, queue))

    def _ring(self, queue: Queue) -> None:
        queue.alarm_s = math.inf
        self._schedule()

    def _waits(self, model: str, queue: Queue, now_s: float) -> bool:
        """Whether the calls of a queue wait for more: only for a model to which that matters."""
        traffic = self.traffic.get(model)
        plan = traffic.champion.plan if traffic else ALONE
        return plan.patience_s > 0 and not queue.stuck and queue.gathers(plan, now_s)

    def _execute(self, name: str, queue: Queue, calls: list[Call], began_s: float) -> None:
        groups: dict[tuple[int, bool, bool], list[Part]] = {}
        for call in calls:
            for part in self._parts(call):
                groups.setdefault((id(part.version), call.direct is None, part.role == "rule"), []).append(part)
        rows = sum([call.size for call in calls])
        traffic = self.traffic.get(calls[0].model)
        self.execution.execute(name, queue, Job(calls, list(groups.values()), rows, began_s, traffic))

    def _settle(self, calls: list[Call], batches: list[Batch]) -> None:
        """Hand out what was computed, and record it."""
        try:
            self._hand_out(batches)
            if self._recording.comes_first:
                self._finish_all(batches)
                self._recording.settle(calls, batches)
        except Exception:  # noqa: BLE001 -- the request border
            self._give_up(calls)
            return
        self._reply_all(calls)
        if self._recording.comes_first:
            self._tell(calls, batches)
        else:
            self.after(functools.partial(self._conclude, calls, batches))

    def _hand_out(self, batches: list[Batch]) -> None:
        """Give calls their answers."""
        for batch in batches:
            hand_out(batch)
        for batch in batches:
            self._recording.number(batch)

    def _give_up(self, calls: list[Call]) -> None:
        """Answer what is left of a turn that went wrong; to be called while the exception is handled."""
        _log.exception("a turn could not be brought to its end")
        for call in calls:
            if not call.answered:
                call.error = call.error or fault()
                self._unrouted(call)

    def _reply_all(self, calls: list[Call]) -> None:
        now_s = time.perf_counter()
        for call in calls:
            now_s = self._reply(call, now_s)

    def _conclude(self, calls: list[Call], batches: list[Batch]) -> None:
        self._finish_all(batches)
        self._tell(calls, batches)

    def _finish_all(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._finish(batch)

    def _unrouted(self, call: Call) -> None:
        """Answer a call that reached no version."""
        if call.error:
            self._recording.unrouted(call.error.code)
        self._reply(call, time.perf_counter())
        self._tell([call], [])

    def _reply(self, call: Call, now_s: float) -> float:
        """Answer a call, once, and never with silence; ``time.perf_counter()`` then."""
        if call.answered:
            return now_s
        call.answered = True
        if not call.error and len(call.answers) != call.size:
            call.error = fault()
        self.in_flight -= 1
        call.replied_s = now_s
        try:
            call.reply(call)
        except Exception:  # noqa: BLE001 -- the request border
            _log.exception("an answer could not be sent")
            self._send_fault(call)
        call.done_s = time.perf_counter()
        return call.done_s

    @staticmethod
    def _send_fault(call: Call) -> None:
        """Answer with an error in the place of an answer that could not be made."""
        call.error = fault()
        try:
            call.reply(call)
        except Exception:  # noqa: BLE001 -- the request border: nothing can be sent to this client
            _log.exception("nor could the error that tells of it")

    def _tell(self, calls: list[Call], batches: list[Batch]) -> None:
        """Count what was answered and recorded, and let others know."""
        try:
            for batch in batches:
                self._recording.count(batch)
            if self._observe:
                self._observe(calls, batches)
        except Exception:  # noqa: BLE001 -- the request border: the answers are out
            _log.exception("what was answered could not be told")

    def _finish(self, batch: Batch) -> None:
        try:
            self._recording.answered(batch)
            if self._caches and (cache := self._caches.get(batch.version.model)) is not None:
                self._keep(cache, batch)
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
            if call.version and not call.rung:
                return [Part(call, call.version, call.role)]
            traffic = self.traffic_of(call.model)
            # What it was let in for may have been taken back while it waited.
            if call.rung and call.rung in declared(call, traffic, stale=False):
                version = traffic.standby if call.rung == "standby" else None
                return [Part(call, version or traffic.champion, call.rung)]
            if call.version:
                return [Part(call, call.version, call.role)]
            if traffic.split:
                return split(call, traffic)
            version, role = traffic.choose("")
            return [Part(call, version, role)]
        except SeakeepError as error:
            call.error = error
        except Exception:  # noqa: BLE001 -- the request border
            _log.exception("a request to %s could not be routed", call.model)
            call.error = fault()
        self._recording.unrouted(call.error.code)
        return []
