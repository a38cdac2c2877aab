"""The processes in which natively served versions run, as the workers count them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from seakeep.serving import metrics


class NativeProcesses(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of a natively served version, over all workers; none where no service runs.

    Attributes
    ----------
    memory_bytes
        Resident memory, in all.
    start_s
        What one took to start, in the mean, in seconds.
    restarts
        Since the service began.
    """

    running: int
    memory_bytes: int
    start_s: float
    restarts: int


def processes_of(folder: Path, model: str, version: int) -> NativeProcesses | None:
    """The processes of one version; None: it has none, or no service has run.

    Parameters
    ----------
    folder
        Where the workers count.
    """
    found = [one for one in metrics.read(folder).versions if (one.model, one.version) == (model, version)]
    counted = found[0].counters if found else {}
    running = counted.get("native_processes", 0)
    if not running and not counted.get("native_restarts"):
        return None
    return NativeProcesses(
        running=running,
        memory_bytes=counted["native_bytes"],
        start_s=counted["native_start_ms"] / 1000 / max(1, running),
        restarts=counted["native_restarts"],
    )
