"""Where the dashboard listens: on this machine's own addresses only, because it asks nobody who they are."""

from __future__ import annotations

import socket

from seakeep.config import DashboardSettings
from seakeep.errors import PlatformError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names under which a browser on this machine knows the dashboard."""

_BACKLOG = 128


def listen(settings: DashboardSettings) -> socket.socket:
    """Listen; browsers wait from here on until somebody serves.

    Raises
    ------
    PlatformError
        The port is in use, or the address is not this machine's own.
    """
    name = _name(settings)
    if name not in LOOPBACK:
        raise PlatformError(
            f"the dashboard does not listen on {settings.host!r}: it asks nobody who they are",
            hint='set dashboard.host = "127.0.0.1" and reach it through an SSH tunnel',
        )
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise PlatformError(
            f"the dashboard cannot listen on {name}:{settings.port}: {error.strerror}",
            hint="stop what listens there, or set dashboard.port",
        ) from error


def url_of(settings: DashboardSettings, listening: socket.socket) -> str:
    """Where a browser finds it."""
    return f"http://{_name(settings)}:{listening.getsockname()[1]}/"


def _name(settings: DashboardSettings) -> str:
    return f"[{settings.host}]" if ":" in settings.host else settings.host
