"""A server in processes of its own: pinned, timed from its start to its first answer, weighed, and ended."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 90.0
_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Server:
    """How one server is started and asked.

    Attributes
    ----------
    command
        ``{port}`` in it is replaced by a free port.
    path, bodies, headers
        Of the requests that ask it for a prediction, one row each.
    check
        ``check(answer, row)``: raises if the bytes of an answer are not those of the row's score.
    """

    name: str
    command: list[str]
    path: str
    bodies: list[bytes]
    check: object
    headers: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    folder: str = "/"


class Running:
    """A server that runs; a context manager.

    Attributes
    ----------
    cold_s
        From the start of the process to the first prediction.
    """

    def __init__(self, server, cores):
        self.server, self.port, self.cold_s = server, free_port(), 0.0
        self._cores = cores

    def __enter__(self):
        self._log = tempfile.TemporaryFile()
        words = [self._told(word) for word in self.server.command]
        settings = {name: self._told(value) for name, value in self.server.environment.items()}
        # The bin folder of its environment comes first: some servers start others by their names alone.
        path = os.pathsep.join([str(Path(words[0]).parent), os.environ["PATH"]])
        # Compiled modules are kept, as they are where a server is installed.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        began = time.perf_counter()
        self._process = subprocess.Popen(
            words,
            cwd=self.server.folder,
            env={**inherited, **_QUIET, "PATH": path, **settings},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, self._cores),  # noqa: PLW1509 -- there are no threads here
        )
        try:
            while not self._answers():
                self._expect(began + PATIENCE_S)
                time.sleep(0.003)
        except BaseException:
            self.__exit__()
            raise
        self.cold_s = time.perf_counter() - began
        return self

    def __exit__(self, *_):
        tree = self.tree()
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for process in {*tree, *_session(self._process.pid)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._log.close()

    def _expect(self, until_s):
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended with {self._process.returncode}: {self.said()}")
        if time.perf_counter() > until_s:
            raise RuntimeError(f"it did not answer within {PATIENCE_S:.0f} s: {self.said()}")

    def _told(self, word):
        return word.replace("{port}", str(self.port))

    def _answers(self):
        """Whether it gives a prediction; it is checked."""
        server = self.server
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(
                "POST", server.path, server.bodies[0], {"content-type": "application/json", **server.headers}
            )
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.status != 200:
            self._last = body
            return False
        server.check(body, 0)
        return True

    def said(self):
        """The last line that tells a fault, of what the server wrote."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        lines += [repr(self._last)] if hasattr(self, "_last") else []
        told = [line for line in lines if "Error" in line or "error" in line]
        return (told or lines or ["without a word"])[-1][:200]

    def tree(self):
        """Its processes."""
        found = [self._process.pid]
        for process in found:
            found += _children(process)
        return found

    def rss_mb(self):
        """Resident memory of each of its processes, largest first, in MB."""
        sizes = []
        for process in self.tree():
            with contextlib.suppress(OSError, IndexError):
                sizes.append(
                    int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
                )
        return sorted(sizes, reverse=True)

    def cpu_s(self):
        """Processor time of its living processes, in seconds."""
        total = 0
        for process in self.tree():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / _TICKS


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _children(process):
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{process}/task").iterdir()
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    return []


def _session(leader):
    """What a server has left behind: processes of its session whose parents are gone."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                found.append(int(entry.name))
    return found
