"""A faster version of a registered one: searched, confirmed, proved and registered."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from seakeep.clock import Clock, TimeOrderedIds
from seakeep.conversion.engine import open_session
from seakeep.conversion.optimise import assess
from seakeep.conversion.optimise.search import (
    SOURCE,
    Candidate,
    Found,
    nearest,
    outside_loss,
    pareto,
    search,
)
from seakeep.conversion.optimise.workshop import Made, Request, make_all
from seakeep.conversion.packed import engine_of
from seakeep.errors import ConfigError, ConversionError, SeakeepError, TrainingError
from seakeep.features.frame import Frame
from seakeep.project.build import ESTIMATOR, VALIDATION, Builder
from seakeep.project.stores import Stores
from seakeep.records.model import ModelDefinition
from seakeep.records.optimise import Attempt, Confirmed, Limits, Optimised, Origin, Recipe
from seakeep.records.run import Run
from seakeep.records.version import Version
from seakeep.registry.bundle import Bundle
from seakeep.training.environment import environment
from seakeep.training.evaluate import KNOWN_BY
from seakeep.training.fit import judge
from seakeep.training.frames import write_frame
from seakeep.training.run import Inputs, assemble, new_run_id
from seakeep.training.split import calibration_split
from seakeep.training.threshold import choose_threshold

if TYPE_CHECKING:
    from seakeep.conversion.engine import Session
    from seakeep.conversion.providers import Provider

Progress = Callable[[float, str], None]
"""Takes the part that is done, 0 to 1, and what is going on."""
MOST_BATCH = 100_000
DROPPED = (0.25, 0.5)
"""Parts of the inputs that are left out, the least important first."""
MOST_ROWS = 1024
"""Rows of a batch that an engine of TensorRT is built for; for larger ones where more are asked for."""
_IMPORTANCE_ROWS = 5_000
NATIVE = Recipe(by="native", told="native runtime")
"""The source's own estimator, served by its framework: nothing is made, the run is converted otherwise."""
ENGINE = Recipe(by="engine", told="inference engine")
"""What a native source is beside it: converted, and executed as usual."""
_ACCELERATED: dict[str, dict[str, bool | int | str]] = {
    "cuda": {"accelerator": "cuda"},
    "tensorrt": {"accelerator": "tensorrt"},
    "tensorrt half": {"accelerator": "tensorrt", "half": True},
}
"""Settings of the engine, by name, for what computes beside the processor."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The version that is searched from, with everything that candidates are held against.

    Attributes
    ----------
    session
        The loaded model, in whatever executes it.
    learn
        Labelled rows that it was trained on.
    validate, calibrate, test
        All labelled rows that judge; those to choose by; those to test the choice.
    """

    version: Version
    bundle: Bundle
    session: Session
    run: Run
    artefact: bytes
    learn: Frame
    validate: Frame
    calibrate: Frame
    test: Frame


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A candidate that could be made.

    Attributes
    ----------
    definition
        The source's, or one with fewer inputs.
    scores
        Its answers to all validation rows.
    """

    recipe: Recipe
    artefact: bytes
    model: bytes
    definition: ModelDefinition
    session: Session
    scores: assess.Scores


class Optimiser:
    """Searches for faster versions.

    Parameters
    ----------
    builder
        Gives the rows and estimators of runs, proves and registers.
    resolve
        The version that a reference names.
    """

    def __init__(self, stores: Stores, builder: Builder, resolve: Callable[[str], Version], clock: Clock) -> None:
        self._stores, self._builder, self._resolve, self._clock = stores, builder, resolve, clock

    def search(
        self,
        reference: str = "",
        limits: Limits | None = None,
        *,
        dry_run: bool = False,
        actor: str = "",
        on_progress: Progress | None = None,
    ) -> Optimised:
        """Try other ways to execute it, fewer trees, students and fewer inputs, and register the fastest that keeps the limits.

        A candidate is chosen on the earlier half of the source's validation rows by the pessimistic ends of what was
        measured, never if it may be slower than the source, and must keep the limit on the loss on the later half too.

        Parameters
        ----------
        reference
            The source; by default the only model's candidate.
        dry_run
            Register nothing.

        Raises
        ------
        ConfigError
            A limit cannot be one.
        NotFoundError
            There is no such version, or its run or dataset is gone.
        """
        limits = limits or Limits()
        check(limits)
        tell = on_progress or (lambda _part, _what: None)
        tell(0.0, "rows")
        with contextlib.ExitStack() as sessions:
            source = self._source(self._resolve(reference), sessions)
            tell(0.1, "candidates")
            entries, unmade = self._entries(source, limits.batch, tell, sessions)
            tell(0.6, "measurements")
            table = _Table(source, entries, unmade, limits)
            found = search(table.source, table.candidates, limits, table.times)
        tell(0.7, "choice")
        faults: dict[str, str] = {}
        for name in found.ranking:
            entry = entries[name]
            confirmed = table.confirm(entry)
            faults[name] = (
                outside_loss(confirmed.loss, limits) and f"on the test rows it {outside_loss(confirmed.loss, limits)}"
            )
            if faults[name]:
                continue
            made = table.told(found, faults, chosen=name, confirmed=confirmed)
            if dry_run:
                return made
            tell(0.75, f"proof of {name}")
            try:
                version = self._register(source, entry, made, actor)
            except ConversionError as fault:
                faults[name] = f"its proof failed: {fault.message}"
                continue
            return msgspec.structs.replace(made, version=version)
        made = table.told(found, faults)
        return made if found.source_keeps else msgspec.structs.replace(made, refusal=table.refusal(found, faults))

    def _source(self, version: Version, sessions: contextlib.ExitStack) -> Source:
        bundle = self._stores.bundles.open(version.bundle)
        run = self._stores.runs.get(version.run)
        if run.given:
            raise ConversionError(
                f"{version.ref} was registered from {run.given.name}: what is not of a training here is not taken apart",
                hint="train the model in the project to search from it",
            )
        validate = self._builder.validation(run)
        validate = validate.select(np.isfinite(validate.label))
        calibrate, test = calibration_split(validate)
        return Source(
            version=version,
            bundle=bundle,
            session=_opened(bundle.model, sessions),
            run=run,
            artefact=self._builder.estimator(run),
            learn=self._builder.learnt(run),
            validate=validate,
            calibrate=calibrate,
            test=test,
        )

    def _entries(
        self, source: Source, batch: int, tell: Progress, sessions: contextlib.ExitStack
    ) -> tuple[dict[str, Entry], dict[str, str]]:
        """Candidates by name, and why others could not be made."""
        run = source.run
        request = Request(
            artefact_sha256=run.artefact,
            outputs=run.definition.label.outputs,
            seed=run.seed,
            code=self._builder.code(run),
        )
        made = [(one, run.definition) for one in make_all(request, source.artefact, source.learn, source.calibrate)]
        tell(0.4, "fewer inputs")
        made += self._fewer_inputs(source)
        recipes, untried = accelerated(batch)
        if engine_of(source.bundle.model) == "native":
            recipes = (ENGINE, *recipes)
        else:
            made.append((self._native(source), run.definition))
        if recipes:
            asked = msgspec.structs.replace(request, recipes=recipes)
            made += [(one, run.definition) for one in make_all(asked, source.artefact, source.learn, source.calibrate)]
        entries, unmade = {}, dict(untried)
        for one, definition in made:
            if one.fault:
                unmade[one.recipe.told] = one.fault
                continue
            try:
                session = _opened(one.model, sessions)
            except SeakeepError as fault:  # an accelerator may take it or not
                unmade[one.recipe.told] = f"not made: {fault.message}"
                continue
            scores = assess.score(session, source.validate, definition.columns)
            told = scores[assess.answered(scores)]
            if not len(told):
                unmade[one.recipe.told] = "answers no row"
                continue
            threshold = choose_threshold(definition.decision, told, definition.label.outputs)
            entries[one.recipe.told] = Entry(
                recipe=one.recipe,
                artefact=one.artefact,
                model=one.model,
                definition=definition,
                session=session,
                scores=assess.Scores(score=scores, threshold=threshold),
            )
        return entries, unmade

    def _native(self, source: Source) -> Made:
        """The source's estimator as its own framework executes it: the model that ``seakeep convert --native`` makes."""
        run = source.run
        try:
            kept = self._builder.proved(run, source.artefact, self._builder.validation(run), native=True)
        except SeakeepError as fault:
            return Made(recipe=NATIVE, fault=f"not made: {fault.message}")
        return Made(recipe=NATIVE, artefact=source.artefact, model=kept.model)

    def _fewer_inputs(self, source: Source) -> list[tuple[Made, ModelDefinition]]:
        """The project's own training, with the inputs alone that matter."""
        run = source.run
        if run.origin is not msgspec.UNSET:
            return []  # it was not the project's training that made it
        columns, rows = run.definition.columns, source.calibrate
        few = rows.select(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _IMPORTANCE_ROWS)).astype(np.int64)))
        worth = assess.importances(source.session, few, columns, run.definition.label.outputs, run.seed)
        ordered = sorted(worth, key=lambda name: worth[name])
        made = []
        for dropped in dict.fromkeys(int(part * len(columns)) for part in DROPPED):
            if 0 < dropped < len(columns):
                names = tuple(ordered[:dropped])
                told = f"without {dropped} of {len(columns)} inputs"
                made.append(self._trained_without(source, Recipe(by="inputs", told=told, without=names)))
        return made

    def _trained_without(self, source: Source, recipe: Recipe) -> tuple[Made, ModelDefinition]:
        try:
            with tempfile.TemporaryDirectory(prefix="seakeep-train-") as folder:
                trained = self._builder.without(source.run, recipe.without, Path(folder))
            request = Request(
                artefact_sha256=trained.run.artefact,
                outputs=trained.run.definition.label.outputs,
                recipes=(Recipe(by="engine", told=recipe.told),),
                code=self._builder.code(trained.run),
            )
            (made,) = make_all(request, trained.artefact, trained.validate, trained.validate)
        except TrainingError as fault:
            told = f"not made: {fault.message}; its columns are those of frame.columns, of which train is to choose"
            return Made(recipe=recipe, fault=told), source.run.definition
        except SeakeepError as fault:
            return Made(recipe=recipe, fault=f"not made: {fault.message}"), source.run.definition
        return dataclasses.replace(made, recipe=recipe), trained.run.definition

    def _register(self, source: Source, entry: Entry, made: Optimised, actor: str) -> Version:
        """Prove a candidate against its own estimator, and keep it as a run and a version of its own.

        The native runtime has the source's own run, of which it is another version: nothing was made.
        """
        started, run = time.perf_counter(), source.run
        if entry.recipe == NATIVE:
            return self._builder.convert(run.id, actor=actor, native=True)[0]
        validate = dataclasses.replace(source.validate, columns=entry.definition.columns)
        if not np.isfinite(entry.scores.score).all():
            raise TrainingError(f"{source.version.ref} refuses some of its own validation rows", hint="train again")
        fitted = judge(
            entry.definition,
            (dataclasses.replace(source.learn, columns=entry.definition.columns), validate),
            entry.scores.score,
            entry.artefact,
            validate_from_us=run.validate_from_us,
            seed=run.seed,
        )
        inputs = Inputs(
            id=new_run_id(TimeOrderedIds(self._clock)),
            started_us=self._clock.now_us(),
            seed=run.seed,
            as_of_us=run.as_of_us,
            dataset=run.dataset,
            code=run.code,
            definition=entry.definition,
            environment=environment(),
            trainer=run.trainer,
            threads=run.threads,
        )
        if made.confirmed is None:  # nothing is registered that the test rows did not confirm
            raise TrainingError(f"{made.chosen} was not tried on the test rows", hint="search again")
        origin = Origin(
            version=source.version.ref,
            run=run.id,
            recipe=entry.recipe,
            seed=run.seed,
            limits=made.limits,
            attempts=made.attempts,
            confirmed=made.confirmed,
        )
        recorded = msgspec.structs.replace(
            assemble(inputs, fitted, seconds=time.perf_counter() - started), origin=origin
        )
        converted = self._builder.proved(recorded, entry.artefact, validate)
        if converted.model != entry.model:
            raise ConversionError("it was converted into another model than was measured", hint="search again")
        with tempfile.TemporaryDirectory(prefix="seakeep-optimise-") as folder:
            # All inputs of the source: beside a champion that reads more, both are judged on the same rows.
            write_frame(Path(folder) / VALIDATION, source.validate)
            files = {ESTIMATOR: entry.artefact, VALIDATION: (Path(folder) / VALIDATION).read_bytes()}
        sealed = self._stores.artefacts.put(
            files, model=recorded.model, run=recorded.id, created_us=recorded.started_us
        )
        recorded = msgspec.structs.replace(recorded, sealed=sealed)
        self._stores.runs.add(recorded, actor=actor)
        return self._builder.registered(recorded, converted, actor)[0]


