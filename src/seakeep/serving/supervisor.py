"""Starts the workers of a service, keeps them alive, and stops them without losing a request."""

from __future__ import annotations

import dataclasses
import logging
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError
from seakeep.serving import metrics
from seakeep.serving.watchdog import Watchdog
from seakeep.serving.worker import DRAIN_S, TELL, cannot_listen

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0
"""A worker that ends is started again at once, then after delays that double."""
_STEADY_S = 30.0
"""A worker that lived this long begins anew with the shortest delay."""
_LOOK_S = 0.05

_log = logging.getLogger("seakeep.serving")


@dataclasses.dataclass(slots=True)
class _Seat:
    index: int
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    delay_s: float = 0.0
    due_s: float = 0.0
    restarts: int = 0
    hangs: bool = False


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
        self._seats = [_Seat(index) for index in range(settings.workers)]
        self._stop = threading.Event()
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
        while time.monotonic() < deadline_s and not self._stop.is_set():
            self.look()
            states = {worker.index: worker.state for worker in self.status()}
            if all(states.get(seat.index) == "ready" for seat in self._seats):
                return
            failing = next((seat for seat in self._seats if seat.restarts >= 3), None)
            if failing:
                message = f"worker {failing.index} ends as soon as it is started"
                raise PlatformError(message, hint="see what it wrote above")
            time.sleep(_LOOK_S)
        if not self._stop.is_set():
            message = f"the workers were not ready after {timeout_s:g} s"
            raise PlatformError(message, hint="see /v2/health/ready for versions that could not be loaded")

    def status(self) -> list[metrics.WorkerStatus]:
        """What the living workers say of themselves."""
        alive = {seat.process.pid for seat in self._seats if seat.process}
        return [worker for worker in metrics.statuses(self._metrics) if worker.pid in alive]

    def look(self) -> None:
        """End what hangs, and start again what has ended; to be called often."""
        now_s = time.monotonic()
        hanging = self._watchdog.look({worker.pid: worker.beat_us for worker in self.status()}, now_s)
        for seat in self._seats:
            process = seat.process
            if process and process.pid in hanging:
                self._end(seat, process)
            if process and process.poll() is not None:
                _log.warning("worker %s ended with %s", seat.index, process.returncode)
                seat.process = None
                seat.hangs = False
                if process.stdin:
                    process.stdin.close()
                if now_s - seat.started_s > _STEADY_S:
                    seat.delay_s = 0.0
                seat.due_s = now_s + seat.delay_s
                seat.delay_s = min(LONGEST_DELAY_S, max(FIRST_DELAY_S, seat.delay_s * 2))
                seat.restarts += 1
            if seat.process is None and now_s >= seat.due_s:
                self._spawn(seat)

    def run(self) -> None:
        """Keep the workers alive until :meth:`stop` or a signal; then stop them. To be called in the main thread."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stop.wait(_LOOK_S):
                self.look()
        finally:
            self.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Let :meth:`run` end."""
        self._stop.set()

    def close(self) -> None:
        """Let the workers finish what they have begun, and wait for them; whoever takes too long is killed."""
        processes = [seat.process for seat in self._seats if seat.process]
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
            if process.stdin:
                process.stdin.close()
        for seat in self._seats:
            seat.process = None
        for reserved in self._reserved:
            reserved.close()

    def _end(self, seat: _Seat, process: subprocess.Popen[bytes]) -> None:
        """First let a worker that hangs say where; at the next look it is killed, and its requests end with it."""
        if seat.hangs:
            process.kill()
            return
        seat.hangs = True
        _log.error("worker %s has not moved for %s s and is replaced", seat.index, self._settings.hang_s)
        process.send_signal(TELL)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop.set()

    def _spawn(self, seat: _Seat) -> None:
        # A group of its own: Ctrl-C reaches the supervisor alone, which then drains the workers.
        seat.process = subprocess.Popen(
            list(self._command(seat.index, self.port)), stdin=subprocess.PIPE, start_new_session=True
        )
        seat.started_s = time.monotonic()


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
