"""One worker process: a data plane on a socket that it shares with the other workers of the service."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import faulthandler
import functools
import gc
import ipaddress
import logging
import os
import random
import signal
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from seakeep.clock import Clock, Ids
from seakeep.config import ObserveSettings, ServingSettings
from seakeep.errors import PlatformError, RecorderError
from seakeep.serving import descriptors
from seakeep.serving.apart import Apart, Daemons
from seakeep.serving.batch import BatchRunner
from seakeep.serving.dataplane import Dataplane
from seakeep.serving.exchange import Limits
from seakeep.serving.http import SWEEP_S, Connection, HttpServer
from seakeep.serving.ingest import Ingest, intakes_of
from seakeep.serving.loaded import LIMIT_S, load
from seakeep.serving.loader import THREADS, Loader
from seakeep.serving.logs import AccessLog
from seakeep.serving.metrics import Meters, State
from seakeep.serving.natives import Natives
from seakeep.serving.observer import Observer
from seakeep.serving.open_inference import OpenInference
from seakeep.serving.ports import (
    Authenticator,
    BundleSource,
    CostStore,
    EventDecoders,
    FeatureSource,
    RecordSink,
    RequestDecoders,
    RoutingSource,
    SpanSink,
)
from seakeep.serving.priority import Ranks
from seakeep.serving.pulse import Pulse
from seakeep.serving.recording import Recording
from seakeep.serving.rest import Rest
from seakeep.serving.shadow import Shadow
from seakeep.serving.terms import Terms
from seakeep.serving.tracing import Tracing
from seakeep.serving.vitals import anonymous_bytes

if TYPE_CHECKING:
    from seakeep.serving.grpc.server import GrpcServer
    from seakeep.serving.routing import Traffic

DRAIN_S = 10.0
"""Longest time a worker takes to finish what it has begun, in seconds."""
_QUIET_S = 1.0
"""While draining, how long a connection may be silent before it is closed."""
_BACKLOG = 1024
_COLLECT = (10_000, 50, 100)
"""When garbage is looked for: requests make no cycles, so that at Python's own pace it is a tenth of the work for nothing."""
TELL = signal.SIGUSR2
"""On this signal a worker writes to standard error where each of its threads is, also while it hangs."""

_log = logging.getLogger("seakeep.serving")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """All that a worker needs.

    Attributes
    ----------
    index
        The worker's number, from 0.
    metrics
        Folder of all workers' counters.
    predictions, events
        The recorder's pens; the worker closes them when it ends.
    request_decoders, event_decoders
        Make the decoder of a definition's rows, and of a source's events.
    spans
        Takes the spans of traced requests; the worker closes it when it ends. None: nothing is traced.
    lifeline
        A file descriptor that becomes readable when whoever started the worker is gone (its standard input, a pipe);
        None: it lives on its own.
    costs
        What models cost by the size of a batch; None: they are not measured.
    engines
        Folder in which TensorRT keeps the engines that it builds; None: it keeps none.
    """

    index: int
    settings: ServingSettings
    metrics: Path
    routing: RoutingSource
    bundles: BundleSource
    features: FeatureSource
    predictions: RecordSink
    events: RecordSink
    authenticator: Authenticator
    request_decoders: RequestDecoders
    event_decoders: EventDecoders
    clock: Clock
    ids: Ids
    version: str = ""
    observing: ObserveSettings = dataclasses.field(default_factory=ObserveSettings)
    spans: SpanSink | None = None
    lifeline: int | None = None
    costs: CostStore | None = None
    engines: Path | None = None


def run_worker(context: WorkerContext) -> None:
    """Serve until SIGTERM, SIGINT or the end of the lifeline; then finish what was begun.

    Raises
    ------
    PlatformError
        The port is in use, or the metrics file cannot be made.
    """
    import uvloop

    faulthandler.register(TELL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(context).run())


