"""The entry of a serving worker, as a process."""

import http.client
import json
import socket
import subprocess
import sys

import pytest
from tests.flights import MODEL, environment, wait_for

from seakeep.project.worker import main

pytestmark = pytest.mark.slow


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, *arguments, **settings):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "seakeep.project.worker", str(folder), *map(str, arguments)],
        env=environment(**settings),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except OSError:
        return 0, {}
    finally:
        connection.close()


@pytest.mark.parametrize("arguments", [[], ["folder"], ["folder", "0", "1", "2", "3"]])
def test_another_number_of_arguments_is_a_usage_fault(capsys, arguments):
    assert main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m seakeep.project.worker FOLDER NUMBER PORT [BESIDE]\n"


def test_it_serves_until_whoever_started_it_is_gone_and_never_runs_the_projects_code(flights_at):
    folder = flights_at("promoted")
    (folder / "project.py").write_text("raise SystemExit('the worker ran the project')\n")
    port = free_port()
    with start(folder, 0, port) as worker:
        status, metadata = wait_for(
            lambda: found if (found := get(port, f"/v2/models/{MODEL}"))[0] == 200 else None, process=worker
        )
        assert (status, metadata["name"], metadata["versions"]) == (200, MODEL, ["1"])
        assert len(metadata["inputs"]) == 18
        worker.stdin.close()
        assert worker.wait(60) == 0
        assert worker.stderr.read() == ""


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda folder: (folder / "seakeep.toml").write_text("[project]\nnme = 1\n"), "unknown setting 'nme'"),
        (lambda folder: (folder / ".seakeep/state.db").write_bytes(b"no database" * 500), "file is not a database"),
        (lambda folder: (folder / ".seakeep/keys/signing.pub").unlink(), "signing.pub cannot be read"),
    ],
    ids=["settings", "state", "key"],
)
def test_a_fault_is_told_with_its_hint_and_the_workers_number(flights_at, break_it, told):
    folder = flights_at("promoted")
    break_it(folder)
    with start(folder, 3, free_port()) as worker:
        said = worker.communicate(timeout=60)[1]
    assert worker.returncode == 1
    assert said.startswith("worker 3: error: ")
    assert told in said
    assert "\n  hint: " in said
    assert "Traceback" not in said
