"""The example of the flights of 2013, trained, converted, promoted and served once for a whole test session.

Each stage of it is kept as a folder; a test copies the stage it begins with. The tables are the example's own first
ten weeks in Parquet files, so that reading them takes no time; the model has fewer trees than the example's and a
latency gate for busy machines. Everything else is the example as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import importlib.util
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from tests.recording import writer

from seakeep.clock import DAY_US, parse_moment
from seakeep.project import Project, open_project
from seakeep.recorder import query
from seakeep.records.version import Version

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"
TABLES = ("flights", "departures", "arrivals", "weather")
UNTIL = "2013-03-10"
LOADERS = '''"""The first ten weeks of the example's tables."""

import functools
from pathlib import Path

import duckdb


def _read(name):
    return duckdb.read_parquet(str(Path(__file__).parent / "tables" / f"{name}.parquet"))


flights, departures, arrivals, weather = (
    functools.partial(_read, name) for name in ("flights", "departures", "arrivals", "weather")
)
'''
QUICK = (("max_iter=150,", "max_iter=40,"), ("latency(p99_ms=5)", "latency(p99_ms=500)"))

MODEL = "late-arrival"
AS_OF, VALIDATE_FROM = "2013-03-01", "2013-02-15"
REPLAY_FROM, REPLAY_TO = "2013-03-01", "2013-03-04"
AS_OF_US, REPLAY_FROM_US, REPLAY_TO_US = map(parse_moment, (AS_OF, REPLAY_FROM, REPLAY_TO))
HISTORY_TO_US = AS_OF_US + 5 * DAY_US

STAGES = ("example", "trained", "converted", "promoted", "recorded")
TOLD = "told.json"
PATIENCE_S = 180.0
"""Longest wait for something that a healthy machine does in a second or two."""


class Told(msgspec.Struct, frozen=True):
    """A command that ran: its arguments, its exit code and what it wrote."""

    arguments: list[str]
    code: int
    out: str
    err: str


# Commands in processes of their own


def environment(**settings: object) -> dict[str, str]:
    """What a child process sees: the modules of this one, and settings such as ``SEAKEEP_SERVING__PORT``."""
    given = {name: str(value) for name, value in settings.items()}
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.defpath, **given}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from seakeep.cli import main; main()", *map(str, arguments)]


def run(folder: Path, *arguments: object, **settings: object) -> Told:
    """Run ``seakeep`` in a folder, as a person does."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE_S,
        check=False,
    )
    return Told(list(map(str, arguments)), done.returncode, done.stdout, done.stderr)


def wait_for(condition: Callable[[], Any], *, process: subprocess.Popen[Any] | None = None) -> Any:
    """Poll until a condition holds, and give what it gave; it is an error if ``process`` ends before."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        assert process is None or process.poll() is None, f"the process ended with {process.returncode}"
        time.sleep(0.005)
    return found


def children(process: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == process and state != "Z":
                found.append(int(entry.name))
    return sorted(found)


def entries(process: int, module: str) -> list[int]:
    """The living children of a process that run a module of ours."""
    found = []
    for child in children(process):
        with contextlib.suppress(OSError):
            if module.encode() in (Path("/proc") / str(child) / "cmdline").read_bytes().split(b"\0"):
                found.append(child)
    return found


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# Stages


def stage(root: Path, name: str) -> Path:
    """The folder of a stage, built once even if several processes ask for it."""
    with (root.parent / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for at, each in enumerate(STAGES[: STAGES.index(name) + 1]):
            if not (root / each / TOLD).exists():
                _build(root, each, before=STAGES[at - 1] if at else "")
    return root / name


def told(root: Path, name: str) -> Told:
    """The command that made a stage of the one before it."""
    return msgspec.json.decode((stage(root, name) / TOLD).read_bytes(), type=Told)


def _build(root: Path, name: str, *, before: str) -> None:
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    if not before:
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".seakeep", "__pycache__"))
        change(folder, *QUICK)
        _cut(folder)
        done = Told([], 0, "", "")
    else:
        copy(root / before, folder)
        done = _take(folder, name)
    assert done.code == 0, done
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    (folder / TOLD).write_bytes(msgspec.json.encode(done))


def _cut(folder: Path) -> None:
    """Put the first weeks of the example's tables into files, and the files in the place of its loaders."""
    spec = importlib.util.spec_from_file_location("the_examples_tables", folder / "flights_data.py")
    assert spec
    assert spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    (folder / "tables").mkdir()
    for name in TABLES:
        table = getattr(example, name)()
        (time,) = (column for column in ("scheduled", "departed", "landed", "time_hour") if column in table.columns)
        early = table.filter(f"{time} < timestamp '{UNTIL}'")
        early.write_parquet(str(folder / "tables" / f"{name}.parquet"))
    (folder / "flights_data.py").write_text(LOADERS, "utf-8")


def _take(folder: Path, name: str) -> Told:
    """One step of the path, by the command that a person types."""
    if name != "recorded":
        return run(folder, *_STEPS[name])
    with Server(folder) as server:
        period = ("--from", REPLAY_FROM, "--to", REPLAY_TO)
        return run(folder, "replay-traffic", *period, "--json", SEAKEEP_SERVING__PORT=server.port)


_STEPS = {
    "trained": ("train", "--as-of", AS_OF, "--validate-from", VALIDATE_FROM),
    "converted": ("convert",),
    "promoted": ("promote", f"{MODEL}:1"),
}


def copy(source: Path, target: Path) -> Path:
    """A project's folder with all its state, as it is on the disk."""
    return shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", TOLD))


def change(folder: Path, *replacements: tuple[str, str]) -> None:
    """Edit the project's declarations."""
    file = folder / "project.py"
    text = file.read_text("utf-8")
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text, "utf-8")


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Project]:
    """A project in this process; what it imports from its folder is forgotten afterwards."""
    with forgotten():
        yield open_project(folder)


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Projects that are opened in the block leave none of their modules behind."""
    path = list(sys.path)
    before = {name: sys.modules.pop(name, None) for name in ("flights_data", "_seakeep_project")}
    try:
        yield
    finally:
        sys.path[:] = path
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def twin(project: Project, **changes: Any) -> Version:
    """Register the first version's model once more, as of another run; ``changes`` are of the run."""
    bundle = project.bundle(project.resolve(f"{MODEL}:1"))
    number = len(project.stores.runs.list()) + 1
    made = msgspec.structs.replace(bundle.run, id=f"r-{number:012x}", **changes)
    project.stores.runs.add(made, actor="test")
    version = Version(
        model=MODEL,
        number=0,
        bundle=project.stores.bundles.put(made, bundle.model, bundle.proof, created_us=made.started_us),
        run=made.id,
        created_us=made.started_us,
        author="test",
        threshold=made.threshold,
    )
    return project.stores.versions.add(version, actor="test", now_us=made.started_us)


# The service


class Server:
    """A project's service in processes of its own, on a free port; a context manager.

    Parameters
    ----------
    arguments
        The command that serves.
    settings
        As ``workers=2``, of the section ``serving``.
    """

    def __init__(self, folder: Path, arguments: Sequence[str] = ("serve",), **settings: object) -> None:
        self.folder, self.log = folder, folder / "server.log"
        given = {f"SEAKEEP_SERVING__{name.upper()}": value for name, value in settings.items()}
        chosen = {"SEAKEEP_SERVING__PORT": 0, "SEAKEEP_SERVING__WORKERS": 1, "SEAKEEP_DASHBOARD__PORT": 0}
        self._arguments, self._environment = arguments, environment(**(chosen | given))
        self.port = 0

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command(*self._arguments),
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            announced = wait_for(
                lambda: re.search(r"serving on http://127\.0\.0\.1:(\d+)\n", self.said), process=self.process
            )
        except AssertionError as error:
            self.stop()
            raise AssertionError(self.said) from error
        self.port = int(announced[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8")

    @property
    def workers(self) -> list[int]:
        return entries(self.process.pid, "seakeep.project.worker")

    def stop(self) -> int:
        """Ask it to end, as Ctrl-C does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """Kill every one of its processes at once, as a host that runs out of memory does."""
        for process in (self.process.pid, *self.workers):
            os.kill(process, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path, b"", {})

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self._ask("POST", path, sent, {"content-type": "application/json", **(headers or {})})

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answers to rows that ask, all of which must be answered."""
        status, answer = self.post(f"/v1/models/{MODEL}/predict", {"rows": rows})
        assert status == 200, answer
        return answer["predictions"]

    def send(self, source: str, rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
        """Send events, which must be taken."""
        status, answer = self.post(f"/v1/events/{source}", {"events": rows}, {"idempotency-key": key})
        assert status == 200, answer
        return answer

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        plain = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(content) if plain else content


def failing_day(project: Any, *, day: int = 3) -> None:
    """Record a day on which every second answer failed, and the first answer of the next."""
    folder = project.home.predictions
    table = query.load(folder, query.Query(model=MODEL))
    pattern = query.find(folder, table.id[-1])
    first_us = REPLAY_FROM_US + day * DAY_US
    pen = writer(folder, f"day-{day}")
    for at, time_us in enumerate([*range(first_us, first_us + DAY_US, DAY_US // 400), first_us + DAY_US]):
        bad = {"error": "serving", "score": math.nan} if at % 2 else {}
        changes = {"sequence": pen.next_sequence(), "id": f"d{day}-{at}", "time_us": time_us, "key": "", **bad}
        assert pen.append(msgspec.structs.replace(pattern, **changes))
    pen.commit()
    pen.close()