class Worker:
    """Wires the parts of a data plane and runs them on the event loop."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._meters = Meters(context.metrics, context.index)
        self._meters.started(context.clock.now_us())
        self._natives = Natives(self._meters)
        self._stop = asyncio.Event()
        self._listening = False

    async def run(self) -> None:
        """Serve until told to stop."""
        context, settings = self._context, self._context.settings
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        if context.lifeline is not None:
            loop.add_reader(context.lifeline, self._feel, context.lifeline)
        with (
            Daemons(THREADS, "load") as loading,
            contextlib.ExitStack() as ending,
            ThreadPoolExecutor(1, "commit") as committing,
        ):
            self._wire(loop, loading, committing)
            # Whatever happens, and before loads that hang are waited for: whoever loses patience then loses no record.
            ending.callback(self._close)
            sweeper = loop.create_task(self._sweep())
            follower = loop.create_task(self._loader.follow())
            listening = listen(settings.host, settings.port)
            stopping = loop.create_task(self._stop.wait())
            settled = loop.create_task(self._loader.settled())
            await asyncio.wait((stopping, settled), return_when=asyncio.FIRST_COMPLETED)
            gc.collect()
            gc.freeze()  # what is loaded stays: collections need not look at it again
            gc.set_threshold(*_COLLECT)
            self._meters.settled(anonymous_bytes(os.getpid()))
            server = await loop.create_server(
                functools.partial(Connection, self._http), sock=listening, backlog=_BACKLOG
            )
            grpc_listening = listen(settings.host, settings.grpc_port, "serving.grpc_port") if self._grpc else None
            if self._grpc and grpc_listening:
                await self._grpc.start(grpc_listening, _BACKLOG)
            self._pulse.start()
            self._listening = True
            self._report()
            await stopping
            if self._grpc and grpc_listening:
                await _accept_waiting(loop, grpc_listening, self._grpc.connection)
            await self._drain(loop, server, listening)
            self._pulse.stop()
            for task in (sweeper, follower, settled):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def stop(self) -> None:
        """Let :meth:`run` finish what was begun and end."""
        self._stop.set()

    def _wire(self, loop: asyncio.AbstractEventLoop, loading: Executor, committing: Executor) -> None:
        context, settings, meters = self._context, self._context.settings, self._meters
        clock, ids = context.clock, context.ids
        self._pulse = Pulse(loop)
        runner = BatchRunner(context.features, clock=clock, ids=ids, mode=settings.clock)
        recording = Recording(context.predictions, meters, clock=clock, ids=ids)
        beside = BatchRunner(context.features, clock=clock, ids=ids, mode=settings.clock)
        self._shadow = Shadow(beside, recording, meters, clock=clock, defer=loop.call_soon)
        observer = _observer(context)
        self._dataplane = Dataplane(
            runner,
            recording,
            self._shadow,
            defer=loop.call_soon,
            settings=settings,
            terms=Terms(settings, context.metrics),
            observe=observer.answered,
        )
        self._dataplane.after = loop.call_soon
        self._dataplane.execution.apart = self._shadow.apart = Apart(loop)
        self._ingest = Ingest(
            context.events, context.features, committing, clock=clock, ids=ids, max_waiting=settings.max_in_flight
        )
        load_one = functools.partial(
            load,
            bundles=context.bundles,
            features=context.features,
            decoders=context.request_decoders,
            costs=context.costs,
            limit_s=max(LIMIT_S, 2.0 * settings.hang_s),
            engines=context.engines,
        )
        self._loader = Loader(context.routing, load_one, self._put_in_force, loading)
        self._protocol = OpenInference(
            self._dataplane,
            loading=lambda: self._loader.state,
            clock=clock,
            ids=ids,
            max_rows=settings.max_rows,
            version=context.version,
            ranks=Ranks(settings),
        )
        self._rest = Rest(
            self._protocol,
            dataplane=self._dataplane,
            ingest=self._ingest,
            authenticator=context.authenticator,
            meters=meters,
            metrics=context.metrics,
            observer=observer,
        )
        self._grpc = _open_grpc(self._protocol, context, meters, observer) if settings.grpc_port else None
        hosts = loopback_names(settings.host)
        limits = Limits(body_bytes=settings.max_body_bytes)
        limits = dataclasses.replace(limits, connections=descriptors.connections(limits.connections))
        self._http = HttpServer(self._rest, limits, clock, hosts)

    def _put_in_force(self, traffic: Mapping[str, Traffic | None]) -> None:
        self._dataplane.traffic = traffic
        definitions = [version.definition for version in self._loader.champions_last]
        self._ingest.intakes = intakes_of(definitions, self._context.event_decoders)

    async def _sweep(self) -> None:
        sweeps = [self._http.sweep, *([self._grpc.sweep] if self._grpc else [])]
        looks = [*sweeps, self._report, self._end_without_recorder, self._end_hanging]
        while True:
            for look in looks:
                try:
                    look()
                except Exception:  # noqa: BLE001 -- the border of a look: the others and the next round go on
                    _log.exception("a worker's look after itself failed; it looks again in %g s", SWEEP_S)
            await asyncio.sleep(SWEEP_S)

    def _end_without_recorder(self) -> None:
        """End in order if the recorder has ended: what is answered would not be recorded."""
        if not ((self._context.predictions.alive and self._context.events.alive) or self._stop.is_set()):
            _log.error("the recorder has ended: this worker ends in order, and the next one records again")
            self.stop()

    def _end_hanging(self) -> None:
        """End in order if a model does not come back: only a new process gets rid of the thread that it holds."""
        hanging = self._dataplane.execution.end_hanging(self._context.settings.hang_s)
        if hanging:
            _log.error("%s does not come back: this worker ends in order, and is replaced", ", ".join(hanging))
            faulthandler.dump_traceback(all_threads=True)
            self.stop()

    def _report(self, state: State | None = None) -> None:
        in_flight = self._dataplane.in_flight + self._ingest.in_flight
        if state is None:
            state = ("ready" if self._loader.state.ready else "not-ready") if self._listening else "starting"
        self._meters.report(state, in_flight, self._context.clock.now_us())
        self._meters.used(self._pulse.used())
        self._natives.report([] if state == "stopped" else self._loader.champions_last)

    def _feel(self, lifeline: int) -> None:
        if not os.read(lifeline, 1):
            asyncio.get_running_loop().remove_reader(lifeline)
            self._stop.set()

    async def _drain(self, loop: asyncio.AbstractEventLoop, server: asyncio.Server, listening: socket.socket) -> None:
        """Take no more connections; answer what is on its way, on every connection; let silent ones go."""
        self._protocol.draining = True
        self._http.drain(_QUIET_S)
        self._report("draining")
        await _accept_waiting(loop, listening, functools.partial(Connection, self._http))
        server.close()
        deadline_s = loop.time() + DRAIN_S
        closing = loop.create_task(self._grpc.close(DRAIN_S)) if self._grpc else None
        # Also what nobody waits for any more is answered, and so recorded.
        while loop.time() < deadline_s and (  # noqa: ASYNC110 -- of many
            self._http.connections or self._ingest.in_flight or self._dataplane.in_flight
        ):
            await asyncio.sleep(0.02)
        for connection in list(self._http.connections):
            connection.expire()
        if closing:
            await closing
        self._shadow.finish()

    def _close(self) -> None:
        for sink in (self._context.predictions, self._context.events):
            try:
                sink.close()
            except RecorderError:
                _log.exception("the recorder could not be closed in order")
        if self._context.spans is not None:
            self._context.spans.close()
        self._report("stopped")


def _observer(context: WorkerContext) -> Observer:
    """Whoever is told of requests, as the settings say."""
    observing, spans = context.observing, context.spans
    draw = random.Random().random  # noqa: S311 -- a sample, not a secret
    tracing = None if spans is None else Tracing(spans, share=observing.trace_share, clock=context.clock)
    return Observer(AccessLog(observing.access_share, draw), tracing)


def _open_grpc(protocol: OpenInference, context: WorkerContext, meters: Meters, observer: Observer) -> GrpcServer:
    """A server for gRPC, which nobody else pays for.

    Raises
    ------
    PlatformError
        The extra is not installed.
    """
    try:
        from seakeep.serving.grpc.server import GrpcServer
        from seakeep.serving.grpc.service import InferenceService
    except ImportError as error:
        message = f"serving.grpc_port is {context.settings.grpc_port}, but gRPC is not installed"
        raise PlatformError(message, hint="pip install 'seakeep[grpc]', or set serving.grpc_port = 0") from error
    service = InferenceService(protocol, authenticator=context.authenticator, meters=meters, observer=observer)
    return GrpcServer(service, context.settings)


async def _accept_waiting(
    loop: asyncio.AbstractEventLoop, listening: socket.socket, connection: Callable[[], asyncio.Protocol]
) -> None:
    """Take the connections that the kernel has made but nobody has accepted: closing would reset them."""
    with contextlib.suppress(BlockingIOError):
        while True:
            taken, _ = listening.accept()
            taken.setblocking(False)  # noqa: FBT003 -- socket's signature
            await loop.connect_accepted_socket(connection, taken)


def listen(host: str, port: int, setting: str = "serving.port") -> socket.socket:
    """A listening socket on a port that other workers listen on too.

    Raises
    ------
    PlatformError
        The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise cannot_listen(host, port, error, setting) from error
    listening.setblocking(False)  # noqa: FBT003 -- socket's signature
    return listening


def cannot_listen(host: str, port: int, error: OSError, setting: str = "serving.port") -> PlatformError:
    """What to tell a person about an address that cannot be listened on."""
    if error.errno == errno.EADDRINUSE:
        message = f"port {port} of {host} is in use"
        variable = f"SEAKEEP_{setting.upper().replace('.', '__')}"
        another = f"{setting} in seakeep.toml, or {variable} in the environment"
        return PlatformError(message, hint=f"stop what listens there, or choose another: {another}")
    message = f"cannot listen on port {port} of {host}: {error.strerror}"
    return PlatformError(message, hint=f"set serving.host to an address of this machine and {setting} above 1023")


def loopback_names(host: str) -> frozenset[bytes]:
    """The hosts a client may name to reach a server on loopback; none where it listens to others too."""
    names = frozenset({b"localhost", b"127.0.0.1", b"[::1]", host.encode()})
    return names if is_loopback(host) else frozenset()


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
