"""From records to answers: how a model is, what changed, why, and whether its past can be computed again."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np

from seakeep.alerting.budget import recent
from seakeep.clock import DAY_US, Clock
from seakeep.config import Home
from seakeep.conversion.engine import open_session
from seakeep.data.version import load
from seakeep.diagnosis.monthly import Month, monthly
from seakeep.diagnosis.morning import brief
from seakeep.diagnosis.numbers import errors_of
from seakeep.errors import NotFoundError, SeakeepError
from seakeep.features.frame import Frame
from seakeep.features.parity import ParityReport, compare
from seakeep.features.personal import unreadable
from seakeep.monitoring.history import History
from seakeep.monitoring.latency import service_by_version
from seakeep.project.build import Builder
from seakeep.project.load import LoadedProject
from seakeep.project.natives import NativeProcesses, processes_of
from seakeep.project.online import dataset_of
from seakeep.project.recompute import PastFeatures, known
from seakeep.project.stores import Stores
from seakeep.recorder import query
from seakeep.recorder.policy import Policies
from seakeep.recorder.query import Query
from seakeep.recorder.table import OutcomeTable, PredictionTable
from seakeep.records.finding import Brief, Errors
from seakeep.records.prediction import ANSWERED, FRESH
from seakeep.records.version import Engine, Version
from seakeep.registry.bundle import Bundle
from seakeep.replay.why import Reexecution, environment_of, reexecute
from seakeep.training.environment import installed
from seakeep.training.host import host_class


class VersionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one version served in the last recorded day.

    Attributes
    ----------
    share
        Its part of the model's answered requests, 0 to 1.
    throughput_per_s
        Requests a second of wall clock; NaN with fewer than two.
    errors, refused
        Requests that failed here, and those that were the client's mistake.
    p50_ms, p99_ms
        Time end to end, milliseconds; NaN without an answer.
    quality
        Of numbers and classes alone: how far they are from the outcomes known by now; None without predictions old enough.
    engine
        What executes it.
    processes
        Of a version that is served natively: its processes at present.
    """

    model: str
    version: int
    role: str
    requests: int
    errors: int
    refused: int
    share: float
    throughput_per_s: float
    p50_ms: float
    p99_ms: float
    quality: Errors | msgspec.UnsetType | None = msgspec.UNSET
    engine: Engine = "onnx"
    processes: NativeProcesses | None = None


