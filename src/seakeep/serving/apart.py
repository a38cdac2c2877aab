"""A thread for each model whose batches would hold the event loop: meanwhile the loop reads, answers and turns away.

A thread that never comes back harms its own model alone, and does not keep the process from ending.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter while another waits for it; the loop must not wait for a batch."""


class Loop(Protocol):
    """What is used of an event loop."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: Any) -> object:
        """Call soon, from any thread."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> object:
        """Call after some seconds."""
        ...


class Apart:
    """Runs work of models in threads, and what follows on the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._done: deque[Callable[[], object]] = deque()
        self._inboxes: dict[str, queue.SimpleQueue[Callable[[], None]]] = {}

    def run(self, model: str, work: Callable[[], T], done: Callable[[T], object]) -> None:
        """Run ``work``, which must not raise, in the thread of a model, and then ``done`` with its result on the loop."""
        inbox = self._inboxes.get(model)
        if inbox is None:
            sys.setswitchinterval(SWITCH_S)
            inbox = self._inboxes[model] = queue.SimpleQueue()
            threading.Thread(target=_work, args=(inbox,), name=f"model {model}", daemon=True).start()
        inbox.put(lambda: self._tell(done, work()))

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Call something later, on the loop."""
        self._loop.call_later(max(0.0, seconds), act)

    def collect(self) -> None:
        """Go on with what is done; the loop does so by itself, but not before it has read every socket."""
        while self._done:
            self._done.popleft()()

    def _tell(self, done: Callable[[T], object], result: T) -> None:
        self._done.append(functools.partial(done, result))
        try:
            self._loop.call_soon_threadsafe(self.collect)
        except RuntimeError:
            return  # the loop has ended, and with it whoever waited


def _work(inbox: queue.SimpleQueue[Callable[[], None]]) -> None:
    while True:
        inbox.get()()
