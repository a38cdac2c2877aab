"""Executes what is taken from the queues: on the event loop, or apart, and gives up what does not come back.

A model that would hold the event loop works in a thread of its own, and so does one whose lookups may take only so long. A
lookup that takes longer is given up: until it comes back the model answers without features, in another thread. A model that
hangs is given up as well: its calls are told, and its next batch gets a new thread.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable

from seakeep.serving import deadline
from seakeep.serving.admission import Queue
from seakeep.serving.apart import Apart
from seakeep.serving.batch import Batch, BatchRunner
from seakeep.serving.inference import Call
from seakeep.serving.jobs import Job, looks_up, lookup_limit_s, no_features, no_return
from seakeep.serving.standin import StandIns

_LONGEST_LOOK_S = 1.0

_log = logging.getLogger("seakeep.serving")


class Execution:
    """Executes jobs; everything but the work itself happens on the event loop.

    Parameters
    ----------
    settle
        Hands out what was computed for some calls; who got nothing is told so.
    reply
        Answers a call; the second argument is ``time.perf_counter()``.
    resume
        Lets the queues have a turn.

    Attributes
    ----------
    apart
        Where models work that would hold the event loop; None: there, all the same.
    """

    def __init__(
        self,
        runner: BatchRunner,
        stand_ins: StandIns,
        *,
        settle: Callable[[list[Call], list[Batch]], None],
        reply: Callable[[Call, float], object],
        resume: Callable[[], None],
    ) -> None:
        self._runner, self._stand_ins = runner, stand_ins
        self._settle, self._reply, self._resume = settle, reply, resume
        self.apart: Apart | None = None
        self._running: dict[str, tuple[Queue, Job]] = {}
        self._looked_s = time.perf_counter()

    def execute(self, name: str, queue: Queue, job: Job) -> None:
        """Execute a job that was taken from the queue of that name."""
        limit_s = self._stand_ins.limit_s(job.calls[0].model)
        if self.apart and job.groups and (limit_s or queue.stuck or queue.apart(job.rows) or job.apart):
            job.features = not queue.stuck
            self._begin(self.apart, name, queue, job)
            if limit_s and job.features:
                limit_s = lookup_limit_s(job.calls, limit_s, job.began_s)
                self._watch_lookup(self.apart, name, queue, job, limit_s)
        else:
            cpu_s = time.thread_time()
            self._settle(job.calls, self._run(job))
            queue.worked(job.rows, time.thread_time() - cpu_s, job.began_s, time.perf_counter())

    def collect(self) -> None:
        """Go on with what is done apart."""
        if self.apart:
            self.apart.collect()

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Call something later, where anything is executed apart."""
        if self.apart:
            self.apart.after(seconds, act)

    def end_hanging(self, patience_s: float) -> list[str]:
        """Give up what has been executed apart for longer; the names of the queues whose threads hang.

        To be called often: only time in which it looked counts, so that a process that was stopped for a while gives up
        nothing that was stopped with it. Whoever waits is answered at once. A native model's process is ended, and that
        is all. Any other thread cannot be ended: this process should be, in order, where there are such names.
        """
        self.collect()
        now_s = time.perf_counter()
        passed_s, self._looked_s = min(now_s - self._looked_s, _LONGEST_LOOK_S), now_s
        for _, job in self._running.values():
            job.seen_s += min(passed_s, now_s - job.began_s)
        found = [name for name, (_, job) in self._running.items() if job.seen_s > patience_s]
        for name in found.copy():
            queue, job = self._running.pop(name)
            job.done = True
            queue.ended()
            if self.apart:
                self.apart.leave(_thread(name, job))
            if job.interrupt():
                found.remove(name)
                _log.error("%s does not come back: the process of its model is ended, and started again", name)
            self._do_without(name, job)
            if queue.rows:
                self._resume()
        return found

    def _do_without(self, name: str, job: Job) -> None:
        """Answer those whose model does not come back with what stands in, computed in a thread that nothing waits for."""
        again = job.again()

        def work() -> list[Batch]:
            batches: list[Batch] = []
            with contextlib.suppress(BaseException):  # who gets no answer is told of a fault
                parts = [part for parts in again.groups for part in parts]
                batches = [self._runner.failed(part, no_return(), again.began_s) for part in parts]
                batches += self._stand_ins.answers(batches, again.traffic)
            return batches

        settle = functools.partial(self._settle, job.calls)
        try:
            if self.apart:
                self.apart.run(f"{name} without its model", work, settle)
        except RuntimeError:  # no thread can be started
            settle([])

    def _begin(self, apart: Apart, name: str, queue: Queue, job: Job) -> None:
        work, done = functools.partial(self._run_apart, job), functools.partial(self._returned, name, queue, job)
        apart.run(_thread(name, job), work, done)
        queue.began(job.rows, time.perf_counter())
        self._running[name] = queue, job
        self._watch(apart, job.calls)

    def _run(self, job: Job) -> list[Batch]:
        try:
            batches: list[Batch] = []
            for parts in job.groups:
                if job.features or not looks_up(parts[0]):
                    batches += self._runner.run(parts[0].version, parts)
                else:  # clients that sent theirs are not concerned
                    batches += [self._runner.failed(part, no_features(), job.began_s) for part in parts]
            return batches + self._stand_ins.answers(batches, job.traffic)
        except Exception:  # noqa: BLE001 -- the request border: calls without an answer are told so
            _log.exception("a turn could not be executed")
            return []

    def _run_apart(self, job: Job) -> tuple[list[Batch], float]:
        """Batches, and the processor seconds that they took."""
        # What another process computes is no time of this thread, but holds up those behind it all the same.
        clock_s = time.perf_counter if job.apart else time.thread_time
        began_s, batches = clock_s(), list[Batch]()
        if job.features and job.looks_up_first:
            self._runner.looks_up_from(job.began_s)
        job.thread = threading.get_ident()
        try:
            batches = self._run(job)
        except BaseException:  # noqa: BLE001 -- a model that ends its thread ends it for all that comes after
            _log.exception("a batch that was executed apart ended its thread")
        finally:
            self._runner.looked_up()
        return batches, clock_s() - began_s

    def _returned(self, name: str, queue: Queue, job: Job, done: tuple[list[Batch], float]) -> None:
        """Batches that were executed apart are back."""
        if job.abandoned:
            queue.stuck = False
            _log.warning("features of %s come again", name)
            return
        if self._running.get(name, (queue, None))[1] is not job:
            return  # it was given up, and whoever waited was told
        job.done = True
        queue.ended()
        del self._running[name]
        batches, cpu_s = done
        self._settle(job.calls, batches)
        if job.features:
            queue.worked(job.rows, cpu_s, job.began_s, time.perf_counter())
        if queue.rows:
            self._resume()

    def _watch_lookup(self, apart: Apart, name: str, queue: Queue, job: Job, limit_s: float) -> None:
        """Go on without the features if they do not come in time."""
        if job.done:
            return
        since_s = self._runner.looking_since(job.thread) if job.thread else job.began_s
        left_s = limit_s if since_s is None else since_s + limit_s - time.perf_counter()
        if left_s > 0:
            apart.after(left_s, functools.partial(self._watch_lookup, apart, name, queue, job, limit_s))
            return
        try:
            self._begin(apart, name, queue, job.again(features=False))
        except Exception:  # noqa: BLE001 -- the request border: the lookup is waited for then
            _log.exception("features of %s do not come in time, and nothing could be begun without", name)
            return
        job.abandoned = job.done = queue.stuck = True
        _log.warning("features of %s do not come in time; it goes on without, until they do", name)

    def _watch(self, apart: Apart, calls: list[Call]) -> None:
        """Tell those whose time is over while their batch is executed apart."""
        timed = [call for call in calls if call.deadline_s is not None and not call.answered]
        if not timed:
            return
        now_s = time.perf_counter()
        for call in timed:
            if call.deadline_s is not None and call.deadline_s <= now_s:
                call.error = deadline.over()
                self._reply(call, now_s)
        waiting = [call.deadline_s for call in timed if call.deadline_s is not None and call.deadline_s > now_s]
        if waiting:
            apart.after(min(waiting) - now_s, functools.partial(self._watch, apart, timed))


def _thread(name: str, job: Job) -> str:
    """The thread of a queue; while a lookup hangs in its own, another."""
    return name if job.features else f"{name} without features"
