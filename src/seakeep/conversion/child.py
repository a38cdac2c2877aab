"""The converter process: ``python -m seakeep.conversion.child FOLDER``.

The one place that unpickles, and it does so in a cage: its parent gave it an empty environment, and it takes from
itself the network (where the system allows it), memory, time and room to write before it reads anything.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import hashlib
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seakeep.training.lifeline import hold_to_lifeline

if TYPE_CHECKING:
    from seakeep.conversion.exchange import Request
    from seakeep.conversion.formats.format import Taken
    from seakeep.conversion.packed import OwnCode
    from seakeep.conversion.rows import Rows
    from seakeep.records.version import ParityProof

AS_IT_IS = "or serve it as it is, in a process of its own: seakeep convert --native"
"""What to do about a model that is not converted."""
RESULTS = ("model.onnx", "notes.json", "parity.json", "error.json")
"""What can be written in the cage that outlives it."""
SCRATCH = "scratch"
_GIB = 1024**3
_NEW_USER_NAMESPACE, _NEW_NETWORK_NAMESPACE = 0x10000000, 0x40000000  # linux/sched.h


def enter_cage(*, leave_network: bool = True, gpu: bool = False) -> None:
    """Limit memory and files, forbid core dumps, and leave the network if this system lets a process do so.

    Parameters
    ----------
    gpu
        Whether a GPU is to be used: its driver reserves far more addresses than there is memory, so that what can be
        written is limited in place of them.
    """
    if leave_network:
        _leave_network()
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_DATA if gpu else resource.RLIMIT_AS, 8 * _GIB)
    limit(resource.RLIMIT_FSIZE, 2 * _GIB)
    limit(resource.RLIMIT_NOFILE, 256)


def run(folder: Path) -> None:
    """Convert what the folder asks for, prove it, and write both beside the request.

    Raises
    ------
    ConversionError
        The estimator is not the recorded one, cannot be loaded, or has no exact emitter.
    """
    import msgspec

    from seakeep.conversion import exchange
    from seakeep.conversion.formats import registry
    from seakeep.conversion.packed import OwnCode

    request = msgspec.json.decode((folder / exchange.REQUEST).read_bytes(), type=exchange.Request)
    limit(resource.RLIMIT_CPU, request.cpu_s)
    content = _content(folder / exchange.ESTIMATOR, request.artefact_sha256)
    own = OwnCode(request.code)
    own.install()
    if request.native:
        model, proof = _keep(_unpickled(content), own, exchange.read_rows(folder / exchange.FRAME), request)
        _write(folder, model, (), proof)
        return
    if request.format == exchange.RUN:
        taken = _emitted(_unpickled(content), request)
    else:
        taken = registry.take(request.format, content, request.columns, request.reading, request.outputs)
    # Not before: what cannot be read is told without them.
    from seakeep.conversion.enginesettings import executed
    from seakeep.conversion.outputs import require_served
    from seakeep.conversion.parity import prove
    from seakeep.conversion.session import ScoringSession
    from seakeep.training.threshold import choose_threshold

    emission = dataclasses.replace(taken.emission, model=executed(taken.emission.model, request.engine))
    threshold = request.threshold
    outputs = emission.outputs if request.any_outputs else request.outputs
    require_served(emission.outputs, taken.name, outputs)
    rows = exchange.read_rows(folder / exchange.FRAME)
    if request.decision is not None:
        scores = ScoringSession(emission.model).score(rows.numbers, rows.categories)
        threshold = choose_threshold(request.decision, scores, outputs)
    proof = prove(taken.trained, emission, rows, threshold=threshold, artefact_sha256=request.artefact_sha256)
    _write(folder, emission.model, taken.notes, proof)


def _write(folder: Path, model: bytes, notes: tuple[str, ...], proof: ParityProof) -> None:
    import msgspec

    from seakeep.conversion import exchange

    (folder / exchange.MODEL).write_bytes(model)
    (folder / exchange.NOTES).write_bytes(msgspec.json.encode(notes))
    (folder / exchange.PROOF).write_bytes(msgspec.json.encode(proof))


def _emitted(estimator: Any, request: Request) -> Taken:
    """Make ONNX of a run's estimator; one that could be served is told to be kept as it is where that cannot be."""
    from seakeep.conversion.formats.format import Inputs, emitted
    from seakeep.errors import ConversionError

    try:
        return emitted(estimator, Inputs(request.columns, request.columns), request.outputs)
    except ConversionError as error:
        from seakeep.conversion.outputs import served_outputs

        served_outputs(estimator, request.outputs)
        raise ConversionError(error.message, hint="; ".join(filter(None, (error.hint, AS_IT_IS)))) from error


