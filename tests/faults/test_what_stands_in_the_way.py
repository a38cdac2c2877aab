"""Ports in use, a service that runs already, corrupted bundles and state: each is named, with what to do next."""

import os
import shutil
import socket
import sqlite3

import pytest
from tests.flights import MODEL, Server, change, children, opened, twin, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


@pytest.fixture(autouse=True)
def free_ports(monkeypatch):
    for name, value in {"SERVING__PORT": 0, "SERVING__WORKERS": 1, "DASHBOARD__PORT": 0}.items():
        monkeypatch.setenv(f"SEAKEEP_{name}", str(value))


def corrupt(project, reference, file="model.onnx"):
    """Change one byte of a version's bundle; the digest that names it."""
    digest = project.resolve(reference).bundle
    path = project.home.bundles / digest / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return digest


# Ports


@pytest.mark.parametrize("command", ["serve", "up"])
def test_the_servers_port_in_use_is_named(seakeep, flights_at, listener, monkeypatch, command):
    monkeypatch.setenv("SEAKEEP_SERVING__PORT", str(listener))
    done = seakeep(command, "--project", flights_at("promoted"), code=1)
    assert done.out == ""
    assert f"port {listener} of 127.0.0.1 is in use" in done.err
    assert "hint: " in done.err
    assert "code: platform" in done.err


def test_the_dashboards_port_in_use_is_named_and_no_worker_stays(seakeep, flights_at, listener, monkeypatch):
    monkeypatch.setenv("SEAKEEP_DASHBOARD__PORT", str(listener))
    before = children(os.getpid())
    done = seakeep("up", "--project", flights_at("promoted"), code=1)
    assert f"the dashboard cannot listen on 127.0.0.1:{listener}" in done.err
    assert "dashboard.port" in done.err
    assert children(os.getpid()) == before


def test_a_second_service_of_the_same_project_is_refused_and_the_first_goes_on(seakeep, flights_at, history):
    folder = flights_at("promoted")
    with Server(folder) as server:
        assert "is being served already" in seakeep("serve", "--project", folder, code=1).err
        assert len(server.predict(history.requests.rows[:3])) == 3


# Bundles


@pytest.mark.parametrize(
    "file", ["model.onnx", "definition.json", "run.json", "parity.json", "manifest.json", "manifest.sig"]
)
def test_one_changed_byte_of_a_bundle_is_named_before_it_is_used(seakeep, flights_at, file):
    with opened(flights_at("converted")) as project:
        digest = corrupt(project, f"{MODEL}:1", file)
        told = "signature" if file == "manifest.sig" else f"{file} of {digest[:12]} was changed"
        for command in ("gates", "promote"):
            said = seakeep(command, f"{MODEL}:1", "--project", project.folder, code=1).err
            assert told in said
            assert "code: integrity" in said
        assert project.history(MODEL) == []
        assert not project.home.online.exists()


@pytest.mark.parametrize("what", ["added", "removed"])
def test_a_file_too_many_or_too_few_is_named(seakeep, flights_at, what):
    with opened(flights_at("converted")) as project:
        folder = project.home.bundles / project.resolve(f"{MODEL}:1").bundle
        if what == "added":
            (folder / "extra.py").write_text("import os\n")
        else:
            (folder / "environment.txt").unlink()
        done = seakeep("model", "show", f"{MODEL}:1", "--project", project.folder, code=1)
        told = {"added": "extra.py does not belong to", "removed": "environment.txt is missing from"}
        assert f"{told[what]} {folder.name[:12]}" in done.err


def test_a_champion_that_was_changed_is_not_served(seakeep, flights_at):
    folder = flights_at("promoted")
    with opened(folder) as project:
        digest = corrupt(project, MODEL)
    done = seakeep("serve", "--project", folder, code=1)
    assert f"model.onnx of {digest[:12]} was changed" in done.err
    assert "serving on" not in done.err


def test_a_candidate_that_was_changed_never_answers_and_the_champion_goes_on(flights_at, history):
    folder = flights_at("promoted")
    with opened(folder) as project, Server(folder) as server:
        other = twin(project)
        project.promote(other.ref, actor="test", now=True)
        wait_for(lambda: server.predict(history.requests.rows[:1])[0]["version"] == 2)
        bad = twin(project, threshold=0.5)
        results = project.gates(bad.ref)
        corrupt(project, bad.ref)
        project.stores.promotion.promote(bad, results=results, canary=None, actor="test")

        def told():
            _, answer = server.get("/v2/health/ready")
            return answer if answer["failed"] else None

        answer = wait_for(told, process=server.process)
        assert answer["failed"] == [{"model": MODEL, "version": 3, "code": "integrity"}]
        versions = {one["version"] for one in server.predict(history.requests.rows[:200])}
        assert versions == {2}
        project.rollback(MODEL)
        wait_for(lambda: not server.get("/v2/health/ready")[1]["failed"])
        assert server.get("/v2/health/ready")[0] == 200


# State


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda home: (home / "state.db").write_bytes(b"no database" * 500), "file is not a database"),
        (
            lambda home: sqlite3.connect(home / "state.db").execute("pragma user_version = 99").connection.close(),
            "newer Seakeep",
        ),
        (lambda home: (home / "keys/signing.pub").chmod(0o644), "others may read"),
        (lambda home: (home / "keys/signing.key").write_bytes(b"short"), "holds no key"),
        (lambda home: (shutil.rmtree(home), home.write_text("a file")), "cannot make the folder"),
    ],
    ids=["no-database", "newer", "readable", "short-key", "file"],
)
def test_state_that_cannot_be_used_is_told_with_its_place(seakeep, flights_at, break_it, told):
    folder = flights_at("promoted")
    break_it(folder / ".seakeep")
    said = seakeep("history", "--project", folder, code=1).err
    assert told in said
    assert str(folder / ".seakeep") in said
    assert "hint: " in said


# Declarations


FAULTS = [
    ('mean("dep_delay"', 'mean("dep_dealy"', "there is no column 'dep_dealy'", "did you mean 'dep_delay'?"),
    (
        'distance=sk.col("distance")',
        'distance=sk.col("arr_delay")',
        "is known only then",
        "aggregate it over past events",
    ),
    ('entity="carrier"', 'entity="carier"', "no entity column 'carier'", "did you mean 'carrier'?"),
    ('gate.slices("carrier")', 'gate.slices("carriers")', "'carriers' is not a category", "did you mean 'carrier'?"),
    ('delay="2d"', 'delay="2 days"', "'2 days' is not a duration", "write a whole number and a unit"),
]


def test_check_tells_all_faults_of_the_flights_at_once_each_with_file_line_and_hint(seakeep, flights_at):
    folder = flights_at("example")
    change(folder, *((old, new) for old, new, _, _ in FAULTS))
    lines = (folder / "project.py").read_text().splitlines()
    told = seakeep("check", "--project", folder, code=1)
    assert told.out == ""
    # The entity is missing from both sources that should have it.
    assert told.err.endswith(f"found {len(FAULTS) + 1} faults\n")
    blocks = told.err.split("error: ")[1:]
    for _, new, message, hint in FAULTS:
        line = next(number for number, line in enumerate(lines, 1) if new in line)
        found = [one for one in blocks if f"{folder}/project.py:{line}\n" in one and message in one]
        assert found, message
        assert all(f"hint: {hint}" in one for one in found)
