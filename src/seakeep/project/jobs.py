"""Training in a process of its own, where nothing but the recorded inputs can decide the result.

``python -m seakeep.project.jobs train REQUEST.json`` loads the project and the dataset version, fits, and writes the run,
the estimator and the validation rows beside the request. Its parent gives it a fixed environment: the order of sets and
dicts of strings, the number of threads (it decides the order of sums) and the time zone are the same every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.conversion.modelfile import read_model_file
from seakeep.conversion.packed import own_code
from seakeep.conversion.reading import Reading
from seakeep.data.version import DatasetStore, load, snapshot
from seakeep.errors import (
    ConfigError,
    ConversionError,
    DataError,
    InputsError,
    IntegrityError,
    LeakError,
    NotFoundError,
    ParityError,
    SeakeepError,
    TrainingError,
)
from seakeep.features.frame import Frame
from seakeep.features.join import training_frame
from seakeep.features.prune import without
from seakeep.features.resolve import resolve
from seakeep.project.judge import judge_file
from seakeep.project.load import LoadedProject, load_project, sources_of
from seakeep.records.dataset import DatasetVersion
from seakeep.records.model import Model
from seakeep.records.run import Given, Run
from seakeep.training.environment import code_digests, environment
from seakeep.training.fit import fit
from seakeep.training.frames import read_frame, write_frame
from seakeep.training.lifeline import hold_to_lifeline
from seakeep.training.rerun import check_rerun
from seakeep.training.run import Inputs, assemble
from seakeep.training.seeds import set_seeds

REQUEST, RUN, ESTIMATOR, VALIDATION = "request.json", "run.json", "estimator.pkl", "validation.npz"
ERROR, LOG = "error.json", "train.log"

_TAIL = 2_000
_ERRORS = {
    kind.code: kind
    for kind in (
        ConfigError,
        DataError,
        LeakError,
        TrainingError,
        IntegrityError,
        NotFoundError,
        ConversionError,
        InputsError,
        ParityError,
    )
}


class TrainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to train.

    Attributes
    ----------
    run
        Id of the new run.
    folder, data
        The project's folder, and the folder of its dataset versions.
    dataset
        Id of the dataset version.
    validate_from_us
        0: the last fifth of the labelled time range validates.
    trainer
        A function of the project's file that trains in place of the model's own; ``""``: the model's own.
    without
        Inputs of the model's that this run is to do without.
    threads
        Threads of numerical libraries. Their number decides the order of sums and so the last bits; one is repeatable
        on any number of cores and fastest for small data.
    given
        Path of a model file that is judged in place of a training; ``""``: train.
    reading
        How that file is to be read.
    """

    run: str
    model: str
    folder: str
    data: str
    dataset: str
    started_us: int
    seed: int = 0
    validate_from_us: int = 0
    trainer: str = ""
    without: tuple[str, ...] = ()
    threads: int = 1
    given: str = ""
    reading: Reading = Reading()


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What a training gave: its record, the estimator's bytes, and the validation rows."""

    run: Run
    artefact: bytes
    validate: Frame


