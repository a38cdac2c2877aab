"""A child process that holds one model, and the pipe to it. It ends with its parent, whatever ends that."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from seakeep.conversion import wire
from seakeep.conversion.rows import Rows
from seakeep.errors import IntegrityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROGRAM = ("-m", "seakeep.conversion.resident")
"""What the process runs."""
START_S = 120.0
"""Longest time a process may take until its model can answer, in seconds."""
_LEAVE_S = 2.0
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
"""Environment in which numerical libraries work in one thread: fastest for a few rows, and the same bits everywhere."""


class ProcessEnded(Exception):
    """The process has gone, or was ended because it did not answer in time."""


class ModelProcess:
    """A running process whose model can answer.

    Parameters
    ----------
    model
        The packed model.

    Attributes
    ----------
    ready
        What it said when its model was loaded.
    start_s
        How long that took, with the start of the process, in seconds.

    Raises
    ------
    IntegrityError
        The model cannot be loaded.
    ProcessEnded
        The process did not come to that.
    """

    def __init__(self, model: bytes) -> None:
        began_s = time.perf_counter()
        self._talk, other = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", *PROGRAM, str(other.fileno())],
                cwd="/",
                env=_environment(),
                stdin=subprocess.PIPE,
                pass_fds=(other.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            self._talk.close()
            raise
        finally:
            other.close()
        try:
            self.ready = self._start(model)
        except BaseException:
            self.close()
            raise
        self.width = 1 if self.ready.outputs.single else len(self.ready.outputs.names)
        self.start_s = time.perf_counter() - began_s

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def score(
        self, numbers: NDArray[np.float64], categories: NDArray[np.object_], limit_s: float | None
    ) -> NDArray[np.float64]:
        """Scores ``(n, k)``, NaN for rows that the model refuses; one call at a time.

        Parameters
        ----------
        limit_s
            After so many seconds the process is ended; None: never.

        Raises
        ------
        ProcessEnded
            It has gone, or was ended.
        """
        rows = len(numbers)
        self._talk.settimeout(limit_s)
        try:
            wire.send_rows(self._talk, Rows(numbers, categories))
            return wire.scores_of(wire.receive(self._talk, rows * self.width * 8), rows, self.width)
        except (wire.Closed, OSError) as error:
            raise ProcessEnded(self._end(error)) from error

    def wait(self) -> int:
        """Wait until the process has ended; its status, negative for a signal."""
        return self._process.wait()

    def kill(self) -> None:
        """End the process and whatever it started, at once."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, and let go of all that belongs to it."""
        self.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._talk.close()

    def _start(self, model: bytes) -> wire.Ready:
        self._talk.settimeout(START_S)
        try:
            wire.send(self._talk, wire.MODEL, model)
            frame = wire.receive(self._talk, wire.MOST_TOLD)
            if frame.kind == wire.FAULT:
                told = frame.payload.decode("utf-8", "replace")
                raise IntegrityError(f"the model cannot be loaded: {told}", hint="convert the run again")
            return msgspec.json.decode(frame.payload, type=wire.Ready)
        except (wire.Closed, OSError, msgspec.DecodeError) as error:
            raise ProcessEnded(self._end(error)) from error

    def _end(self, error: Exception) -> str:
        """See to it that the process has ended, and say how; only one that closes its side ends by itself."""
        try:
            if isinstance(error, TimeoutError):
                raise error
            self._process.wait(_LEAVE_S)
        except (TimeoutError, subprocess.TimeoutExpired):
            self.kill()
            self._process.wait()
            return "did not answer in time and was ended"
        status = self._process.returncode
        return f"ended by signal {-status}" if status < 0 else f"ended with status {status}"


def memory_bytes(process: int) -> int:
    """Resident memory of a living process; 0: it has gone."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _environment() -> dict[str, str]:
    """All that a model sees of the environment."""
    return {
        **ONE_THREAD,
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
