"""The process of a natively served model: ``python -m seakeep.conversion.resident SOCKET``.

It gets its model over the socket, loads it once, and answers rows for as long as its parent lives. It enters the
converter's cage before anything is loaded: no network where the system allows that, limits on memory and files. What the
model prints goes to standard error, and what it does to this process harms nobody else.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from seakeep.conversion.child import enter_cage
from seakeep.training.lifeline import hold_to_lifeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seakeep.conversion.packed import Packed
    from seakeep.conversion.rows import Rows

    Load = Callable[[Packed], Callable[[Rows], NDArray[np.float64]]]


def scorer_of(packed: Packed) -> Callable[[Rows], NDArray[np.float64]]:
    """Load a model; what scores rows, ``(n, k)``, with NaN for those that it refuses.

    Raises
    ------
    SeakeepError
        It cannot be loaded, or was proved with other versions of its libraries.
    """
    import numpy as np

    from seakeep.conversion.compare import answers
    from seakeep.conversion.native import native_scorer
    from seakeep.conversion.packed import OwnCode
    from seakeep.conversion.skopsfile import loads

    OwnCode(packed.code).install()
    _require_versions(packed.native.versions)
    native = packed.native
    scorer = native_scorer(loads(packed.estimator, native.modules), native.columns, native.outputs)
    width = 1 if native.outputs.single else len(native.outputs.names)

    def score(rows: Rows) -> NDArray[np.float64]:
        size = 1 if native.alone else max(1, len(rows))
        found = [
            answers(scorer, rows.take(np.arange(at, min(at + size, len(rows))))) for at in range(0, len(rows), size)
        ]
        parts = [np.broadcast_to(one.scores, (len(one.scores), width)) for one in found]
        return np.concatenate(parts) if parts else np.empty((0, width))

    return score


def serve(talk: socket.socket, load: Load) -> None:
    """Load the model that comes first, and answer rows until the other side closes."""
    from seakeep.conversion import wire
    from seakeep.conversion.packed import unpack
    from seakeep.errors import SeakeepError

    began_s = time.perf_counter()
    packed = unpack(bytes(wire.receive(talk).payload))
    try:
        score = load(packed)
    except SeakeepError as fault:
        wire.send(talk, wire.FAULT, fault.message.encode()[: wire.MOST_TOLD])
        return
    ready = wire.Ready(
        outputs=packed.native.outputs, load_s=time.perf_counter() - began_s, memory_bytes=_resident_bytes()
    )
    del packed
    import msgspec

    wire.send(talk, wire.READY, msgspec.json.encode(ready))
    while True:
        wire.send_scores(talk, score(wire.rows_of(wire.receive(talk))))


def main(descriptor: int, load: Load | None = None) -> int:
    """Serve; returns the exit status.

    Parameters
    ----------
    load
        Makes of a packed model what scores rows; by default :func:`scorer_of`.
    """
    enter_cage()
    hold_to_lifeline()
    os.dup2(2, 1)  # what a model prints is no answer
    sys.stdout = sys.stderr
    # Where memory runs out, a model is ended before the server that asks it.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", "ascii")
    os.set_inheritable(descriptor, False)  # noqa: FBT003 -- os's signature
    from seakeep.conversion.wire import Closed

    with socket.socket(fileno=descriptor) as talk, contextlib.suppress(Closed):
        serve(talk, load or scorer_of)
    return 0


def _require_versions(proved: dict[str, str]) -> None:
    from seakeep.errors import IntegrityError
    from seakeep.training.environment import installed

    here = installed(proved)
    other = [
        f"{name} {version} (here {here[name] or 'none'})" for name, version in proved.items() if here[name] != version
    ]
    if other:
        raise IntegrityError(
            f"the model was proved with {', '.join(other)}", hint="install these versions, or convert the run again"
        )


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