class _Table:
    """The candidates of a search beside their source: what is measured of them, and how it is told."""

    def __init__(self, source: Source, entries: dict[str, Entry], unmade: dict[str, str], limits: Limits) -> None:
        self._from, self._entries, self._unmade, self._limits = source, entries, unmade, limits
        definition = source.run.definition
        self._outputs = definition.label.outputs
        self._scores = assess.Scores(
            score=assess.score(source.session, source.validate, definition.columns), threshold=source.run.threshold
        )
        self._earlier = source.validate.time_us <= source.calibrate.time_us.max()
        self._found = {name: self._beside(one.scores, test=False) for name, one in entries.items()}
        self._own = self._beside(self._scores, test=False)
        self.source = assess.candidate(SOURCE, len(source.bundle.model), self._own)
        self.candidates: list[Candidate] = [
            assess.candidate(name, len(entries[name].model), found) for name, found in self._found.items()
        ]
        models = {SOURCE: (source.session, definition.columns)}
        models |= {name: (one.session, one.definition.columns) for name, one in entries.items()}
        self.times = assess.InTurn(models, source.calibrate, batch=limits.batch)

    def confirm(self, entry: Entry) -> Confirmed:
        """A candidate beside the source on the test rows."""
        found = self._beside(entry.scores, test=True)
        return Confirmed(
            rows=len(self._from.test), loss=found.loss, metric=found.metric, source=found.source, flips=found.flips
        )

    def told(
        self, found: Found, faults: dict[str, str], *, chosen: str = "", confirmed: Confirmed | None = None
    ) -> Optimised:
        """The whole search."""
        best = pareto([self.source, *self.candidates], found.timed)
        rows = [self._attempt(self.source, self._own, found, "", SOURCE in best)]
        for one in self.candidates:
            fault = faults.get(one.name, "") or found.faults[one.name]
            rows.append(self._attempt(one, self._found[one.name], found, fault, one.name in best))
        rows += [Attempt(told=name, fault=why) for name, why in self._unmade.items()]
        return Optimised(
            source=self._from.version.ref,
            limits=self._limits,
            known_by=KNOWN_BY[self._outputs.kind],
            attempts=tuple(rows),
            chosen=chosen,
            confirmed=confirmed,
        )

    def refusal(self, found: Found, faults: dict[str, str]) -> str:
        """Why nothing was chosen."""
        name = nearest(self.candidates, found.timed, self._limits)
        head = f"no candidate keeps the limits, and {self._from.version.ref} does not either"
        if not name:
            return f"{head}; none could be made"
        why = faults.get(name, "") or found.faults[name]
        return f"{head}; of {len(self.candidates)} the nearest is: {name}, {why}"

    def _beside(self, scores: assess.Scores, *, test: bool) -> assess.Beside:
        mask = ~self._earlier if test else self._earlier
        rows = self._from.test if test else self._from.calibrate
        return assess.beside(rows, scores.select(mask), self._scores.select(mask), self._outputs, self._from.run.seed)

    @staticmethod
    def _attempt(one: Candidate, beside: assess.Beside, found: Found, fault: str, best: bool) -> Attempt:  # noqa: FBT001
        timed = found.timed[one.name]
        return Attempt(
            told=one.name,
            size_bytes=one.size_bytes,
            calls=timed.calls,
            p50_us=timed.p50_us,
            p99_us=timed.p99_us,
            p99_high_us=timed.p99_high_us,
            metric=beside.metric,
            loss=one.loss if math.isfinite(one.loss.value) else None,
            flips=beside.flips,
            fault=fault,
            pareto=best,
        )


