"""Converts a trained estimator in a process of its own, and proves the result there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seakeep.conversion import exchange
from seakeep.conversion.child import AS_IT_IS
from seakeep.conversion.enginesettings import EngineSettings
from seakeep.conversion.modelfile import ModelFile, read_bounded
from seakeep.conversion.packed import CodeFile
from seakeep.conversion.process import ONE_THREAD
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError, InputsError, ParityError
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.version import ParityProof

if TYPE_CHECKING:
    from seakeep.features.frame import Frame
    from seakeep.records.model import Decision

TIMEOUT_S = 600
"""Seconds after which a conversion is ended."""
_TAIL = 2_000
_MOST_TOLD, _MOST_MODEL = 1024**2, 2 * 1024**3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A converted model, as ONNX or packed to be served natively, the proof that it answers as the estimator does, and what to know of it, in words."""

    model: bytes
    proof: ParityProof
    notes: tuple[str, ...] = ()


def convert(
    artefact: bytes,
    frame: Frame,
    *,
    threshold: float,
    artefact_sha256: str,
    outputs: Outputs = PROBABILITY,
    native: Mapping[str, CodeFile] | None = None,
    engine: EngineSettings | None = None,
) -> Converted:
    """Convert a fitted estimator to ONNX, or pack it as it is, and prove that it answers alike.

    The estimator is unpickled only in the converter: a process without this one's environment, with limits on memory,
    time and files, and without network where the system allows that to be taken away.

    Parameters
    ----------
    artefact
        The estimator as the training stage stored it.
    frame
        Validation rows; labels are not needed.
    threshold
        The deployed threshold.
    artefact_sha256
        SHA-256 the artefact must have, from the run's record.
    outputs
        What it must answer, as its label declares.
    native
        Not None: the estimator is kept as it is, to be served natively. The project's own modules that it may be built
        from, by name.
    engine
        How the engine is to execute it, if not as usual.

    Raises
    ------
    ParityError
        The converted model does not answer alike; the message shows the worst row.
    ConversionError
        The estimator has no exact emitter, is not the recorded one, or the converter failed.
    """
    if hashlib.sha256(artefact).hexdigest() != artefact_sha256:
        raise ConversionError("the estimator is not the one the run recorded: its SHA-256 differs", hint="train again")
    request = exchange.Request(
        columns=frame.columns,
        threshold=threshold,
        artefact_sha256=artefact_sha256,
        cpu_s=2 * TIMEOUT_S,
        outputs=outputs,
        native=native is not None,
        code=dict(native or {}),
        engine=engine or EngineSettings(),
    )
    return _converted(artefact, frame, request, TIMEOUT_S)


def convert_file(
    file: ModelFile,
    frame: Frame,
    *,
    decision: Decision | None = None,
    outputs: Outputs | None = PROBABILITY,
    code: Mapping[str, CodeFile] | None = None,
    timeout_s: int = TIMEOUT_S,
) -> Converted:
    """Convert a model that was made elsewhere, in a cage, and prove that it answers alike.

    What comes back is data. A pickle may have written it as it liked, so the model that it gave is checked anew by a
    process that the pickle never was in; that it answers as the pickled one is then only as true as the pickle is honest.

    Parameters
    ----------
    decision
        What the threshold follows from on these rows; None: it is 0.5.
    outputs
        What the model must answer; None: whatever it answers is taken, and its metadata tell it.
    code
        The project's own modules, by name, one of which may hold the network of weights.

    Raises
    ------
    InputsError
        It has other inputs.
    ConversionError
        The file cannot be read, has no exact emitter, or does not answer what it must.
    ParityError
        The converted model does not answer alike.
    """
    request = exchange.Request(
        columns=frame.columns,
        threshold=0.5,
        decision=decision,
        artefact_sha256=file.sha256,
        cpu_s=2 * timeout_s,
        outputs=outputs or PROBABILITY,
        any_outputs=outputs is None,
        format=file.format.name,
        reading=file.reading,
        code=dict(code or {}),
    )
    converted = _converted(file.content, frame, request, timeout_s)
    if file.format.runs_code:
        model_sha256 = hashlib.sha256(converted.model).hexdigest()
        again = msgspec.structs.replace(request, format="onnx", artefact_sha256=model_sha256)
        _converted(converted.model, frame, again, timeout_s)
    return converted