def _keep(estimator: Any, own: OwnCode, rows: Rows, request: Request) -> tuple[bytes, ParityProof]:
    """Pack an estimator as it is, and prove it."""
    from seakeep.conversion.nativeproof import packed_model, prove_native, steady
    from seakeep.conversion.outputs import served_outputs

    outputs = served_outputs(estimator, request.outputs)
    steady(estimator)
    packed = packed_model(estimator, request.columns, outputs, own)
    return prove_native(estimator, packed, rows, threshold=request.threshold, artefact_sha256=request.artefact_sha256)


def main(folder: Path, form: str = "", *, without_cage: bool = False, gpu: bool = False) -> int:
    """Run in the cage; returns the exit status. A fault becomes ``error.json``.

    Parameters
    ----------
    form
        The format of a file made elsewhere; ``""``: the estimator is of a run of this project.
    without_cage
        Read a pickle even where this system gives no full cage.
    gpu
        The proof is to be done on a GPU.
    """
    # Only a process of one thread may leave its namespaces: nothing that starts threads is imported before.
    missing = _confine(folder) if form else ""
    enter_cage(leave_network=not form or bool(missing), gpu=gpu)
    hold_to_lifeline()
    import msgspec

    from seakeep.conversion.exchange import ERROR, Failure
    from seakeep.conversion.formats.registry import FORMATS
    from seakeep.errors import ConversionError, InputsError, SeakeepError

    try:
        if missing and FORMATS[form].runs_code and not without_cage:
            raise ConversionError(
                f"there is no cage to read {FORMATS[form].told} in: {missing}",
                hint="do it on a Linux that allows user namespaces; or save the model in another format",
            )
        run(folder)
    except SeakeepError as fault:
        inputs = fault.names if isinstance(fault, InputsError) else None
        failure = Failure(message=fault.message, hint=fault.hint, inputs=inputs)
        (folder / ERROR).write_bytes(msgspec.json.encode(failure))
        return 1
    return 0


def _confine(folder: Path) -> str:
    """Close the cage around a file from elsewhere; what is missing of it, in words."""
    from seakeep.conversion.cage import confine

    for name in RESULTS:
        (folder / name).touch()
    # Whatever memory this takes, the system ends it before anything else.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    missing = confine(folder, writable=RESULTS, scratch=SCRATCH)
    os.chdir(folder / SCRATCH)
    tempfile.tempdir = str(folder / SCRATCH)
    return missing


def _content(path: Path, sha256: str) -> bytes:
    from seakeep.errors import ConversionError

    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ConversionError("the estimator is not the one the run recorded", hint="train again")
    return content


def load(path: Path, sha256: str) -> object:
    """The estimator in a file, for a process in the cage alone.

    Raises
    ------
    ConversionError
        It is not the recorded one, or cannot be read.
    """
    return _unpickled(_content(path, sha256))


def _unpickled(content: bytes) -> object:
    import pickle  # noqa: TID251 -- the converter process exists to do this apart from everything else

    from seakeep.errors import ConversionError

    try:
        loaded: object = pickle.loads(content)  # noqa: S301 -- made by this project, digest verified, caged
    except Exception as error:
        raise ConversionError(
            f"the estimator cannot be loaded: {type(error).__name__}: {error}",
            hint="return an estimator made only of installed packages' classes from train, or, to have it served natively, "
            "of the project's own files, which must be as they were when it was trained",
        ) from error
    return loaded


def limit(kind: int, value: int) -> None:
    """Take from this process what is above ``value`` of a resource, for good."""
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value))


def _leave_network() -> None:
    user, group = os.getuid(), os.getgid()
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is None or unshare(_NEW_USER_NAMESPACE | _NEW_NETWORK_NAMESPACE) != 0:
        return  # not allowed here: the other bars of the cage still hold
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(text, "ascii")


if __name__ == "__main__":
    allowed = sys.argv[3:]
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3], without_cage="without-cage" in allowed, gpu="gpu" in allowed))
