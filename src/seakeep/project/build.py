"""From data to a version: trainings that are recorded, repeated and converted."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import msgspec

from seakeep.clock import Clock, TimeOrderedIds
from seakeep.config import Home
from seakeep.conversion.convert import Converted, convert
from seakeep.conversion.enginesettings import settings_of_run
from seakeep.conversion.modelfile import read_model_file
from seakeep.conversion.optimise.workshop import Request, make_all
from seakeep.conversion.packed import CodeFile, engine_of, own_code
from seakeep.conversion.reading import Reading
from seakeep.data.version import load
from seakeep.errors import ConversionError, NotFoundError, TrainingError
from seakeep.features.frame import Frame
from seakeep.features.join import training_frame
from seakeep.project import jobs
from seakeep.project.judge import kept
from seakeep.project.load import MODULE, LoadedProject
from seakeep.project.stores import Stores
from seakeep.records.optimise import Origin
from seakeep.records.run import Run
from seakeep.records.version import ParityProof, Version
from seakeep.training.artefact import digest
from seakeep.training.environment import environment
from seakeep.training.frames import read_frame
from seakeep.training.rerun import check_rerun
from seakeep.training.run import new_run_id
from seakeep.training.split import calibration_split, split

ESTIMATOR, VALIDATION = "estimator", "validation"


class Builder:
    """Makes runs and versions.

    Parameters
    ----------
    loaded
        The project's declarations.
    home, stores
        Where everything is kept.
    """

    def __init__(self, loaded: LoadedProject, home: Home, stores: Stores, clock: Clock) -> None:
        self._loaded, self._home, self._stores, self._clock = loaded, home, stores, clock
        self._ids = TimeOrderedIds(clock)

    def train(self, model: str, *, as_of_us: int | None, validate_from_us: int | None, trainer: str, actor: str) -> Run:
        """Keep a dataset version, train on it in a process of its own, and record the run."""
        if trainer:
            self._loaded.trainer(trainer)  # a name that is not there is told before the data are read
        request = self._taken(model, as_of_us, validate_from_us)
        request = msgspec.structs.replace(request, trainer=trainer)
        with tempfile.TemporaryDirectory(prefix="seakeep-train-") as folder:
            return self._record(jobs.train(request, into=Path(folder)), Path(folder), actor)

    def register(
        self,
        path: Path,
        model: str,
        *,
        as_of_us: int | None,
        validate_from_us: int | None,
        reading: Reading,
        actor: str,
    ) -> tuple[Version, ParityProof]:
        """Judge a model file on the project's own rows, and register what it was converted to."""
        read_model_file(path, reading)  # what cannot be taken is told before the data are read
        request = msgspec.structs.replace(
            self._taken(model, as_of_us, validate_from_us),
            given=str(path.absolute()),
            reading=reading,
        )
        with tempfile.TemporaryDirectory(prefix="seakeep-train-") as folder:
            into = Path(folder)
            trained = jobs.train(request, into=into)
            run = self._record(trained, into, actor)
            return self.registered(run, kept(into), actor)

    def _taken(self, model: str, as_of_us: int | None, validate_from_us: int | None) -> jobs.TrainRequest:
        """Keep a dataset version; a request to learn from it or judge by it."""
        chosen = self._loaded.model(model)
        started_us = self._clock.now_us()
        moment_us = started_us if as_of_us is None else as_of_us
        dataset = jobs.take_dataset(self._loaded, chosen, as_of_us=moment_us, store=self._stores.datasets)
        request = self._request(chosen.name, dataset.id, started_us)
        return msgspec.structs.replace(request, validate_from_us=validate_from_us or 0)

    def _record(self, trained: jobs.Trained, into: Path, actor: str) -> Run:
        files = {ESTIMATOR: trained.artefact, VALIDATION: (into / jobs.VALIDATION).read_bytes()}
        run = trained.run
        sealed = self._stores.artefacts.put(files, model=run.model, run=run.id, created_us=run.started_us)
        run = msgspec.structs.replace(run, sealed=sealed)
        self._stores.runs.add(run, actor=actor)
        return run

    def rerun(self, run_id: str) -> Run:
        """Train a run again from its recorded inputs; the recorded run, if the artefact is the same to the byte."""
        original = self._stores.runs.get(run_id)
        if original.given:
            raise TrainingError(
                f"run {run_id} judged {original.given.name}, which was trained elsewhere",
                hint="rerun a run that trained",
            )
        if original.origin is not msgspec.UNSET and not original.origin.recipe.without:
            check_rerun(original, self._make_again(original, original.origin))
            return original
        request = self._request(original.model, original.dataset, self._clock.now_us())
        with tempfile.TemporaryDirectory(prefix="seakeep-rerun-") as folder:
            jobs.rerun(original, request, into=Path(folder))
        return original

    def convert(self, run_id: str, *, actor: str, native: bool = False) -> tuple[Version, ParityProof]:
        """Convert a run (``""``: the newest), prove it equal, sign the bundle and register the version.

        The same run gives the same bundle and the same version, however often it is converted the same way.

        Parameters
        ----------
        native
            Keep the estimator as it is, to be served by its own framework.
        """
        run = self._stores.runs.get(run_id) if run_id else self._newest()
        if run.given:
            raise ConversionError(
                f"run {run.id} judged {run.given.name}, a model file", hint="register the file again: seakeep register"
            )
        converted = self.proved(run, self.estimator(run), self.validation(run), native=native)
        return self.registered(run, converted, actor)

    def proved(self, run: Run, estimator: bytes, validate: Frame, *, native: bool = False) -> Converted:
        """The model of a run that may not be recorded yet, proved on its validation rows."""
        return convert(
            estimator,
            validate,
            threshold=run.threshold,
            artefact_sha256=run.artefact,
            outputs=run.definition.label.outputs,
            native=self.code(run) if native else None,
            engine=settings_of_run(run),
        )

    def registered(self, run: Run, converted: Converted, actor: str) -> tuple[Version, ParityProof]:
        """Sign a run's converted model as a bundle, and register the version."""
        bundle = self._stores.bundles.put(run, converted.model, converted.proof, created_us=run.started_us)
        now_us = self._clock.now_us()
        version = Version(
            model=run.model,
            number=0,
            bundle=bundle,
            run=run.id,
            created_us=now_us,
            author=actor,
            threshold=run.threshold,
            engine=engine_of(converted.model),
        )
        return self._stores.versions.add(version, actor=actor, now_us=now_us), converted.proof

    def validation(self, run: Run) -> Frame:
        """The rows a run was judged on; what they hold beside its inputs stays among their values."""
        rows = read_frame(self._stores.artefacts.read_file(run.sealed, VALIDATION))
        return dataclasses.replace(rows, columns=run.definition.columns)

    def estimator(self, run: Run) -> bytes:
        """The estimator of a run, as its artefact."""
        return self._stores.artefacts.read_file(run.sealed, ESTIMATOR)

    def learnt(self, run: Run) -> Frame:
        """The labelled rows that a run was trained on, from its dataset version."""
        manifest = self._stores.datasets.get_manifest(run.dataset)
        if manifest is None:
            raise NotFoundError(f"there is no dataset version {run.dataset[:12]}", hint="see `seakeep data list`")
        frame = training_frame(run.definition, load(manifest, self._stores.datasets), as_of_us=run.as_of_us)
        return split(frame, validate_from_us=run.validate_from_us)[0]

    def without(self, run: Run, names: tuple[str, ...], into: Path) -> jobs.Trained:
        """Train as a run did, with fewer inputs; nothing is recorded."""
        request = self._request(run.model, run.dataset, self._clock.now_us())
        return jobs.train(
            msgspec.structs.replace(
                request,
                seed=run.seed,
                validate_from_us=run.validate_from_us,
                trainer=run.trainer,
                threads=run.threads,
                without=names,
            ),
            into=into,
        )

    def _make_again(self, run: Run, origin: Origin) -> Run:
        """The run as it would be now if its estimator were made of its source again."""
        source = self._stores.runs.get(origin.run)
        calibrate, _ = calibration_split(self.validation(source))
        request = Request(
            artefact_sha256=source.artefact,
            outputs=run.definition.label.outputs,
            recipes=(origin.recipe,),
            seed=origin.seed,
            code=self.code(source),
        )
        (made,) = make_all(request, self.estimator(source), self.learnt(source), calibrate)
        if made.fault:
            raise ConversionError(f"run {run.id}: {made.fault}", hint=f"restore what run {source.id} was trained with")
        return msgspec.structs.replace(run, artefact=digest(made.artefact), environment=environment())

    def code(self, run: Run) -> dict[str, CodeFile]:
        """The project's modules, by name, as far as they are what they were when the run was made."""
        return own_code(self._loaded.folder, run.code, {self._loaded.settings.project.module: MODULE})

    def _newest(self) -> Run:
        runs = self._stores.runs.list()
        if not runs:
            raise NotFoundError("there is no run yet", hint="run `seakeep train` first")
        return runs[0]

    def _request(self, model: str, dataset: str, started_us: int) -> jobs.TrainRequest:
        return jobs.TrainRequest(
            run=new_run_id(self._ids),
            model=model,
            folder=str(self._loaded.folder),
            data=str(self._home.data),
            dataset=dataset,
            started_us=started_us,
        )
