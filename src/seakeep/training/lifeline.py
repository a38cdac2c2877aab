"""A child process that does not outlive whoever started it."""

from __future__ import annotations

import os
import signal
import stat
import threading


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
    threading.Thread(target=_hold, args=(lifeline,), name="lifeline", daemon=True).start()


def _hold(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)
