"""Follows the releases: loads versions off the event loop, and puts them in force by one assignment.

A version answers only once it is verified, loaded, warmed up and its features are kept. Until then the version before it
answers. Taking a version out of force costs nothing, so that a rollback is in force at the next look.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from seakeep.errors import SeakeepError
from seakeep.records.release import Route
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.ports import RoutingSource
from seakeep.serving.routing import Traffic, share_out

POLL_S = 0.02
"""How often the revision is looked at, in seconds."""
RETRY_S = 5.0
"""After how long a version that could not be loaded is tried again, in seconds."""
LOAD_S = 60.0
"""Longest time one version may take to load, in seconds: a model whose warm-up does not return holds up no other."""
THREADS = 4
"""Loads take turns; the other threads are for after a load that did not return."""
KEPT_RETIRED = 2
"""Versions out of force that stay in memory, so that a rollback to them needs no loading."""

_log = logging.getLogger("seakeep.serving")


@dataclasses.dataclass(frozen=True, slots=True)
class LoadFailure:
    """A version that could not be loaded: it does not answer."""

    model: str
    version: int
    code: str


@dataclasses.dataclass(frozen=True, slots=True)
class Loading:
    """What is loaded.

    Attributes
    ----------
    settled
        Whether the releases were read and every version was loaded or has failed.
    ready
        Whether every model that has a champion can answer.
    """

    settled: bool
    ready: bool
    versions: dict[str, list[int]]
    failures: tuple[LoadFailure, ...]


class Loader:
    """Keeps the traffic table true to the releases.

    Parameters
    ----------
    routing
        Where the releases are.
    load
        Loads one version; called in ``executor``, which has :data:`THREADS` threads.
    apply
        Gets each new traffic table, by model; None for a model of which nothing is loaded.
    """

    def __init__(
        self,
        routing: RoutingSource,
        load: Callable[[Route], LoadedVersion],
        apply: Callable[[Mapping[str, Traffic | None]], None],
        executor: Executor,
    ) -> None:
        self._routing, self._load, self._apply, self._executor = routing, load, apply, executor
        self._revision: int | None = None
        self._routes: dict[str, list[Route]] = {}
        self._loaded: dict[str, LoadedVersion] = {}
        self._failed: dict[str, tuple[LoadFailure, float]] = {}
        self._loading: set[str] = set()
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._traffic: dict[str, Traffic | None] = {}
        self._settled = asyncio.Event()
        self._fault = ""

    @property
    def state(self) -> Loading:
        """What is loaded, at present."""
        versions = {
            model: [one.number for one in traffic.versions] for model, traffic in self._traffic.items() if traffic
        }
        return Loading(
            settled=self._settled.is_set(),
            ready=self._settled.is_set() and None not in self._traffic.values(),
            versions=versions,
            failures=tuple(failure for failure, _ in self._failed.values()),
        )

    @property
    def champions_last(self) -> list[LoadedVersion]:
        """The versions in force; the champions come last."""
        in_force = [traffic for traffic in self._traffic.values() if traffic]
        others = [other for traffic in in_force for other in (traffic.standby, traffic.candidate) if other]
        return [*others, *(traffic.champion for traffic in in_force)]

    @property
    def _wanted(self) -> set[str]:
        return {route.bundle for routes in self._routes.values() for route in routes}

    async def follow(self) -> None:
        """Follow the releases until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(POLL_S)

    async def settled(self) -> None:
        """Wait until the first releases are loaded, or have failed."""
        await self._settled.wait()

    def _look(self) -> None:
        try:
            revision = self._routing.revision()
            if revision != self._revision:
                self._take(self._routing.routes())
                self._revision = revision
                self._fault = ""
            self._load_missing()
        except Exception as error:  # noqa: BLE001 -- the job border: what is in force stays in force
            if str(error) != self._fault:
                self._fault = str(error)
                _log.exception("the releases cannot be followed")

    def _take(self, routes: Sequence[Route]) -> None:
        """Put new routes in force as far as their versions are loaded."""
        self._routes = {}
        for route in routes:
            self._routes.setdefault(route.model, []).append(route)
        wanted = self._wanted
        self._failed = {bundle: found for bundle, found in self._failed.items() if bundle in wanted}
        self._share_out()

    def _share_out(self) -> None:
        self._traffic = {
            model: share_out(routes, self._loaded, self._traffic.get(model)) for model, routes in self._routes.items()
        }
        self._forget()
        self._apply(self._traffic)

    def _forget(self) -> None:
        """Let go of versions that are out of force, but for the last few."""
        kept = self._wanted | {version.bundle for version in self.champions_last}
        retired = [bundle for bundle in self._loaded if bundle not in kept]
        for bundle in retired[: max(0, len(retired) - KEPT_RETIRED)]:
            del self._loaded[bundle]

    def _load_missing(self) -> None:
        now_s = time.monotonic()
        waiting = False
        for route in [route for routes in self._routes.values() for route in routes]:
            bundle = route.bundle
            if bundle in self._loaded:
                continue
            failed = self._failed.get(bundle)
            if failed and now_s < failed[1] + RETRY_S:
                continue
            waiting = waiting or not failed
            if bundle not in self._loading:
                self._loading.add(bundle)
                task = asyncio.get_running_loop().create_task(self._load_one(route))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if not waiting:
            self._settled.set()

    async def _load_one(self, route: Route) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with self._turn:
                version = await asyncio.wait_for(loop.run_in_executor(self._executor, self._load, route), LOAD_S)
        except Exception as error:  # noqa: BLE001 -- the job border
            code = error.code if isinstance(error, SeakeepError) else "internal"
            _log.exception("%s:%s could not be loaded", route.model, route.version)
            # One that did not return still has its thread: it is tried again only when it is put in force anew.
            failed_s = math.inf if isinstance(error, TimeoutError) else time.monotonic()
            if route.bundle in self._wanted:
                self._failed[route.bundle] = (LoadFailure(route.model, route.version, code), failed_s)
        else:
            self._failed.pop(route.bundle, None)
            self._loaded[route.bundle] = version
            self._share_out()
        finally:
            self._loading.discard(route.bundle)
            self._load_missing()
