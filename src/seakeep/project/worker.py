"""Entry of a serving worker: ``python -m seakeep.project.worker FOLDER NUMBER PORT [BESIDE]``.

It reads the settings alone, never the project's own code: everything a worker needs of a model is in its signed bundle.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from seakeep import __version__
from seakeep.backends.files.costs import FileCosts
from seakeep.backends.files.keys import load_or_create_pepper, load_or_create_protector, load_verifier
from seakeep.backends.files.sealed import SealedFolders
from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.backends.sql import Database, SqlKeys, SqlReleases
from seakeep.clock import Clock, SystemClock, TimeOrderedIds
from seakeep.config import Home, ServingSettings, Settings, load_settings
from seakeep.conversion.session import ENGINE
from seakeep.errors import PlatformError, SeakeepError
from seakeep.features.remember import RememberingStore
from seakeep.features.rows import EventDecoder, RequestDecoder
from seakeep.features.service import FeatureService
from seakeep.project.keyring import keyring
from seakeep.recorder.policy import Policies
from seakeep.recorder.writer import Writer
from seakeep.registry.bundle import Bundle, Bundles
from seakeep.security.keys import KeyAuthenticator
from seakeep.serving.logs import configured
from seakeep.serving.ports import SpanSink
from seakeep.serving.worker import WorkerContext, is_loopback, run_worker
from seakeep.training.host import host_class


def context(folder: Path, index: int, port: int, beside: Path | None = None) -> WorkerContext:
    """Wire one worker of the project in ``folder``.

    Parameters
    ----------
    beside
        Where a private worker records and counts: it listens on loopback alone, and leaves nothing in the home folder.

    Raises
    ------
    SeakeepError
        The settings are wrong, or something of the home folder cannot be opened.
    """
    settings = load_settings(folder)
    home = Home(folder / settings.project.home)
    clock = SystemClock()
    database = Database(home.database, clock=clock)
    pepper = load_or_create_pepper(home.keys)
    serving = msgspec.structs.replace(settings.serving, port=port)
    if beside:
        home, serving = home.beside(beside), private(serving)
    name = f"worker-{index}"
    policies = Policies(load_or_create_protector(home.keys))
    bundles = Bundles(SealedFolders(home.bundles, signer=None, verifier=load_verifier(home.keys)))

    def pen(records: Path) -> Writer:
        keys = keyring(records, folder, settings, home)
        return Writer(records, name, clock=clock, settings=settings.recorder, policy=policies, keyring=keys)

    return WorkerContext(
        index=index,
        settings=serving,
        metrics=home.metrics,
        routing=SqlReleases(database),
        bundles=_Declaring(bundles, policies),
        features=_features(home, serving, clock),
        predictions=pen(home.predictions),
        events=pen(home.events),
        authenticator=KeyAuthenticator(SqlKeys(database), pepper, loopback=is_loopback(serving.host)),
        request_decoders=RequestDecoder,
        event_decoders=EventDecoder,
        clock=clock,
        ids=TimeOrderedIds(clock),
        version=__version__,
        observing=settings.observe,
        spans=_spans(settings) if settings.observe.traces and not beside else None,
        lifeline=0,
        costs=FileCosts(home.costs, host=f"{host_class()}, {ENGINE}"),
        engines=home.engines,
    )


def _features(home: Home, settings: ServingSettings, clock: Clock) -> FeatureService:
    """The features; what is read of them is remembered only where older ones may stand in."""
    store = LmdbOnlineStore(home.online)
    if not any(model.stale_s for model in settings.models.values()):
        return FeatureService(store, clock=clock)
    remembering = RememberingStore(store)
    return FeatureService(remembering, clock=clock, recalled=remembering)


def _spans(settings: Settings) -> SpanSink:
    """Whoever collects traces, imported for those who want them.

    Raises
    ------
    PlatformError
        The extra is not installed.
    """
    try:
        from seakeep.backends.otlp.traces import OtlpTraces
    except ImportError as error:
        message = "observe.traces is set, but OpenTelemetry is not installed"
        raise PlatformError(message, hint="pip install 'seakeep[otel]', or set observe.traces = ''") from error
    return OtlpTraces(settings.observe.traces, service=settings.project.name, version=__version__)


def private(serving: ServingSettings) -> ServingSettings:
    """Settings of a service that nobody else is to reach."""
    return msgspec.structs.replace(serving, host="127.0.0.1", grpc_port=0)


class _Declaring:
    """The registry's bundles; what a version declares is told to the recorder before the version can answer."""

    def __init__(self, bundles: Bundles, policies: Policies) -> None:
        self._bundles, self._policies = bundles, policies

    def open(self, digest: str) -> Bundle:
        """Read and verify a bundle; IntegrityError if it does not verify."""
        bundle = self._bundles.open(digest)
        self._policies.learn(digest, bundle.definition)
        return bundle


def main(arguments: list[str]) -> int:
    """Serve until told to stop; returns the exit status. A fault is one line on standard error."""
    if len(arguments) not in {3, 4}:
        sys.stderr.write("usage: python -m seakeep.project.worker FOLDER NUMBER PORT [BESIDE]\n")
        return 2
    folder, index, port = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    try:
        given = context(folder, index, port, *map(Path, arguments[3:]))
        with configured(given.observing, worker=index):
            run_worker(given)
    except SeakeepError as fault:
        sys.stderr.write(f"worker {index}: error: {fault.message}\n  hint: {fault.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
