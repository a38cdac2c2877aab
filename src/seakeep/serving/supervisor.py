"""Starts the workers of a service, keeps them alive, and stops them without losing a request."""

from __future__ import annotations

import dataclasses
import logging
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError
from seakeep.serving import ceiling, metrics
from seakeep.serving.vitals import anonymous_bytes
from seakeep.serving.watchdog import Watchdog
from seakeep.serving.worker import DRAIN_S, TELL, cannot_listen

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0
"""A worker that ends is started again at once, then after delays that double."""
_STEADY_S = 30.0
"""A worker that lived this long begins anew with the shortest delay."""
_LOOK_S = 0.05
_WEIGH_S = 0.5
"""How often the memory of the workers is looked at."""
_READY_S = 60.0
"""Longest time a successor may take to listen."""

_log = logging.getLogger("seakeep.serving")


Process = subprocess.Popen[bytes]


@dataclasses.dataclass(slots=True)
class _Seat:
    """The place of one worker; ``spare`` is the number of a successor, which records and counts beside it."""

    index: int
    spare: int
    process: Process | None = None
    started_s: float = 0.0
    delay_s: float = 0.0
    due_s: float = 0.0
    restarts: int = 0
    successor: Process | None = None
    succeeding_s: float = 0.0
    hung: Process | None = None

    def succeed(self) -> Process | None:
        """Let the successor be the worker; the one before it."""
        before, self.process, self.successor = self.process, self.successor, None
        self.index, self.spare = self.spare, self.index
        self.started_s = time.monotonic()
        return before

    def postpone(self, now_s: float) -> None:
        """Start the next worker after a delay, longer each time."""
        self.due_s = now_s + self.delay_s
        self.delay_s = min(LONGEST_DELAY_S, max(FIRST_DELAY_S, self.delay_s * 2))
        self.restarts += 1