class _Failure(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    hint: str


def take_dataset(project: LoadedProject, model: Model, *, as_of_us: int, store: DatasetStore) -> DatasetVersion:
    """Keep, as a dataset version, all that could be known before ``as_of_us`` of the sources a model reads.

    Raises
    ------
    DataError
        A table is missing, cannot be read, or does not fit its source.
    """
    sources = sources_of(model)
    return snapshot(
        {name: (events, project.read(name)) for name, events in sources.items()}, as_of_us=as_of_us, store=store
    )


def train(request: TrainRequest, *, into: Path, timeout_s: int = 3_600) -> Trained:
    """Train in a process of its own.

    Parameters
    ----------
    into
        An empty folder for the files of this training; what the user's code prints is in its ``train.log``.
    timeout_s
        Seconds after which the training is ended.

    Raises
    ------
    SeakeepError
        As the child process reported it; a :class:`TrainingError` if it died or did not end in time.
    """
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    (into / REQUEST).write_bytes(msgspec.json.encode(request))
    status = _run_child(into, request.threads, timeout_s)
    if (into / ERROR).is_file():
        failure = msgspec.json.decode((into / ERROR).read_bytes(), type=_Failure)
        raise _ERRORS.get(failure.code, TrainingError)(failure.message, hint=failure.hint)
    if status != 0:
        ended = f"by signal {-status}" if status < 0 else f"with status {status}"
        said = (into / LOG).read_text("utf-8", errors="replace")[-_TAIL:].strip() or "it said nothing"
        raise TrainingError(
            f"the training process ended {ended}: {said}",
            hint="signal 9 is most often too little memory: train on fewer rows",
        )
    run = msgspec.json.decode((into / RUN).read_bytes(), type=Run)
    artefact = (into / ESTIMATOR).read_bytes()
    if hashlib.sha256(artefact).hexdigest() != run.artefact:
        raise IntegrityError(f"the estimator of run {run.id} was changed", hint="train again")
    return Trained(run=run, artefact=artefact, validate=read_frame(into / VALIDATION))


def rerun(original: Run, request: TrainRequest, *, into: Path) -> Trained:
    """Train again from a run's inputs, with the code and the software as they are now.

    Parameters
    ----------
    request
        Names the new run and where project and data are; what decides the result is taken from ``original``.

    Raises
    ------
    RerunMismatch
        The artefact differs; with the inputs that differ.
    """
    again = msgspec.structs.replace(
        request,
        model=original.model,
        dataset=original.dataset,
        seed=original.seed,
        validate_from_us=original.validate_from_us,
        trainer=original.trainer,
        without=() if original.origin is msgspec.UNSET else original.origin.recipe.without,
        threads=original.threads,
    )
    trained = train(again, into=into)
    check_rerun(original, trained.run)
    return trained


def _run_child(into: Path, threads: int, timeout_s: int) -> int:
    with (into / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "seakeep.project.jobs", "train", str(into / REQUEST)],
            cwd=into,
            env=_environment(into, threads),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise TrainingError(
                f"the training was not done after {timeout_s} s and was ended", hint="train on fewer rows or trees"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _environment(into: Path, threads: int) -> dict[str, str]:
    """All that a training sees of the environment."""
    return {
        **{f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")},
        # Threads that spin while they wait make a training ten times slower on a machine that also serves.
        "OMP_WAIT_POLICY": "passive",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.defpath,
        "HOME": str(into),
        "LANG": "C.UTF-8",
        "KERAS_BACKEND": "torch",  # the one whose networks convert; a project file may set another
        "TZ": "UTC",
    }


# The child process


def run_training(request: TrainRequest, into: Path) -> None:
    """Train what a request asks for, and write the results beside it; the run's record last.

    Raises
    ------
    SeakeepError
        The project, the data or the training is at fault.
    """
    started = time.perf_counter()
    folder = Path(request.folder)
    project = load_project(folder)
    model = project.model(request.model)
    version = FileDatasetStore(Path(request.data)).get_manifest(request.dataset)
    if version is None:
        raise NotFoundError(f"there is no dataset version {request.dataset[:12]}", hint="see `seakeep data list`")
    definition = resolve(
        without(model.definition, request.without), {source.name: source.schema for source in version.sources}
    )
    tables = load(version, FileDatasetStore(Path(request.data)))
    frame = training_frame(definition, tables, as_of_us=version.as_of_us)
    set_seeds(request.seed)
    code = code_digests(folder, leave_out=(folder / project.settings.project.home,))
    given: Given | None = None
    if request.given:
        fitted, given = judge_file(
            model,
            frame,
            read_model_file(Path(request.given), request.reading),
            into=into,
            validate_from_us=request.validate_from_us,
            seed=request.seed,
            code=own_code(folder, code),
        )
    else:
        fitted = fit(
            model,
            frame,
            train=project.trainer(request.trainer) if request.trainer else None,
            validate_from_us=request.validate_from_us,
            seed=request.seed,
        )
    inputs = Inputs(
        id=request.run,
        started_us=request.started_us,
        seed=request.seed,
        as_of_us=version.as_of_us,
        dataset=version.id,
        code=code,
        definition=definition,
        environment=environment(),
        trainer=request.trainer,
        threads=request.threads,
        given=given,
    )
    (into / ESTIMATOR).write_bytes(fitted.artefact)
    write_frame(into / VALIDATION, fitted.validate)
    run = assemble(inputs, fitted, seconds=time.perf_counter() - started)
    (into / RUN).write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))


def main(arguments: list[str]) -> int:
    """Entry of the child process; returns the exit status. A fault becomes ``error.json``."""
    if len(arguments) != 2 or arguments[0] != "train":
        sys.stderr.write("usage: python -m seakeep.project.jobs train REQUEST.json\n")
        return 2
    path = Path(arguments[1])
    request = msgspec.json.decode(path.read_bytes(), type=TrainRequest)
    try:
        run_training(request, path.parent)
    except SeakeepError as fault:
        failure = _Failure(code=fault.code, message=fault.message, hint=fault.hint)
        (path.parent / ERROR).write_bytes(msgspec.json.encode(failure))
        return 1
    return 0


if __name__ == "__main__":
    hold_to_lifeline()
    sys.exit(main(sys.argv[1:]))