class Watcher:
    """Answers questions about the past from what was recorded and can be read.

    What cannot be is told by :func:`seakeep.recorder.losses.losses`.
    """

    def __init__(self, loaded: LoadedProject, home: Home, stores: Stores, builder: Builder, clock: Clock) -> None:
        self._loaded, self._home, self._stores, self._builder, self._clock = loaded, home, stores, builder, clock
        self._policies = Policies(stores.protector)
        self._references: dict[str, tuple[PredictionTable, OutcomeTable]] = {}

    def status(self, model: str, releases: dict[int, str]) -> list[VersionStatus]:
        """Every version that answered in the last recorded day.

        Parameters
        ----------
        releases
            Role by version number, as released now.
        """
        table = query.load(self._home.predictions, Query(model=model, roles=ANSWERED), damage=[])
        if len(table):
            table = table.select(table.time_us >= table.time_us[-1] - DAY_US)
        return [
            VersionStatus(
                model=model,
                version=number,
                role=releases.get(number, "retired"),
                requests=one.requests,
                errors=one.errors,
                refused=one.refused,
                share=one.requests / len(table),
                throughput_per_s=one.throughput_per_s,
                p50_ms=one.p50_ms,
                p99_ms=one.p99_ms,
                quality=self._quality(model, number),
                engine=(engine := self._engine(model, number)),
                processes=processes_of(self._home.metrics, model, number) if engine == "native" else None,
            )
            for number, one in service_by_version(table).items()
        ]

    def _engine(self, model: str, number: int) -> Engine:
        try:
            return self._stores.versions.get(model, number).engine
        except SeakeepError:  # as below
            return "onnx"

    def _quality(self, model: str, number: int) -> Errors | msgspec.UnsetType | None:
        try:
            version = self._stores.versions.get(model, number)
            outputs = self._stores.bundles.open(version.bundle).definition.label.outputs
        except SeakeepError:  # the version is gone; how it served is told all the same
            return msgspec.UNSET
        if outputs.yes_or_no:
            return msgspec.UNSET
        return errors_of(self.history(version), now_us=self.now_us(model))

    def history(self, version: Version) -> History:
        """Everything known about a version: validation rows, live predictions, outcomes."""
        bundle = self._stores.bundles.open(version.bundle)
        definition = bundle.definition
        reference, reference_outcomes = self.validation(bundle)
        live = query.load(
            self._home.predictions, Query(model=version.model, versions=(version.number,), roles=ANSWERED), damage=[]
        )
        label = definition.label
        told = query.outcomes(self._home.events, label, definition.schemas[label.source.name], damage=[])
        return History.of(reference, reference_outcomes, live, told, definition.columns, label.outputs)

    def now_us(self, model: str, since_us: int = 0) -> int:
        """The present of a model: what the clock says; where predictions live in the past, just after the newest.

        Parameters
        ----------
        since_us
            Older predictions are not looked for; without a newer one this is the present.
        """
        if self._loaded.settings.serving.clock == "wall":
            return self._clock.now_us()
        asked = Query(model=model, roles=ANSWERED, from_us=since_us)
        newest_us = query.extent(self._home.predictions, asked, damage=[]).newest_us
        return since_us if newest_us is None else newest_us + 1

    def morning(self, version: Version, now_us: int | None) -> Brief:
        """The brief of a morning, by default of the present, with the pages that were sent before it."""
        history = self.history(version)
        if now_us is None:
            if not len(history.live):
                raise NotFoundError(f"{version.ref} has no recorded predictions yet", hint="ask it something first")
            now_us = self.now_us(version.model, int(history.live.predictions.time_us[-1]))
        pages = recent(self._stores.pages.pages(version.model), now_us=now_us)
        made = brief(
            version.model,
            version.number,
            history,
            now_us=now_us,
            budget=self._loaded.model(version.model).alerts,
            pages_us=[page.time_us for page in pages],
        )
        return msgspec.structs.replace(made, pages=pages)

    def months(self, version: Version, now_us: int) -> tuple[Month, ...]:
        """The verdict of each month as it was possible then, beside what all outcomes showed later.

        Raises
        ------
        NotFoundError
            The model predicts numbers or classes, whose months are not judged yet.
        """
        history = self.history(version)
        if not history.outputs.yes_or_no:
            what = "classes" if history.outputs.of_classes else "numbers"
            message = f"{version.ref} predicts {what}, and months are judged for yes-or-no models alone"
            raise NotFoundError(message, hint=f"ask for the morning: seakeep morning {version.model}")
        return monthly(history, now_us=now_us)

    def why(self, prediction_id: str) -> Reexecution:
        """Execute a recorded prediction again."""
        prediction = self._policies.reveal_prediction(query.find(self._home.predictions, prediction_id))
        bundle = self._stores.bundles.open(prediction.bundle)
        session = open_session(bundle.model, engines=self._home.engines)
        host = host_class(session.device)
        return reexecute(
            prediction,
            bundle.definition,
            bundle.digest,
            session,
            environment=environment_of(bundle.proof, host=host, versions=installed(bundle.proof.versions)),
        )

    def parity(self, version: Version, sample: int) -> ParityReport:
        """Recompute the features of recorded predictions from what was known then, and compare.

        Parameters
        ----------
        sample
            How many predictions, evenly spread over all.
        """
        definition = self._stores.bundles.open(version.bundle).definition
        asked = Query(model=version.model, versions=(version.number,), roles=FRESH)
        live = query.load_asked(self._home.predictions, asked, damage=[])
        live = live.select((live.error == "") & (live.key != ""))
        live = live.select(np.unique(np.linspace(0, len(live) - 1, min(sample, len(live)), dtype=np.int64)))
        live = self._policies.reveal_table(live, definition)
        run = self._stores.bundles.open(version.bundle).run
        dataset = load(dataset_of(run, self._stores), self._stores.datasets)
        reveal = self._policies.reveal_events
        tables = known(definition, dataset, self._home.events, as_of_us=run.as_of_us, reveal=reveal)
        found, values = PastFeatures(definition, tables, lambda _: unreadable(definition.request)).at(live)
        times_us = live.time_us[found]
        frame = Frame(
            columns=definition.columns,
            values=values,
            key=live.key[found],
            time_us=times_us,
            label=np.full(len(times_us), np.nan),
            label_known_us=np.zeros(len(times_us), dtype=np.int64),
        )
        return compare(
            definition,
            numbers=live.numbers,
            categories=live.categories,
            times_us=live.time_us,
            keys=live.key.tolist(),
            frame=frame,
        )

    def validation(self, bundle: Bundle) -> tuple[PredictionTable, OutcomeTable]:
        """The rows a version was judged on, scored by it, and their outcomes; with categories as its records have them."""
        if bundle.digest not in self._references:
            frame = self._builder.validation(bundle.run)
            session = open_session(bundle.model, engines=self._home.engines)
            score = session.score(frame.numbers(), frame.categories())
            frame = dataclasses.replace(frame, values=self._policies.as_written(bundle.definition, frame.values))
            self._references[bundle.digest] = _as_predictions(frame, score, bundle), _as_outcomes(frame)
        return self._references[bundle.digest]


def _as_predictions(frame: Frame, score: np.ndarray, bundle: Bundle) -> PredictionTable:
    n = len(frame)
    scores, score = (score, score.max(axis=1)) if score.ndim == 2 else (np.empty((n, 0)), score)
    text = np.full(n, "", dtype=object)
    return PredictionTable(
        id=text,
        key=frame.key,
        role=np.full(n, "validation", dtype=object),
        pair=text,
        error=np.array(["" if np.isfinite(one) else "refused" for one in score.tolist()], dtype=object),
        version=np.zeros(n, dtype=np.int64),
        time_us=frame.time_us,
        recorded_us=frame.time_us,
        numbers=frame.numbers(),
        categories=frame.categories(),
        score=score,
        scores=scores,
        decision=score >= bundle.threshold,
        model_us=np.zeros(n),
        total_us=np.zeros(n),
    )


def _as_outcomes(frame: Frame) -> OutcomeTable:
    told = np.flatnonzero(np.isfinite(frame.label))
    order = told[np.argsort(frame.label_known_us[told], kind="stable")]
    return OutcomeTable(key=frame.key[order], known_us=frame.label_known_us[order], value=frame.label[order])
