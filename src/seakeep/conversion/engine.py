"""Opens a version's model with whatever executes it: the inference engine, or its own framework in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from seakeep.conversion.nativesession import NativeSession, ProcessState
from seakeep.conversion.packed import engine_of
from seakeep.conversion.session import ScoringSession
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Session(Protocol):
    """A loaded model.

    Attributes
    ----------
    outputs
        What the answers are.
    apart
        Whether it waits for another process, and so must not hold up an event loop.
    device
        What computes it beside the processor, in words; ``""``: nothing.
    """

    outputs: Outputs
    apart: bool
    device: str

    def score(self, numbers: NDArray[np.float64], categories: NDArray[np.object_]) -> NDArray[np.float64]:
        """Scores; see :meth:`seakeep.conversion.session.ScoringSession.score`."""
        ...

    @property
    def state(self) -> ProcessState | None:
        """How the process is that it waits for; None: there is none."""
        ...

    def interrupt(self) -> bool:
        """End the process that it waits for, if it is busy, so that the call fails; whether it was. From any thread."""
        ...


def open_session(
    model: bytes, *, limit_s: float | None = None, engines: Path | None = None
) -> ScoringSession | NativeSession:
    """Load a model.

    Parameters
    ----------
    limit_s
        How long a call of a native one may take, in seconds.
    engines
        Folder in which TensorRT keeps the engines that it builds; None: it keeps none.

    Raises
    ------
    IntegrityError
        The bytes are no model.
    PlatformError
        It is to be computed by what is not usable here.
    """
    return NativeSession(model, limit_s=limit_s) if engine_of(model) == "native" else ScoringSession(model, engines)
