"""Kills a process at every step of a change, one after another, and looks at what is left.

Forks; so it is used in a process of its own (see :func:`tests.recording.start`).
"""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

CALLS = ("open", "write", "fsync", "mkdir", "rename", "replace", "link", "unlink", "rmdir")


def at_every_step(change: Callable[[], Any], arm: Callable[[int], None]) -> Iterator[int]:
    """Run ``change`` in forks that are killed at step 1, 2, 3 …; yields each step whose fork was killed.

    Ends when a fork got through: then the change has happened.
    """
    for step in itertools.count(1):
        process = os.fork()
        if process == 0:
            try:
                arm(step)
                change()
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status == 0:
            return
        if status != -signal.SIGKILL:
            raise AssertionError(f"step {step} ended with {status}")
        yield step


def before_system_call(step: int) -> None:
    """Be killed before the n-th call that may change a file."""
    left = itertools.count(step, -1)

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **keywords: Any) -> Any:
            if next(left) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **keywords)

        return instead

    for name in CALLS:
        setattr(os, name, watched(getattr(os, name)))


def in_sqlite(every: int) -> Callable[[int], None]:
    """Be killed when SQLite has taken n times ``every`` steps of its machine, at whatever statement that is."""

    def arm(step: int) -> None:
        left = itertools.count(step, -1)
        connect = sqlite3.connect

        def watched(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **keywords)

            def tick() -> int:
                if next(left) == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return 0

            connection.set_progress_handler(tick, every)
            return connection

        sqlite3.connect = watched

    return arm
