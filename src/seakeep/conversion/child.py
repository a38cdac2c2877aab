"""The converter process: ``python -m seakeep.conversion.child FOLDER``.

The one place that unpickles, and it does so in a cage: its parent gave it an empty environment, and it takes from
itself the network (where the system allows it), memory, time and room to write before it reads anything.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seakeep.training.lifeline import hold_to_lifeline

if TYPE_CHECKING:
    from seakeep.conversion.exchange import Request
    from seakeep.conversion.packed import OwnCode
    from seakeep.conversion.rows import Rows
    from seakeep.records.version import ParityProof

AS_IT_IS = "or serve it as it is, in a process of its own: seakeep convert --native"
"""What to do about a model that is not converted."""
_GIB = 1024**3
_NEW_USER_NAMESPACE, _NEW_NETWORK_NAMESPACE = 0x10000000, 0x40000000  # linux/sched.h


def enter_cage() -> None:
    """Limit memory and files, forbid core dumps, and leave the network if this system lets a process do so."""
    _leave_network()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, 8 * _GIB)
    _limit(resource.RLIMIT_FSIZE, 2 * _GIB)
    _limit(resource.RLIMIT_NOFILE, 256)


def run(folder: Path) -> None:
    """Convert what the folder asks for, prove it, and write both beside the request.

    Raises
    ------
    ConversionError
        The estimator is not the recorded one, cannot be loaded, or has no exact emitter.
    """
    import msgspec

    from seakeep.conversion import exchange
    from seakeep.conversion.packed import OwnCode

    request = msgspec.json.decode((folder / exchange.REQUEST).read_bytes(), type=exchange.Request)
    _limit(resource.RLIMIT_CPU, request.cpu_s)
    own = OwnCode(request.code)
    own.install()
    estimator = _load(folder / exchange.ESTIMATOR, request.artefact_sha256)
    rows = exchange.read_rows(folder / exchange.FRAME)
    model, proof = (_keep if request.native else _emit)(estimator, own, rows, request)
    (folder / exchange.MODEL).write_bytes(model)
    (folder / exchange.PROOF).write_bytes(msgspec.json.encode(proof))


def _emit(estimator: Any, _own: OwnCode, rows: Rows, request: Request) -> tuple[bytes, ParityProof]:
    """Make ONNX of an estimator, and prove it."""
    from seakeep.conversion.emit.model import emit
    from seakeep.conversion.native import native_scorer
    from seakeep.conversion.outputs import outputs_of, require_served
    from seakeep.conversion.parity import prove
    from seakeep.errors import ConversionError

    name = type(estimator).__name__
    try:
        emission = emit(estimator, request.columns)
    except ConversionError as error:
        require_served(outputs_of(estimator), name, request.outputs)
        raise ConversionError(error.message, hint="; ".join(filter(None, (error.hint, AS_IT_IS)))) from error
    require_served(emission.outputs, name, request.outputs)
    trained, sha256 = native_scorer(estimator, request.columns), request.artefact_sha256
    proof = prove(trained, emission, rows, threshold=request.threshold, artefact_sha256=sha256)
    return emission.model, proof


def _keep(estimator: Any, own: OwnCode, rows: Rows, request: Request) -> tuple[bytes, ParityProof]:
    """Pack an estimator as it is, and prove it."""
    from seakeep.conversion.nativeproof import packed_model, prove_native, steady
    from seakeep.conversion.outputs import outputs_of, require_served

    outputs = outputs_of(estimator)
    require_served(outputs, type(estimator).__name__, request.outputs)
    steady(estimator)
    packed = packed_model(estimator, request.columns, outputs, own)
    return prove_native(estimator, packed, rows, threshold=request.threshold, artefact_sha256=request.artefact_sha256)


def main(folder: Path) -> int:
    """Run in the cage; returns the exit status. A fault becomes ``error.json``."""
    enter_cage()
    hold_to_lifeline()
    import msgspec

    from seakeep.conversion.exchange import ERROR, Failure
    from seakeep.errors import SeakeepError

    try:
        run(folder)
    except SeakeepError as fault:
        (folder / ERROR).write_bytes(msgspec.json.encode(Failure(message=fault.message, hint=fault.hint)))
        return 1
    return 0


def _load(path: Path, sha256: str) -> object:
    import pickle  # noqa: TID251 -- the converter process exists to do this apart from everything else

    from seakeep.errors import ConversionError

    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ConversionError("the estimator is not the one the run recorded", hint="train again")
    try:
        loaded: object = pickle.loads(content)  # noqa: S301 -- made by this project, digest verified, caged
    except Exception as error:
        raise ConversionError(
            f"the estimator cannot be loaded: {type(error).__name__}: {error}",
            hint="return an estimator made only of installed packages' classes from train, or, to have it served natively, "
            "of the project's own files, which must be as they were when it was trained",
        ) from error
    return loaded


def _limit(kind: int, value: int) -> None:
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
    sys.exit(main(Path(sys.argv[1])))
