"""What a process uses, as the kernel tells it to others: processor time of its main thread, and memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Ran(NamedTuple):
    """Seconds that a process's main thread ran, and that it could have run but had no processor."""

    ran_s: float
    waited_s: float


def main_thread(process: int) -> Ran:
    """How long the main thread of a living process ran; without the kernel's schedule statistics, to 10 ms.

    Raises
    ------
    OSError
        There is no such process.
    """
    folder = Path(f"/proc/{process}/task/{process}")
    with contextlib.suppress(OSError, ValueError, IndexError):
        ran_ns, waited_ns = (folder / "schedstat").read_text("ascii").split()[:2]
        return Ran(int(ran_ns) / 1e9, int(waited_ns) / 1e9)
    fields = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()
    return Ran((int(fields[11]) + int(fields[12])) * _TICK_S, 0.0)


def resident_bytes(process: int) -> int:
    """Memory of a process that is in use now (RSS); cheap.

    Raises
    ------
    OSError
        There is no such process.
    """
    return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * _PAGE


def anonymous_bytes(process: int) -> int:
    """As :func:`resident_bytes`, without pages of files, which many share and the kernel can take back; cheap.

    Raises
    ------
    OSError
        There is no such process.
    """
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    found = next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), None)
    return resident_bytes(process) if found is None else found * 1024


def own_bytes(process: int) -> int:
    """As :func:`resident_bytes`, with its part of what it shares with others (PSS), where the kernel tells it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return resident_bytes(process)
