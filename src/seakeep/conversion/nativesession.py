"""Scores rows in a process of the model's own, which is started again when it ends."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np

from seakeep.conversion.process import ModelProcess, ProcessEnded, memory_bytes
from seakeep.errors import CrashedError, IntegrityError, SeakeepError, UnavailableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.records.outputs import Outputs

CALM_S = 60.0
"""A process that lived so long is started again at once when it ends; others wait longer each time."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LEAVE_S = 5.0
"""How long a process that was killed may take to be gone, in seconds."""

_log = logging.getLogger("seakeep.serving")


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessState:
    """How a model's process is.

    Attributes
    ----------
    pid
        0: it is being started again.
    memory_bytes, start_s
        Resident memory now, and how long it took until the model could answer, the last time.
    restarts
        How often it was started again.
    """

    pid: int
    memory_bytes: int
    start_s: float
    restarts: int


class NativeSession:
    """A model in a process of its own, in the form of :class:`seakeep.conversion.session.ScoringSession`.

    The process ends when this object is let go, and with this process, whatever ends it.

    Parameters
    ----------
    model
        The packed model.
    limit_s
        After so many seconds a call is given up and the process ended; None: never.

    Attributes
    ----------
    outputs
        What the answers are.

    Raises
    ------
    IntegrityError
        The model cannot be loaded.
    """

    apart = True
    device = ""

    def __init__(self, model: bytes, *, limit_s: float | None = None) -> None:
        keeper = _Keeper(model)
        self._keeper, self._limit_s = keeper, limit_s
        self.outputs = keeper.start()
        self.close = weakref.finalize(self, keeper.close)

    def score(self, numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        """As :meth:`seakeep.conversion.session.ScoringSession.score`; one call at a time, others wait.

        Raises
        ------
        CrashedError
            The process ended meanwhile, or did not answer in time and was ended.
        UnavailableError
            It is being started again.
        """
        if len(numbers) == 0:
            return np.empty(0 if self.outputs.single else (0, len(self.outputs.names)))
        scores = self._keeper.score(numbers, categories, self._limit_s)
        return scores[:, 0] if self.outputs.single else scores

    def interrupt(self) -> bool:
        """End the process if it is busy with a call, which then fails; whether it was. From any thread."""
        return self._keeper.interrupt()

    @property
    def state(self) -> ProcessState:
        """How the process is."""
        return self._keeper.state


class _Keeper:
    """Keeps a process running, in a thread that waits for its end."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._turn, self._over = threading.Lock(), threading.Event()
        self._process: ModelProcess | None = None
        self._thread: threading.Thread | None = None
        self._busy = False
        self._restarts = self._failures = 0
        self._start_s = self._due_s = 0.0

    def start(self) -> Outputs:
        try:
            process = self._process = ModelProcess(self._model)
        except ProcessEnded as error:
            raise IntegrityError(
                f"the process of the model {error}", hint="see standard error; convert the run again"
            ) from error
        self._start_s = process.start_s
        self._thread = threading.Thread(target=self._keep, args=(process,), name="model process", daemon=True)
        self._thread.start()
        return process.ready.outputs

    @property
    def state(self) -> ProcessState:
        process = self._process
        pid = process.pid if process else 0
        return ProcessState(pid, memory_bytes(pid) if pid else 0, self._start_s, self._restarts)

    def score(
        self, numbers: NDArray[np.float64], categories: NDArray[np.object_], limit_s: float | None
    ) -> NDArray[np.float64]:
        with self._turn:
            process = self._process
            if process is None:
                wait_s = max(0.0, self._due_s - time.monotonic()) + self._start_s
                raise UnavailableError(
                    "the process of the model is being started again", retry_after_s=max(1, math.ceil(wait_s))
                )
            self._busy = True
            try:
                return process.score(numbers, categories, limit_s)
            except ProcessEnded as error:
                self._process = None
                _log.error("the process of a model %s while it was asked for %d rows", error, len(numbers))
                raise CrashedError(
                    "the process of the model ended while it answered", hint="it is started again; see the server's log"
                ) from error
            finally:
                self._busy = False

    def interrupt(self) -> bool:
        process, busy = self._process, self._busy
        if process and busy:
            process.kill()
        return busy

    def close(self) -> None:
        self._over.set()
        process = self._process
        if process:
            process.kill()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(LEAVE_S)

    def _keep(self, process: ModelProcess) -> None:
        """Wait for the end of a process, and start the next one, until nobody needs it."""
        current: ModelProcess | None = process
        while current:
            began_s = time.monotonic()
            current.wait()
            with self._turn:  # whoever talks to it has noticed before its socket is closed
                self._process = None
            current.close()
            if time.monotonic() - began_s > CALM_S:
                self._failures = 0
            current = self._next()

    def _next(self) -> ModelProcess | None:
        while not self._over.is_set():
            wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (self._failures - 1)) if self._failures else 0.0
            self._failures += 1
            self._due_s = time.monotonic() + wait_s
            if self._over.wait(wait_s):
                break
            try:
                process = ModelProcess(self._model)
            except (ProcessEnded, SeakeepError, OSError):
                _log.exception("the process of a model cannot be started again yet")
                continue
            self._start_s, self._restarts = process.start_s, self._restarts + 1
            self._process = process
            if self._over.is_set():  # closed while it started
                process.close()
                break
            _log.warning("the process of a model was started again (%d so far)", self._restarts)
            return process
        return None
