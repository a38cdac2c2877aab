"""A child process that does not outlive whoever started it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import threading

_SET_SIGNAL = 10  # linux/fcntl.h


def hold_to_lifeline() -> None:
    """End this process and its group when its parent is gone, by whatever signal.

    The parent gives a pipe as standard input and keeps it open: it ends with the parent. From then on standard input is
    empty, so that nothing else reads from the pipe. Does nothing where standard input is not a pipe.
    """
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _arm(lifeline)
    threading.Thread(target=_hold, args=(lifeline,), name="lifeline", daemon=True).start()


def _arm(lifeline: int) -> None:
    """Let the kernel end this process and its group (``fcntl(2)``, F_SETSIG): native code that hangs may not let a thread run."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, _SET_SIGNAL, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:
            os.killpg(0, signal.SIGKILL)


def _hold(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)
