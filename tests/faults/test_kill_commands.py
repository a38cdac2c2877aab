"""kill -9 in the middle of a command: nothing is half done, no process is left, and the same command then succeeds."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess

import pytest
from tests.flights import (
    AS_OF,
    MODEL,
    REPLAY_TO_US,
    VALIDATE_FROM,
    Server,
    change,
    children,
    command,
    environment,
    lives,
    opened,
    twin,
    wait_for,
)

from seakeep.recorder import query

pytestmark = pytest.mark.slow

TRAIN = ("train", "--as-of", AS_OF, "--validate-from", VALIDATE_FROM)
REPLAY = ("replay-traffic", "--from", "2013-03-01", "--to", "2013-03-03")


@pytest.fixture
def killed(tmp_path):
    """``killed(folder, *arguments, at=moment)`` runs a command and kills it once ``moment()`` is true."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def kill(folder, *arguments, at, **settings):
        process = subprocess.Popen(
            command(*arguments),
            cwd=folder,
            env=environment(TMPDIR=scratch, **settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kill.process = process
        wait_for(at, process=process)
        started = children(process.pid)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        wait_for(lambda: not any(map(lives, started)))
        return started

    kill.scratch = scratch
    return kill


def ask(folder, table):
    """How many rows a table of the project's state has, asked from outside; 0 before there is one."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{folder}/.seakeep/state.db?mode=ro", uri=True)) as connection:
            return connection.execute(f"select count(*) from {table}").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def assert_sound(folder):
    """The audit chain verifies, and every run and version has its whole, verified files."""
    with opened(folder) as project:
        assert project.verify_audit() == ask(folder, "audit")
        for made in project.stores.runs.list():
            assert set(project.stores.artefacts.read(made.sealed)) == {"estimator", "validation"}
        for version in project.stores.versions.list(MODEL):
            assert project.bundle(version).run.id == version.run
        for store in (project.home.artefacts, project.home.bundles):
            if store.is_dir():
                assert not [path.name for path in store.iterdir() if path.name.startswith(".")]


def test_train(seakeep, flights_at, killed):
    folder = flights_at("example")
    killed(folder, *TRAIN, at=lambda: any(folder.glob(".seakeep/data/chunks/*.parquet")))
    assert ask(folder, "runs") == 0
    learners = killed(folder, *TRAIN, at=lambda: children(killed.process.pid))
    # The learner was ended with its parent: it did not go on to the end on its own.
    assert len(learners) == 1
    assert not [*killed.scratch.glob("seakeep-train-*/run.json")]
    assert ask(folder, "runs") == ask(folder, "audit") == 0
    made = json.loads(seakeep(*TRAIN, "--project", folder, "--json").out)
    assert ask(folder, "runs") == 1
    with opened(folder) as project:
        assert project.stores.datasets.manifests() == [made["dataset"]]
    assert_sound(folder)


def test_convert(flights_at, killed):
    folder = flights_at("trained")
    converters = killed(folder, "convert", at=lambda: children(killed.process.pid))
    assert len(converters) == 1
    assert not [*killed.scratch.glob("seakeep-convert-*/parity.json")]
    assert ask(folder, "versions") == 0
    with opened(folder) as project:
        version, proof = project.convert()
        assert (version.number, proof.passed) == (1, True)
    assert ask(folder, "versions") == 1
    assert_sound(folder)


@pytest.mark.parametrize("moment", ["judged", "filling"])
def test_promote(flights_at, killed, moment):
    folder = flights_at("converted")
    moments = {"judged": lambda: ask(folder, "gates"), "filling": (folder / ".seakeep/online/data.mdb").exists}
    killed(folder, "promote", f"{MODEL}:1", at=moments[moment])
    released = ask(folder, "releases")
    assert_sound(folder)
    with opened(folder) as project:
        if not released:
            assert project.history(MODEL) == []
            project.promote(f"{MODEL}:1", actor="test")
        (release,) = project.history(MODEL)
        assert release.champion.version == 1
        assert project._online.fill([project.bundle(project.resolve(MODEL))]) == []
    assert ask(folder, "audit where json_extract(record, '$.action') = 'promote'") == 1


def test_replay_traffic(seakeep, flights_at, killed, monkeypatch):
    folder = flights_at("promoted")
    predictions, events = (folder / ".seakeep/recorder" / one for one in ("predictions", "events"))

    def answered():
        return len(query.load(predictions, query.Query(model=MODEL), damage=[]))

    with Server(folder) as server:
        killed(folder, *REPLAY, at=lambda: answered() > 300, SEAKEEP_SERVING__PORT=server.port)
        before = answered()
        monkeypatch.setenv("SEAKEEP_SERVING__PORT", str(server.port))
        totals = json.loads(seakeep(*REPLAY, "--project", folder, "--json").out)
        assert server.stop() == 0
    assert (totals["failed"], totals["events_failed"]) == (0, 0)
    table = query.load(predictions, query.Query(model=MODEL))
    assert before < totals["answered"] < len(table)
    assert len(set(table.key.tolist())) == totals["answered"]
    kept = [query.load_events(events, name) for name in ("arrivals", "departures", "weather")]
    assert sum(len(next(iter(columns.values()))) for columns in kept) == totals["events"]
    with opened(folder) as project:
        second = project.parity()
    assert second.unmatched == 0
    # Events of the first try count once in the second: every feature of the flights asked again is that of history.
    assert second.passed


def test_profile(seakeep, flights_at, killed):
    folder = flights_at("recorded")
    home = folder / ".seakeep"
    before = sorted((home / "recorder").rglob("*"))
    profile = ("profile", MODEL, "--rate", "50", "--seconds", "0.5")
    workers = killed(folder, *profile, at=lambda: any(home.glob("profile-*/predictions/*")))
    assert len(workers) == 1
    (left,) = home.glob("profile-*")
    assert json.loads(seakeep(*profile, "--project", folder, "--json").out)["levels"][0]["failed"] == 0
    assert not left.exists()
    assert not [*home.glob("profile-*")]
    assert sorted((home / "recorder").rglob("*")) == before
    assert_sound(folder)


def test_up_in_the_middle_of_a_rollout(flights_at, history):
    """The service is killed while a candidate answers a part: the next one leads the rollout on to its receipt."""
    folder = flights_at("promoted")
    change(folder, ("sk.Canary([0.01, 0.1, 0.5, 1.0])", "sk.Canary([0.1, 0.5, 1.0])"))
    rows = history.requests.rows[:250]
    with opened(folder) as project:
        with Server(folder, ("up",), workers=2) as server:
            ports = (server.port, int(server.said.split("dashboard on http://127.0.0.1:")[1].split("/")[0]))
            project.promote(twin(project).ref, actor="test")

            def led_on():
                server.predict(rows)
                return len(project.history(MODEL)) >= 3

            wait_for(led_on, process=server.process)
            workers = server.workers
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait(60)
            wait_for(lambda: not any(map(lives, workers)))
        assert len(workers) == 2
        assert project.stores.receipts.receipts(MODEL) == []
        with Server(folder, ("up",), workers=2, port=ports[0]) as server:
            assert server.port == ports[0]

            def ended():
                server.predict(rows)
                return project.stores.receipts.receipts(MODEL)

            (receipt,) = wait_for(ended, process=server.process)
            assert server.stop() == 0
        assert (receipt.outcome, receipt.failed, receipt.candidate) == ("completed", 0, 2)
        assert project.resolve(MODEL).number == 2
        table = query.load(project.home.predictions, query.Query(model=MODEL, roles=("champion", "canary")))
        assert len(set(table.id.tolist())) == len(table)
        assert table.time_us.max() < REPLAY_TO_US
    assert_sound(folder)