class Supervisor:
    """Runs the workers of one service.

    Parameters
    ----------
    command
        The command line of a worker, by its number. Its standard input is a pipe that ends when the supervisor is gone:
        the worker watches it as its lifeline.
    settings
        Where to listen, and how many workers. Port 0 is replaced by a free one, see :attr:`port`.
    metrics_folder
        Folder of the workers' counters, through which they also tell how they are.
    """

    def __init__(
        self, command: Callable[[int, int], Sequence[str]], settings: ServingSettings, metrics_folder: Path
    ) -> None:
        self._command, self._settings, self._metrics = command, settings, metrics_folder
        self._seats = [_Seat(index, index + settings.workers) for index in range(settings.workers)]
        self._leaving: list[tuple[Process, float]] = []
        self._weighed_s = 0.0
        self._told_low = self._blind = False
        self._reserved: list[socket.socket] = []
        self._watchdog = Watchdog(settings.hang_s)
        self.port = settings.port

    def start(self) -> None:
        """Start the workers.

        Raises
        ------
        PlatformError
            The port is in use; nothing was started.
        """
        self._reserved.append(reserve(self._settings.host, self._settings.port))
        self.port = self._reserved[0].getsockname()[1]
        if self._settings.grpc_port:
            self._reserved.append(reserve(self._settings.host, self._settings.grpc_port, "serving.grpc_port"))
        self._metrics.mkdir(mode=0o700, parents=True, exist_ok=True)
        metrics.prepare(self._metrics)
        for seat in self._seats:
            self._spawn(seat)

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until every worker has loaded its versions.

        Raises
        ------
        PlatformError
            They did not within the time, or one ends again and again.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self.look()
            states = {worker.index: worker.state for worker in self.status()}
            if all(states.get(seat.index) == "ready" for seat in self._seats):
                return
            failing = next((seat for seat in self._seats if seat.restarts >= 3), None)
            if failing:
                message = f"worker {failing.index} ends as soon as it is started"
                raise PlatformError(message, hint="see what it wrote above")
            time.sleep(_LOOK_S)
        message = f"the workers were not ready after {timeout_s:g} s"
        raise PlatformError(message, hint="see /v2/health/ready for versions that could not be loaded")

    def status(self) -> list[metrics.WorkerStatus]:
        """What the living workers say of themselves."""
        alive = {seat.process.pid for seat in self._seats if seat.process}
        return [worker for worker in self._told() if worker.pid in alive]

    def look(self) -> None:
        """End what hangs, start again what has ended, and replace what has grown too large; to be called often."""
        now_s = time.monotonic()
        self._end_hanging(now_s)
        for seat in self._seats:
            process = seat.process
            if process and process.poll() is not None:
                _log.warning("worker %s ended with %s", seat.index, process.returncode)
                _forget(process)
                seat.process = None
                if seat.successor:
                    seat.succeed()
                    continue
                if now_s - seat.started_s > _STEADY_S:
                    seat.delay_s = 0.0
                seat.postpone(now_s)
            if seat.process is None and now_s >= seat.due_s:
                self._spawn(seat)
        self._see_off(now_s)
        if now_s - self._weighed_s > _WEIGH_S and self._settings.worker_memory_mb:
            self._weighed_s = now_s
            told = {worker.pid: worker for worker in self._told()}
            for seat in self._seats:
                if seat.successor:
                    self._await(seat, seat.successor, told.get(seat.successor.pid), now_s)
                if seat.process and seat.process.pid in told:
                    self._weigh(seat, seat.process, told[seat.process.pid].ready_bytes, now_s)

    def close(self) -> None:
        """Let the workers finish what they have begun, and wait for them; whoever takes too long is killed."""
        processes = [one for seat in self._seats for one in (seat.process, seat.successor) if one]
        processes += [process for process, _ in self._leaving]
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline_s = time.monotonic() + DRAIN_S + 5
        for process in processes:
            try:
                process.wait(max(0.1, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("a worker did not end in time and was killed")
                process.kill()
                process.wait()
            _forget(process)
        self._leaving.clear()
        for seat in self._seats:
            seat.process = seat.successor = None
        for reserved in self._reserved:
            reserved.close()

    def _end_hanging(self, now_s: float) -> None:
        """First let a worker that hangs say where; at the next look it is killed, and its requests end with it."""
        hanging = self._watchdog.look({worker.pid: worker.beat_us for worker in self.status()}, now_s)
        for seat in self._seats:
            process = seat.process
            if process is None or process.pid not in hanging:
                continue
            if seat.hung is process:
                process.kill()
                continue
            seat.hung = process
            _log.error("worker %s has not moved for %s s and is replaced", seat.index, self._settings.hang_s)
            process.send_signal(TELL)

    def _told(self) -> tuple[metrics.WorkerStatus, ...]:
        """What workers say of themselves; nothing while it cannot be read, for want of descriptors for example."""
        try:
            told = metrics.statuses(self._metrics)
        except OSError:
            if not self._blind:
                _log.exception("how the workers are cannot be read; they are left alone")
            self._blind = True
            return ()
        self._blind = False
        return told

    def _spawn(self, seat: _Seat) -> None:
        seat.started_s = time.monotonic()
        seat.process = self._begin(seat.index)
        if seat.process is None:
            seat.postpone(seat.started_s)

    def _begin(self, number: int) -> Process | None:
        """Start a worker; None if the host has no room for another process at present."""
        command = list(self._command(number, self.port))
        try:
            # A group of its own: Ctrl-C reaches the supervisor alone, which then drains the workers.
            return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        except OSError:
            _log.exception("worker %d cannot be started; it is tried again", number)
            return None

    def _weigh(self, seat: _Seat, process: Process, ready_bytes: int, now_s: float) -> None:
        """Look at a worker's memory; only one successor at a time is on its way."""
        ceiling_mb = self._settings.worker_memory_mb
        if ceiling.too_low(ready_bytes, ceiling_mb * 2**20) and not self._told_low:
            self._told_low = True
            words = "a worker needs %d MiB from the start: serving.worker_memory_mb = %d is no ceiling for it"
            _log.warning(words, ready_bytes // 2**20, ceiling_mb)
        try:
            used_bytes = anonymous_bytes(process.pid)
        except OSError:
            return  # it has just ended
        verdict = ceiling.judge(used_bytes, ready_bytes, ceiling_mb * 2**20)
        busy = self._leaving or any(one.successor for one in self._seats) or now_s < seat.due_s
        if verdict == "keep" or (busy and verdict == "replace"):
            return
        _log.warning("worker %d has grown to %d MiB and is replaced", seat.index, used_bytes // 2**20)
        if not busy:
            seat.successor, seat.succeeding_s = self._begin(seat.spare), now_s
            if seat.successor is None:
                seat.due_s = now_s + LONGEST_DELAY_S
        if verdict == "end":
            process.terminate()

    def _await(self, seat: _Seat, successor: Process, told: metrics.WorkerStatus | None, now_s: float) -> None:
        """Let a successor that listens take over; give up one that ended or never does."""
        ended = successor.poll() is not None
        if ended or now_s - seat.succeeding_s > _READY_S:
            _log.warning("the successor of worker %d did not become ready; the worker goes on", seat.index)
            successor.kill()
            successor.wait()
            _forget(successor)
            seat.successor = None
            seat.due_s = now_s + LONGEST_DELAY_S
        elif told and told.state == "ready":
            before = seat.succeed()
            if before:
                before.terminate()
                self._leaving.append((before, now_s + DRAIN_S + 5))

    def _see_off(self, now_s: float) -> None:
        """Let those that were replaced end; whoever takes too long is killed."""
        for leaving in list(self._leaving):
            process, until_s = leaving
            if process.poll() is None and now_s > until_s:
                _log.warning("a worker did not end in time and was killed")
                process.kill()
                process.wait()
            if process.poll() is not None:
                _forget(process)
                self._leaving.remove(leaving)


def _forget(process: Process) -> None:
    if process.stdin:
        process.stdin.close()


def reserve(host: str, port: int, setting: str = "serving.port") -> socket.socket:
    """Hold a port for the workers: bound, not listening.

    Raises
    ------
    PlatformError
        Somebody listens there; also another service of ours, with which the workers would silently share it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
        port = probe.getsockname()[1]
        probe.close()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # from here on another service's probe fails
    except OSError as error:
        holder.close()
        raise cannot_listen(host, port, error, setting) from error
    finally:
        probe.close()
    return holder
