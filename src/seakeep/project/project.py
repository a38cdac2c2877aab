"""The project as a Python object: every command is one of its methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seakeep.clock import Clock, SystemClock
from seakeep.config import Home, Settings
from seakeep.project.batch import BatchScoring
from seakeep.project.build import Builder
from seakeep.project.given import ModelFiles
from seakeep.project.load import load_project
from seakeep.project.online import OnlineViews
from seakeep.project.optimise import Optimiser
from seakeep.project.past import Past
from seakeep.project.recorder import FlightRecorder
from seakeep.project.release import Releaser
from seakeep.project.stores import open_stores
from seakeep.records.gate import GateResult
from seakeep.records.release import Receipt, Release, Way
from seakeep.records.run import Run
from seakeep.records.version import ParityProof, Version
from seakeep.registry.bundle import Bundle
from seakeep.security.audit import verify, verify_records

if TYPE_CHECKING:
    from seakeep.diagnosis.monthly import Month
    from seakeep.features.parity import ParityReport
    from seakeep.project.service import Service
    from seakeep.project.watch import VersionStatus, Watcher
    from seakeep.recorder.follow import Followed
    from seakeep.recorder.table import OutcomeTable, PredictionTable
    from seakeep.records.finding import Brief
    from seakeep.records.model import Model
    from seakeep.replay.traffic import Totals
    from seakeep.replay.why import Reexecution

PARITY_SAMPLE = 20_000
"""Recorded predictions whose features are recomputed, unless told otherwise."""


class Project:
    """A project's declarations and state. Make it with :func:`open_project`.

    A model is named as in ``project.py``; ``""`` is the only one. A version is named by a reference: ``late`` (the
    champion), ``late@candidate``, ``late:7``.

    Attributes
    ----------
    folder, settings
        The project's folder, and what its ``seakeep.toml`` says.
    models
        The declared models by name.
    stores
        What the project keeps: runs, versions, releases, gates, receipts, pages, erasures, audit, keys, datasets, bundles.
    past
        Recorded traffic through any version: ``replay``, ``whatif``, ``shadow``.
    optimiser
        Faster versions of registered ones: ``search``.
    files
        Models trained elsewhere: ``register`` takes one from its file.
    batch
        Files of rows through any version: ``score``.
    recorder
        What can be done with the records: read them with other tools, erase a subject, take another key.
    """

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        self._loaded = load_project(folder)
        self._clock = clock
        self.folder: Path = self._loaded.folder
        self.settings: Settings = self._loaded.settings
        self.models: Mapping[str, Model] = self._loaded.models
        self.home = Home(self.folder / self.settings.project.home)
        self.stores = open_stores(self.home, clock)
        self.recorder = FlightRecorder(self._loaded, self.home, self.stores, clock)
        self._online = OnlineViews(self.home, self.stores)
        self._builder = Builder(self._loaded, self.home, self.stores, clock)
        self.files = ModelFiles(self._builder)
        self._releaser = Releaser(self._loaded, self.stores, self._builder, self._online, clock)
        self.optimiser = Optimiser(self.stores, self._builder, self.resolve, clock)
        self.past = Past(self._loaded, self.home, self.stores, self.resolve)
        self.batch = BatchScoring(self._loaded, self.home, self.stores, self._online, self.resolve, clock)
        self._watching: Watcher | None = None

    # Build

    def train(
        self,
        model: str = "",
        *,
        as_of_us: int | None = None,
        validate_from_us: int | None = None,
        trainer: str = "",
        actor: str = "",
    ) -> Run:
        """Train a model on everything known before a moment (by default now), and record the run.

        Parameters
        ----------
        validate_from_us
            First moment of the validation rows; by default the last fifth of the time.
        trainer
            A function of the project's file that trains in place of the model's own.

        Raises
        ------
        SeakeepError
            The project, the data or the training is at fault; nothing is recorded then.
        """
        return self._builder.train(
            model, as_of_us=as_of_us, validate_from_us=validate_from_us, trainer=trainer, actor=actor
        )

    def rerun(self, run_id: str) -> Run:
        """Train a run again; RerunMismatch names the inputs that differ if the artefact is not the same to the byte."""
        return self._builder.rerun(run_id)

    def convert(self, run_id: str = "", *, actor: str = "") -> tuple[Version, ParityProof]:
        """Convert a run (by default the newest), prove it equal, and register the signed version.

        Raises
        ------
        ParityError
            The converted model does not answer as the trained one.
        ConversionError
            The estimator cannot be converted exactly.
        """
        return self._builder.convert(run_id, actor=actor)

    # Release

    def resolve(self, reference: str = "") -> Version:
        """The version a reference names, by default the only model's candidate; NotFoundError if there is none."""
        return self._releaser.resolve(reference or f"{self._loaded.model().name}@candidate")

    def bundle(self, version: Version) -> Bundle:
        """The verified content of a version; IntegrityError if a byte of it was changed."""
        return self.stores.bundles.open(version.bundle)

    def gates(self, reference: str, *, actor: str = "") -> tuple[GateResult, ...]:
        """Judge a version by its gates, on evidence gathered now."""
        return self._releaser.gates(self.resolve(reference), actor=actor)

    def promote(
        self, reference: str, *, actor: str = "", now: bool = False, override: str = "", way: Way | None = None
    ) -> Release:
        """Let a version answer: at once where there is no champion or with ``now``, in the ``way`` given, else by canary.

        Raises
        ------
        GateError
            A gate failed and ``override`` gives no reason.
        ConflictError
            It is the champion already, or another candidate is being rolled out.
        """
        return self._releaser.promote(self.resolve(reference), actor=actor, now=now, override=override, way=way)

    def rollback(
        self, model: str = "", *, actor: str = "", reason: str = "asked for", standby: bool = False
    ) -> Release:
        """Take back the candidate, or else go back to the champion before this one; or take away what stands by."""
        if standby:
            return self.stores.promotion.withdraw(self._loaded.model(model).name, reason=reason, actor=actor)
        return self._releaser.rollback(model, reason=reason, actor=actor)

    def history(self, model: str = "", *, at_us: int | None = None) -> Sequence[Release]:
        """What was in production, oldest first; with a moment only what was in force then."""
        return self._releaser.history(model, at_us)

    # Run

    def service(self) -> Service:
        """A service of the champions and candidates; a context manager with ``run()``."""
        from seakeep.project.service import Service

        return Service(self._loaded, self.home, self.stores, self._online, clock=self._clock)

    def replay_traffic(
        self,
        model: str = "",
        *,
        from_us: int,
        to_us: int,
        share: float = 1.0,
        headers: Mapping[str, str] | None = None,
        on_progress: Callable[[Totals], None] | None = None,
    ) -> Totals:
        """Stream the history of a model's sources through the running server, faster than it happened.

        Parameters
        ----------
        share
            Part of the request's rows that is asked for, chosen by their keys; all events are sent.
        headers
            Sent with every request, for example an API key.
        """
        from seakeep.project import stream

        definition = self.bundle(self.resolve(self._name(model))).definition
        what = stream.plan(self._loaded, definition, from_us=from_us, to_us=to_us, share=share)
        serving = self.settings.serving
        return stream.run(what, serving.host, serving.port, headers=headers or {}, on_progress=on_progress)

    # Know

    def status(self, model: str = "") -> list[VersionStatus]:
        """How the versions served in the last recorded day: of one model, or of all."""
        found: list[VersionStatus] = []
        for name in [self._loaded.model(model).name] if model else self.models:
            current = self._releaser.current(name)
            roles = {route.version: str(route.role) for route in current.routes} if current else {}
            found += self._watcher.status(name, roles)
        return found

    def morning(self, reference: str = "", *, now_us: int | None = None) -> Brief:
        """What changed, why, and what to do, from what was known at a moment (by default now)."""
        return self._watcher.morning(self.resolve(self._name(reference)), now_us)

    def months(self, reference: str = "", *, now_us: int | None = None) -> tuple[Month, ...]:
        """The verdict of each month that ended by ``now_us`` as it was possible then, beside what labels showed later."""
        now = self._clock.now_us() if now_us is None else now_us
        return self._watcher.months(self.resolve(self._name(reference)), now)

    def receipts(self, model: str = "") -> list[Receipt]:
        """What the rollouts that ended did to whom, newest first."""
        found = self.stores.receipts.receipts(self._loaded.model(model).name)
        return sorted(found, key=lambda receipt: receipt.started_us, reverse=True)

    def why(self, prediction_id: str) -> Reexecution:
        """Execute a recorded prediction again and compare the bits."""
        return self._watcher.why(prediction_id)

    def parity(self, reference: str = "", *, sample: int = PARITY_SAMPLE) -> ParityReport:
        """Recompute the features of recorded predictions from history, and compare them one by one."""
        return self._watcher.parity(self.resolve(self._name(reference)), sample)

    def validation(self, version: Version) -> tuple[PredictionTable, OutcomeTable]:
        """The rows a version was judged on, scored by it, and their outcomes."""
        return self._watcher.validation(self.bundle(version))

    def follow(self, model: str = "") -> Followed | None:
        """The records of a model, kept up to date while they are written; None before its first release."""
        from seakeep.recorder.follow import Followed

        name = self._loaded.model(model).name
        current = self._releaser.current(name)
        if current is None or current.champion is None:
            return None
        definition = self.stores.bundles.open(current.champion.bundle).definition
        schema = definition.schemas[definition.label.source.name]
        return Followed(
            name,
            definition.label,
            schema,
            predictions=self.home.predictions,
            events=self.home.events,
            clock=self._clock,
        )

    def verify_audit(self) -> int:
        """Check the chain of changes and the records they tell of; how many there are.

        Raises
        ------
        IntegrityError
            An entry or a record was changed, removed or added; the message names the first.
        """
        entries, records = self.stores.audit.evidence()
        count = verify(entries)
        verify_records(entries, records)
        return count

    @property
    def _watcher(self) -> Watcher:
        if self._watching is None:
            from seakeep.project.watch import Watcher

            self._watching = Watcher(self._loaded, self.home, self.stores, self._builder, self._clock)
        return self._watching

    def _name(self, reference: str) -> str:
        """A reference as given, or the only model."""
        return reference or self._loaded.model().name


def open_project(folder: Path | str = ".", *, clock: Clock | None = None) -> Project:
    """The project in a folder that holds a ``seakeep.toml``.

    Raises
    ------
    ProjectFaults, ConfigError
        The settings or the declarations are wrong.
    PlatformError
        The project's state cannot be opened.
    """
    return Project(Path(folder), clock=clock or SystemClock())
