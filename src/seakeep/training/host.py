"""The class of a host: what the last bits of a computation depend on."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_VECTORS = ("avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")


def host_class(device: str = "") -> str:
    """The class of this host, see :func:`cpu_class`, and of the ``device`` that computes beside its processor, if any does."""
    return ", ".join(filter(None, (cpu_class(_CPUINFO), device)))


def cpu_class(cpuinfo: Path) -> str:
    """Processor model and widest vector unit: numerical libraries choose their code, and so the last bits, by these."""
    try:
        lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    model = fields.get("model name") or fields.get("cpu part") or platform.machine()
    flags = (fields.get("flags") or fields.get("features") or "").split()
    vectors = next((name for name in _VECTORS if name in flags), "")
    return f"{model} {vectors}".strip()
