"""The entry of a serving worker, as a process."""

import http.client
import json
import socket
import subprocess
import sys

import pytest
from tests.flights import MODEL, environment, wait_for

from seakeep.clock import id_number
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


def predict(port, headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    flight = {"flight_id": "mine", "carrier": "UA", "origin": "EWR", "dest": "SFO", "distance": 2565}
    rows = json.dumps({"rows": [flight | {"scheduled": "2013-03-01T00:00:00Z"}]})
    connection.request(
        "POST", f"/v1/models/{MODEL}/predict", rows, {"content-type": "application/json", **dict(headers)}
    )
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["predictions"][0]["id"]


def test_a_prediction_leads_to_its_trace_at_the_collector(flights_at):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from tests.collecting import Collector

    folder, port, collector = flights_at("promoted"), free_port(), Collector()
    wanted = {"SEAKEEP_OBSERVE__TRACES": collector.endpoint, "SEAKEEP_OBSERVE__TRACE_SHARE": 1}
    with start(folder, 0, port, **wanted) as worker:
        wait_for(lambda: get(port, "/v2/health/ready")[0] == 200, process=worker)
        own = predict(port)
        given = predict(port, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
        worker.stdin.close()
        assert worker.wait(60) == 0
        assert worker.stderr.read() == ""
    collector.close()
    roots = {span.trace_id.hex(): span for span in collector.spans if span.kind == span.SPAN_KIND_SERVER}
    assert set(roots) == {f"{id_number(own):032x}", "a" * 32}
    (named,) = [one.value for one in roots["a" * 32].attributes if one.key == "seakeep.prediction_ids"]
    assert [one.string_value for one in named.array_value.values] == [given]
    assert len(collector.spans) == 2 * 8


def test_a_log_of_json_lines_leads_from_a_request_to_its_prediction_and_quotes_nothing(flights_at):
    port = free_port()
    wanted = {"SEAKEEP_OBSERVE__LOGS": "json", "SEAKEEP_OBSERVE__ACCESS_SHARE": 1}
    with start(flights_at("promoted"), 4, port, **wanted) as worker:
        wait_for(lambda: get(port, "/v2/health/ready")[0] == 200, process=worker)
        prediction = predict(port)
        assert get(port, "/v1/models/4111-1111")[0] == 404
        worker.stdin.close()
        assert worker.wait(60) == 0
        said = worker.stderr.read()
    answered, refused = map(json.loads, said.splitlines())
    assert (answered["worker"], answered["model"], answered["version"]) == (4, MODEL, "1")
    assert (answered["prediction_id"], answered["rows"], answered["status"]) == (prediction, 1, 200)
    assert (refused["message"], refused["code"], refused["status"]) == ("refused", "not-found", 404)
    assert "4111" not in said
    assert "EWR" not in said


def test_traces_without_the_extra_are_told_with_what_to_install(flights_at, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "seakeep.backends.otlp.traces", None)
    monkeypatch.setenv("SEAKEEP_OBSERVE__TRACES", "http://127.0.0.1:9/v1/traces")
    assert main([str(flights_at("promoted")), "0", "0"]) == 1
    assert "pip install 'seakeep[otel]'" in capsys.readouterr().err


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
