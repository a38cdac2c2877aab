"""Threads for what may never come back: they do not keep the process from ending.

A model whose batches would hold the event loop has one of its own: meanwhile the loop reads, answers and turns away, and
a thread that never comes back harms its own model alone. Loading has a few.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter while another waits for it; the loop must not wait for a batch."""

_Inbox = queue.SimpleQueue[Callable[[], None] | None]

LEAVE_S = 15.0
"""How long threads may go on with what they have begun when nobody needs them any more, in seconds: the interpreter must
not end under native code that would come back."""


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
        self._inboxes: dict[str, _Inbox] = {}

    def run(self, model: str, work: Callable[[], T], done: Callable[[T], object]) -> None:
        """Run ``work``, which must not raise, in the thread of a model, and then ``done`` with its result on the loop."""
        inbox = self._inboxes.get(model)
        if inbox is None:
            sys.setswitchinterval(SWITCH_S)
            inbox = queue.SimpleQueue()
            threading.Thread(target=_work, args=(inbox,), name=f"model {model}", daemon=True).start()
            self._inboxes[model] = inbox  # not before: a thread that cannot be started reads nothing
        inbox.put(lambda: self._tell(model, inbox, functools.partial(done, work())))

    def leave(self, model: str) -> None:
        """Leave the thread of a model to itself: what comes of it is not heard of, and what is next gets a new one."""
        inbox = self._inboxes.pop(model, None)
        if inbox:
            inbox.put(None)

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Call something later, on the loop."""
        self._loop.call_later(max(0.0, seconds), act)

    def collect(self) -> None:
        """Go on with what is done; the loop does so by itself, but not before it has read every socket."""
        while self._done:
            self._done.popleft()()

    def _tell(self, model: str, inbox: _Inbox, done: Callable[[], object]) -> None:
        if self._inboxes.get(model) is not inbox:
            return
        self._done.append(done)
        try:
            self._loop.call_soon_threadsafe(self.collect)
        except RuntimeError:
            return  # the loop has ended, and with it whoever waited


def _work(inbox: _Inbox) -> None:
    while work := inbox.get():
        work()


class Daemons(Executor):
    """Threads like those of a :class:`~concurrent.futures.ThreadPoolExecutor`, but nobody waits for them at the end."""

    def __init__(self, threads: int, name: str) -> None:
        self._room, self._name, self._over = threads, name, False
        self._inbox: _Inbox = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call ``fn`` in the next thread that is free.

        Raises
        ------
        RuntimeError
            Nothing is begun any more.
        """
        if self._over:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        if len(self._threads) < self._room:
            thread = threading.Thread(target=self._serve, name=f"{self._name} {len(self._threads)}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._inbox.put(lambda: _fulfil(future, functools.partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 -- as inherited
        """Let idle threads end, give the others some time, and leave those that hang."""
        self._over = True
        for _ in self._threads:
            self._inbox.put(None)
        until_s = time.monotonic() + (LEAVE_S if wait else 0.0)
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _serve(self) -> None:
        while work := self._inbox.get():
            work()


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 -- whoever waits for it gets it
        future.set_exception(error)
    else:
        future.set_result(result)
