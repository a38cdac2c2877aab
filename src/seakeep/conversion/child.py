"""The converter process: ``python -m seakeep.conversion.child FOLDER``.

The one place that unpickles, and it does so in a cage: its parent gave it an empty environment, and it takes from
itself the network (where the system allows it), memory, time and room to write before it reads anything.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import os
import resource
import sys
from pathlib import Path

from seakeep.training.lifeline import hold_to_lifeline

_GIB = 1024**3
_NEW_USER_NAMESPACE, _NEW_NETWORK_NAMESPACE = 0x10000000, 0x40000000  # linux/sched.h


def enter_cage() -> None:
    """Limit memory and files, forbid core dumps, and leave the network if this system lets a process do so."""
    _leave_network()
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_AS, 8 * _GIB)
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
    from seakeep.conversion.emit.model import emit
    from seakeep.conversion.engine import executed
    from seakeep.conversion.native import native_scorer
    from seakeep.conversion.outputs import require_served
    from seakeep.conversion.parity import prove

    request = msgspec.json.decode((folder / exchange.REQUEST).read_bytes(), type=exchange.Request)
    limit(resource.RLIMIT_CPU, request.cpu_s)
    estimator = load(folder / exchange.ESTIMATOR, request.artefact_sha256)
    emission = emit(estimator, request.columns)
    require_served(emission.outputs, type(estimator).__name__, request.outputs)
    emission = dataclasses.replace(emission, model=executed(emission.model, request.engine))
    proof = prove(
        native_scorer(estimator, request.columns),
        emission,
        exchange.read_rows(folder / exchange.FRAME),
        threshold=request.threshold,
        artefact_sha256=request.artefact_sha256,
    )
    (folder / exchange.MODEL).write_bytes(emission.model)
    (folder / exchange.PROOF).write_bytes(msgspec.json.encode(proof))


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


def load(path: Path, sha256: str) -> object:
    """The estimator in a file, for a process in the cage alone.

    Raises
    ------
    ConversionError
        It is not the recorded one, or cannot be read.
    """
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
            hint="return an estimator made only of scikit-learn's classes from train",
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
    sys.exit(main(Path(sys.argv[1])))
