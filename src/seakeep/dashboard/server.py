"""The dashboard's server: uvicorn in a thread beside whatever else the process does."""

from __future__ import annotations

import logging
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

import uvicorn

from seakeep.clock import Clock, SystemClock
from seakeep.dashboard.app import LOOPBACK, create_app
from seakeep.dashboard.records import RecordedPages
from seakeep.errors import PlatformError

if TYPE_CHECKING:
    from seakeep.project import Project

_BACKLOG = 128
_log = logging.getLogger("seakeep.dashboard")


class DashboardServer:
    """Serves a project's dashboard; a context manager.

    It asks nobody who they are, so it listens on this machine's own addresses only.

    Attributes
    ----------
    url
        Where a browser finds it.
    """

    def __init__(self, project: Project, *, clock: Clock | None = None) -> None:
        self._settings = project.settings.dashboard
        settings = project.settings
        self._pages = RecordedPages(project, clock=clock or SystemClock())
        app = create_app(
            self._pages,
            name=settings.project.name,
            past=settings.serving.clock == "request",
        )
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)
        self._socket: socket.socket | None = None
        self.url = ""

    def __enter__(self) -> Self:
        """Listen and serve.

        Raises
        ------
        PlatformError
            The port is in use, or the address is not this machine's own.
        """
        host, port = self._settings.host, self._settings.port
        name = f"[{host}]" if ":" in host else host
        if name not in LOOPBACK:
            raise PlatformError(
                f"the dashboard does not listen on {host!r}: it asks nobody who they are",
                hint='set dashboard.host = "127.0.0.1" and reach it through an SSH tunnel',
            )
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise PlatformError(
                f"the dashboard cannot listen on {name}:{port}: {error.strerror}",
                hint="stop what listens there, or set dashboard.port",
            ) from error
        self.url = f"http://{name}:{self._socket.getsockname()[1]}/"
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer what was asked, and stop."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        if self._socket:
            self._socket.close()
        self._pages.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket] if self._socket else None)
        except Exception:  # noqa: BLE001 -- the thread's border: the models are served on
            _log.exception("the dashboard stopped")