def _opened(model: bytes, sessions: contextlib.ExitStack) -> Session:
    """A loaded model; what executes it ends with the search."""
    session = open_session(model)
    sessions.callback(session.close)
    return session


def accelerated(batch: int) -> tuple[tuple[Recipe, ...], dict[str, str]]:
    """How a model can be computed by this machine's GPU in calls of ``batch`` rows, and why not otherwise, by name."""
    from seakeep.conversion.providers import providers

    found: dict[object, Provider] = {one.kind: one for one in providers()}
    recipes, untried = [], {}
    rows = {"usual_rows": batch, "most_rows": max(batch, MOST_ROWS)}
    for told, settings in _ACCELERATED.items():
        provider = found[settings["accelerator"]]
        if provider.usable:
            built_for = rows if provider.kind == "tensorrt" else {}
            recipes.append(Recipe(by="engine", told=told, settings={**settings, **built_for}))
        else:
            untried[told] = f"not tried: {provider.told}"
    return tuple(recipes), untried


def check(limits: Limits) -> None:
    """Raise :class:`ConfigError` for limits that nothing could keep or break."""
    for name, value in (("p99_ms", limits.p99_ms), ("size_mb", limits.size_mb)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} is {value}, not a positive number", hint="leave it out for no limit")
    if not (math.isfinite(limits.loss) and limits.loss >= 0):
        raise ConfigError(f"loss is {limits.loss}, not a number from 0 on", hint="0.01 allows a little")
    if not 1 <= limits.batch <= MOST_BATCH:
        raise ConfigError(f"batch is {limits.batch}, not from 1 to {MOST_BATCH:,}", hint="say how many rows a call has")