def _converted(artefact: bytes, frame: Frame, request: exchange.Request, timeout_s: int) -> Converted:
    with tempfile.TemporaryDirectory(prefix="seakeep-convert-") as name:
        folder = Path(name)
        (folder / exchange.ESTIMATOR).write_bytes(artefact)
        exchange.write_rows(folder / exchange.FRAME, Rows(frame.numbers(), frame.categories()))
        (folder / exchange.REQUEST).write_bytes(msgspec.json.encode(request))
        (folder / exchange.SCRATCH).mkdir()
        form = "" if request.format == exchange.RUN else request.format
        how = [form, *["without-cage"] * request.reading.without_cage, *["gpu"] * (request.engine.accelerator != "cpu")]
        run_caged(folder, "seakeep.conversion.child", arguments=how, timeout_s=timeout_s, threads=int(request.native))
        try:
            proof = msgspec.json.decode(read_bounded(folder / exchange.PROOF, _MOST_TOLD), type=ParityProof)
            notes = msgspec.json.decode(read_bounded(folder / exchange.NOTES, _MOST_TOLD), type=tuple[str, ...])
        except msgspec.DecodeError as error:
            raise ConversionError("the converter wrote no proof", hint="convert again") from error
        model = read_bounded(folder / exchange.MODEL, _MOST_MODEL)
    if not proof.passed:
        mend = "train again" if request.native else AS_IT_IS
        told = "this is a fault of the converter: please report it with this row"
        raise ParityError(_told(proof), hint=f"{told}; {mend}" if request.format == exchange.RUN else told)
    if hashlib.sha256(model).hexdigest() != proof.model_sha256 or proof.artefact_sha256 != request.artefact_sha256:
        raise ConversionError("the proof is of other files than the converter wrote", hint="convert again")
    return Converted(model=model, proof=proof, notes=notes)


def run_caged(folder: Path, module: str, *, arguments: Sequence[str] = (), timeout_s: int, threads: int = 0) -> None:
    """Run one of our modules on a folder, in a process that is to enter the cage.

    Parameters
    ----------
    arguments
        What it is told after the folder.
    threads
        Of numerical libraries, where their number must not decide the result; 0: as many as they like.

    Raises
    ------
    ConversionError
        As the process told it, or it died, or it did not end in time.
    """
    talk = folder / "stderr.txt"
    with talk.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", module, str(folder), *arguments],
            cwd=folder,
            env=_environment(folder, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        process.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ConversionError(
            f"the converter was not done after {timeout_s} s and was ended",
            hint="convert with fewer trees or fewer validation rows",
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    told = read_bounded(folder / exchange.ERROR, _MOST_TOLD) if (folder / exchange.ERROR).exists() else b""
    if told:
        try:
            failure = msgspec.json.decode(told, type=exchange.Failure)
        except msgspec.DecodeError as error:
            raise ConversionError("the converter failed and told nothing readable", hint="convert again") from error
        if failure.inputs is not None:
            raise InputsError(failure.message, hint=failure.hint, names=failure.inputs)
        raise ConversionError(failure.message, hint=failure.hint)
    if process.returncode != 0:
        with talk.open("rb") as said:
            said.seek(-min(_TAIL, talk.stat().st_size), os.SEEK_END)
            tail = said.read(_TAIL).decode(errors="replace").strip()
        ended = f"by signal {-process.returncode}" if process.returncode < 0 else f"with status {process.returncode}"
        raise ConversionError(
            f"the converter ended {ended}: {tail or 'it said nothing'}",
            hint="if memory or time ran out, convert a smaller model"
            + "; a damaged file may end the library that reads it: save it again" * any(arguments[:1]),
        )


def _environment(folder: Path, threads: int) -> dict[str, str]:
    """All the converter gets to see of the environment."""
    return {
        **(dict.fromkeys(ONE_THREAD, str(threads)) if threads else {}),
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        # Threads that spin while they wait make a proof ten times slower on a machine that also serves.
        "OMP_WAIT_POLICY": "passive",
        "KERAS_BACKEND": "torch",
        # There is no place for the semaphores of its pools in the cage, which it would warn of.
        "JOBLIB_MULTIPROCESSING": "0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }


def _told(proof: ParityProof) -> str:
    row = ", ".join(f"{name}={value}" for name, value in proof.worst.items())
    return (
        "the converted model does not answer as the trained one: "
        f"largest difference {proof.max_difference:.3g} (allowed {proof.tolerance:.0e}), {proof.flips} flips, "
        f"{proof.nan_mismatches} rows with a score on one side only, {proof.error_mismatches} refused on one side only, "
        f"{proof.batch_mismatches} that depend on their batch, "
        f"{proof.mutants - proof.mutants_caught} changed models not found out; worst row: {row}"
    )
