"""How many connections a worker may hold, so that its file descriptors suffice for what it must open besides."""

from __future__ import annotations

import resource

_KEPT = 256
"""Descriptors for everything that is no client of HTTP: segments, databases, models, and clients of gRPC."""


def connections(most: int) -> int:
    """The most connections to hold, at most ``most``; the process's soft limit is raised as far as it must and may be.

    A connection too many is told so; where the system ran out of descriptors, it would be reset, and the recorder could
    open no segment.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (most + _KEPT if limit == resource.RLIM_INFINITY else limit for limit in (soft, hard))
    wanted = max(soft, min(hard, most + _KEPT))
    if wanted > soft:
        _, given = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, given))
    return max(1, min(most, max(wanted - _KEPT, wanted // 2)))
