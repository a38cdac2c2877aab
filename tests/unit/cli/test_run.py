"""``serve``, ``up`` and ``replay-traffic``."""

import json
import re
import socket
import urllib.request

import pytest
from tests.flights import MODEL, REPLAY_TO_US, Server, opened, told, wait_for

pytestmark = pytest.mark.slow


def test_up_serves_and_shows_the_dashboard_until_it_is_told_to_stop(flights_at):
    with Server(flights_at("recorded"), ("up",), workers=2) as server:
        said = server.said.splitlines()
        assert said[0] == f"✓ serving on http://127.0.0.1:{server.port}"
        dashboard = said[1].removeprefix("✓ dashboard on ")
        assert said[2] == "  undo: Ctrl-C"
        assert server.get("/v2/health/ready")[0] == 200
        assert len(server.workers) == 2
        with urllib.request.urlopen(dashboard, timeout=30) as page:
            assert MODEL in page.read().decode()
        port = server.port
        assert server.stop() == 0
        assert "Traceback" not in server.said
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


def test_serve_serves_a_project_of_which_nothing_was_promoted_yet(flights_at):
    """The workers wait: the first promotion makes them answer."""
    folder = flights_at("converted")
    where = {"carrier": "UA", "origin": "EWR", "dest": "SFO", "distance": 2565}
    row = {"flight_id": "x", "scheduled": "2013-03-01T12:00:00Z", **where}
    with opened(folder) as project, Server(folder) as server:
        assert server.said == f"✓ serving on http://127.0.0.1:{server.port}\n  undo: Ctrl-C\n"
        assert server.get("/v2/health/ready")[1] == {"ready": True, "draining": False, "models": {}, "failed": []}
        status, answer = server.post(f"/v1/models/{MODEL}/predict", {"rows": [row]})
        assert (status, answer["code"]) == (404, "not-found")
        project.promote(f"{MODEL}:1", actor="test")
        wait_for(lambda: server.get("/v2/health/ready")[1]["models"])
        (found,) = server.predict([row])
        assert (found["version"], found["unknown"]) == (1, [])


def test_replay_traffic_tells_what_was_answered_as_json(flights_root):
    totals = json.loads(told(flights_root, "recorded").out)
    assert totals["time_us"] == REPLAY_TO_US
    assert totals["answered"] > 2_000
    assert totals["events"] > 2 * totals["answered"]
    assert set(totals["statuses"]) == {"200"}
    assert (totals["failed"], totals["events_failed"], totals["first_failure"]) == (0, 0, "")


def test_replay_traffic_without_a_server_says_how_to_start_one(seakeep, at, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    monkeypatch.setenv("SEAKEEP_SERVING__PORT", str(port))
    said = seakeep("replay-traffic", "--from", "2013-03-01", "--to", "2013-03-02", *at("promoted"), code=1)
    assert f"nobody answers on port {port} of 127.0.0.1" in said.err
    assert "hint: start the server first: seakeep up" in said.err


def test_replay_traffic_needs_a_key_where_there_is_one_and_degrades_without(seakeep, flights_at, monkeypatch):
    folder = flights_at("promoted")
    secret = seakeep("key", "create", "replayer", "--project", folder).out.strip()
    with Server(folder) as server:
        monkeypatch.setenv("SEAKEEP_SERVING__PORT", str(server.port))
        asked = ("--from", "2013-03-01", "--to", "2013-03-01T03:00", "--share", "0.5", "--project", folder)
        said = seakeep("replay-traffic", *asked, code=4)
        assert said.out.startswith("0 predictions and 0 events in ")
        assert "first failure: /v1/events/" in said.err
        assert " 401 " in said.err
        monkeypatch.setenv("SEAKEEP_KEY", secret)
        said = seakeep("replay-traffic", *asked)
    assert re.fullmatch(r"\d\d predictions and \d+ events in \d\.\d s; 0 failed\n", said.out)
    assert said.err == ""
