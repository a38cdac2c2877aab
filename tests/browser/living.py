"""A whole life of a small project, for a browser to look at: a simulated shop, its model trained and served by `seakeep up`.

It was asked with eight weeks of orders, the last four with broken prices. A bad version was promoted, and taken back by
itself; a retrained one is being rolled out.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.simulated_shop import BROKEN_US, END_US, LIVE_US, MODEL, START_US, write_project

from seakeep.clock import DAY_US
from seakeep.project import Project, open_project

BAD_FROM_US, BAD_TO_US = START_US + 88 * DAY_US, START_US + 92 * DAY_US
OPEN_FROM_US = START_US + 116 * DAY_US
PATIENCE_S = 60


class Living:
    """The project while `seakeep up` serves it.

    Attributes
    ----------
    url
        Of the dashboard, without a slash at the end.
    """

    def __init__(self, project: Project, url: str) -> None:
        self.project, self.url = project, url
        self._asked = 0

    def json(self, address: str) -> Any:
        with urllib.request.urlopen(self.url + address, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def ask(self, key: str, *, rows: int = 1) -> list[dict[str, Any]]:
        """Ask the service for new predictions, a minute after the newest, and wait until they are on disk."""
        sent = []
        for place in range(rows):
            self._asked += 1
            moment = END_US + 60_000_000 * self._asked
            sent.append({"id": key if rows == 1 else f"{key}-{place}", "ordered": moment, "price": 25.5, "shop": "web"})
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.project.settings.serving.port}/v1/models/{MODEL}/predict",
            json.dumps({"rows": sent}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)["predictions"]


def wait(until: Callable[[], Any], what: str) -> Any:
    """The first true value of ``until``."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = until()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def live(folder: Path) -> Iterator[Living]:
    """Make the project and serve it."""
    write_project(folder, port=free_port())
    project = open_project(folder)

    def release(trainer: str = "", as_of_us: int = LIVE_US, override: str = "") -> None:
        run = project.train(MODEL, as_of_us=as_of_us, trainer=trainer, actor="ada")
        version, _ = project.convert(run.id, actor="ada")
        project.promote(version.ref, actor="ada", override=override)

    release()
    with _up(folder) as url:
        project.replay_traffic(MODEL, from_us=LIVE_US, to_us=BAD_FROM_US)
        release("train_upside_down", override="to see it taken back")
        for day in range(BAD_FROM_US, BAD_TO_US, DAY_US):
            project.replay_traffic(MODEL, from_us=day, to_us=day + DAY_US)
        wait(lambda: project.stores.receipts.receipts(MODEL), "the receipt of the bad version")
        project.replay_traffic(MODEL, from_us=BAD_TO_US, to_us=OPEN_FROM_US)
        release(as_of_us=BROKEN_US)
        project.replay_traffic(MODEL, from_us=OPEN_FROM_US, to_us=END_US)
        yield Living(project, url)


@contextlib.contextmanager
def _up(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-c", "from seakeep.cli import main; main()", "up"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        yield _dashboard_of(process)
    finally:
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=PATIENCE_S)[1]
        assert process.returncode == 0, told


def _dashboard_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    told = ""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stderr, selectors.EVENT_READ)
        while ready.select(PATIENCE_S):
            piece = os.read(process.stderr.fileno(), 65_536).decode()
            told += piece
            found = re.search(r"dashboard on (http://\S+)/\s", told)
            if found:
                return found[1]
            if not piece:
                break
    raise AssertionError(f"no dashboard: {told}")
