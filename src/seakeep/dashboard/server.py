"""The dashboard's server: uvicorn in a thread beside whatever else the process does.

Entry of a process of its own: ``python -m seakeep.dashboard.server FOLDER HANDLE``, where HANDLE is the descriptor of a
socket that listens already.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import uvicorn

from seakeep.clock import Clock, SystemClock
from seakeep.dashboard.app import create_app
from seakeep.dashboard.listening import listen, url_of
from seakeep.dashboard.records import RecordedPages
from seakeep.errors import SeakeepError
from seakeep.project import open_project

if TYPE_CHECKING:
    from seakeep.project import Project

_log = logging.getLogger("seakeep.dashboard")


class DashboardServer:
    """Serves a project's dashboard; a context manager.

    Parameters
    ----------
    listening
        A socket that listens already; by default one is made on entry.

    Attributes
    ----------
    url
        Where a browser finds it.
    """

    def __init__(self, project: Project, *, clock: Clock | None = None, listening: socket.socket | None = None) -> None:
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
        self._socket = listening
        self.url = ""

    def __enter__(self) -> Self:
        """Listen and serve.

        Raises
        ------
        PlatformError
            The port is in use, or the address is not this machine's own.
        """
        if self._socket is None:
            self._socket = listen(self._settings)
        self.url = url_of(self._settings, self._socket)
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


def main(arguments: list[str]) -> int:
    """Show the dashboard until killed, or until standard input, a pipe from whoever started it, ends.

    Returns
    -------
    int
        The exit status. A fault is one line on standard error.
    """
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m seakeep.dashboard.server FOLDER HANDLE\n")
        return 2
    try:
        project = open_project(Path(arguments[0]))
        with DashboardServer(project, listening=socket.socket(fileno=int(arguments[1]))):
            while os.read(0, 4096):
                pass
    except SeakeepError as fault:
        sys.stderr.write(f"dashboard: error: {fault.message}\n  hint: {fault.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
