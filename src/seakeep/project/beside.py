"""Processes that stand beside the workers of a service: they may be killed at any moment, and are started again."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Sequence

AGAIN_S = 5.0
"""How long after its end a process is started again, in seconds."""

_log = logging.getLogger("seakeep.project")


class Beside:
    """One such process, started by :meth:`look` when it is due.

    Parameters
    ----------
    command
        Its command line. Its standard input is a pipe that ends when this process is gone: it must end then.
    handles
        File descriptors that it inherits.
    after_s
        How long from now it is due, in seconds.
    """

    def __init__(self, command: Sequence[str], *, handles: Sequence[int] = (), after_s: float = 0.0) -> None:
        self._command, self._handles = list(command), tuple(handles)
        self._process: subprocess.Popen[bytes] | None = None
        self._due_s = time.monotonic() + after_s

    def look(self) -> None:
        """Start it if it is due, or has ended; to be called often."""
        if self._process and self._process.poll() is not None:
            _log.warning("%s ended with %s", " ".join(self._command[3:]), self._process.returncode)
            self.close()
            self._due_s = time.monotonic() + AGAIN_S
        if self._process is None and time.monotonic() >= self._due_s:
            # A group of its own: Ctrl-C reaches this process alone.
            try:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, pass_fds=self._handles, start_new_session=True
                )
            except OSError:  # no room for another process at present
                _log.exception("%s cannot be started; it is tried again", " ".join(self._command[3:]))
                self._due_s = time.monotonic() + AGAIN_S

    def close(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()
            self._process = None
