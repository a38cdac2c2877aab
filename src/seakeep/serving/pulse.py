"""How busy a worker's event loop is, and what its process uses: the signals to scale by.

An event loop answers what it has read; what the kernel holds meanwhile waits unseen. How late a timer rings tells how long.
"""

from __future__ import annotations

import asyncio
import os
import time

from seakeep.serving.metrics import Used
from seakeep.serving.vitals import resident_bytes

BEAT_S = 0.05
"""How often the delay of the loop is measured, in seconds."""


class Pulse:
    """Measures the event loop that it is started on.

    Its timer costs some microseconds twenty times a second.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._process = os.getpid()
        self._lag_s = 0.0
        self._lags = 0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._due_s = self._loop.time() + BEAT_S
        self._timer = self._loop.call_at(self._due_s, self._beat)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer:
            self._timer.cancel()

    def used(self) -> Used:
        """What was used so far; to be called on the event loop's thread."""
        return Used(
            loop_us=int(time.thread_time() * 1e6),
            cpu_us=int(time.process_time() * 1e6),
            lag_us=int(self._lag_s * 1e6),
            lags=self._lags,
            memory_bytes=resident_bytes(self._process),
        )

    def _beat(self) -> None:
        self._lag_s += max(0.0, self._loop.time() - self._due_s)
        self._lags += 1
        self.start()
