"""A running service: workers kept alive, rollouts led, and processes beside them for all that is heavy."""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from seakeep.clock import Clock
from seakeep.config import Home
from seakeep.errors import PlatformError
from seakeep.project.beside import Beside
from seakeep.project.load import LoadedProject
from seakeep.project.online import OnlineViews
from seakeep.project.scratch import clear_abandoned
from seakeep.project.stores import Stores
from seakeep.recorder.recovery import recover
from seakeep.serving.comparison import judge
from seakeep.serving.rollout import RolloutController, Subject
from seakeep.serving.supervisor import Supervisor

READY_S = 60.0
"""Longest time the workers may take to load their versions, in seconds."""
STEP_S = 0.1
"""How often the workers and the rollouts are looked at, in seconds."""
UPKEEP_S = 5.0
"""How long the workers run before the days are judged and the records kept beside them, in seconds."""
LOCK = "service.lock"

_log = logging.getLogger("seakeep.project")


class Service:
    """The workers of a project and what must run beside them; a context manager.

    Parameters
    ----------
    loaded
        The project.
    online
        Fills the features before the first request.
    """

    def __init__(self, loaded: LoadedProject, home: Home, stores: Stores, online: OnlineViews, *, clock: Clock) -> None:
        self._loaded, self._home, self._stores, self._online, self._clock = loaded, home, stores, online, clock
        self._controllers: dict[str, RolloutController] = {}
        self._stop = threading.Event()
        self._lock = -1
        upkeep = [sys.executable, "-P", "-m", "seakeep.project.upkeep", str(loaded.folder)]
        self._beside = [Beside(upkeep, after_s=UPKEEP_S)]
        self._supervisor = Supervisor(
            lambda index, port: [
                sys.executable, "-P", "-m", "seakeep.project.worker", str(loaded.folder), str(index), str(port),
            ],
            loaded.settings.serving,
            home.metrics,
        )  # fmt: skip

    @property
    def port(self) -> int:
        """The port that the workers listen on."""
        return self._supervisor.port

    def __enter__(self) -> Self:
        """Settle what an earlier service left, fill the features, and start the workers.

        Raises
        ------
        PlatformError
            The project is being served already, or the port is in use.
        """
        self._lock = _take_lock(self._home)
        try:
            clear_abandoned(self._home.root)
            for folder in (self._home.predictions, self._home.events):
                if folder.is_dir():
                    recover(folder, self._clock)
            routes = self._stores.releases.routes()
            self._online.fill([self._stores.bundles.open(route.bundle) for route in routes])
            self._supervisor.start()
            self._supervisor.wait_ready(READY_S)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop as :meth:`close` does."""
        self.close()

    def run(self) -> None:
        """Keep the service healthy until SIGTERM, SIGINT or :meth:`stop`. To be called in the main thread."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stop.wait(STEP_S):
                for look in (self._supervisor.look, *(process.look for process in self._beside), self._lead):
                    _guarded(look)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def keep(self, beside: Beside) -> None:
        """Keep one more process alive beside the workers; to be called before :meth:`run`."""
        self._beside.append(beside)

    def stop(self) -> None:
        """Let :meth:`run` end."""
        self._stop.set()

    def close(self) -> None:
        """Let the workers finish what they have begun, and wait for them."""
        self._stop.set()
        self._supervisor.close()
        for process in self._beside:
            process.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop.set()

    def _lead(self) -> None:
        """One step of every model's rollout."""
        for model in self._loaded.models:
            try:
                controller = self._controller(model)
                if controller:
                    controller.step()
            except Exception:  # noqa: BLE001 -- the job border: the other models and the workers go on
                _log.exception("the rollout of %s could not be judged", model)

    def _controller(self, model: str) -> RolloutController | None:
        if model not in self._controllers:
            history = self._stores.releases.history(model)
            champion = history[-1].champion if history else None
            if champion is None:
                return None
            definition = self._stores.bundles.open(champion.bundle).definition
            self._controllers[model] = RolloutController(
                Subject(
                    name=model,
                    canary=self._loaded.models[model].rollout,
                    label=definition.label,
                    schema=definition.schemas[definition.label.source.name],
                ),
                predictions=self._home.predictions,
                events=self._home.events,
                releases=self._stores.promotion,
                receipts=self._stores.receipts,
                judge=functools.partial(judge, outputs=definition.label.outputs),
                clock=self._clock,
            )
        return self._controllers[model]


def _guarded(step: Callable[[], None]) -> None:
    """Run one of the service's jobs; what it raises ends neither the others nor the workers."""
    try:
        step()
    except Exception:  # noqa: BLE001 -- the job border: the others go on
        _log.exception("a job of the service failed; it is tried again")


def _take_lock(home: Home) -> int:
    """Hold the home folder for this service.

    Raises
    ------
    PlatformError
        Another service holds it.
    """
    handle = os.open(home.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        message = f"{home.root} is being served already"
        raise PlatformError(message, hint="stop the other `seakeep up`, or set another project.home") from None
    return handle
