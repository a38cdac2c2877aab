"""The requests in the page on the HTTP API are sent to a real service, as they are written there."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.flights import PATIENCE_S, Server

from seakeep.serving.errors import CODES
from seakeep.serving.routes import OPERATIONS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "http.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8080"


def requests():
    """The commands of the page: a line that begins with ``$ curl`` and the lines of its body."""
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        yield from re.findall(r"^\$ (curl .*?)$(?=\n\$|\Z|\n\Z)", block, re.DOTALL | re.MULTILINE)


def send(command, port):
    """What a shell gets from a command of the page."""
    assert ADDRESS in command
    command = command.replace(ADDRESS, f"http://127.0.0.1:{port}")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_every_request_of_the_page_is_answered_as_it_says(flights_at):
    with Server(flights_at("promoted")) as server:
        answers = {}
        for command in requests():
            path = re.search(f"{ADDRESS}(\\S+)", command)[1]
            answers[path] = send(command, server.port)
        assert json.loads(answers["/v1/models/late-arrival/predict"])["predictions"][0]["key"] == "mine"
        assert json.loads(answers["/v1/events/arrivals"]) == {"accepted": 1, "duplicate": False}
        assert json.loads(answers["/v2"])["name"] == "seakeep"
        assert json.loads(answers["/v2/models/late-arrival"])["outputs"][0]["name"] == "score"
        assert json.loads(answers["/v2/models/late-arrival/ready"])["ready"] is True
        assert json.loads(answers["/v2/health/live"]) == {"live": True}
        assert json.loads(answers["/v2/health/ready"])["ready"] is True
        assert answers["/metrics"].startswith("# HELP seakeep_workers")
        (event,) = [command for command in requests() if "/v1/events/" in command]
        assert json.loads(send(event, server.port)) == {"accepted": 1, "duplicate": True}
        plain = event.replace(" -H 'Idempotency-Key: landing-mine'", "")
        assert [json.loads(send(plain, server.port))["duplicate"] for _ in range(2)] == [False, False]


def test_every_route_and_code_is_named_in_the_page():
    parts = {word for one in OPERATIONS for word in one.path.split("/") if word.isalpha()}
    assert parts >= {"predict", "events", "infer", "metrics"}
    assert [part for part in sorted(parts) if f"/{part}" not in PAGE] == []
    assert [code for code in CODES if code not in {"other", "serving"} and f"`{code}`" not in PAGE] == []
