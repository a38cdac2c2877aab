"""Processes that change the same thing at once: one wins, the other is told, and the log tells it once."""

import subprocess

import pytest
from tests.recording import start
from tests.registering import PASSED, open_sqlite, route, version

from seakeep.backends.files.keys import load_verifier
from seakeep.records.model import Canary
from seakeep.security.audit import verify

CONTENDER = """
import pathlib, sys
from tests.registering import PASSED, open_sqlite, version
from seakeep.clock import SystemClock
from seakeep.errors import SeakeepError
from seakeep.records.model import Canary
from seakeep.security.keys import ApiKeys
folder, mine = pathlib.Path(sys.argv[1]), int(sys.argv[2])
state = open_sqlite(folder, SystemClock())
promotion, canary = state.promotion(SystemClock()), Canary([0.1, 1.0])
keys = ApiKeys(state.keys, b"p" * 32, clock=SystemClock())
changes = {
    "promote": lambda model: promotion.promote(
        version(mine, model=model), results=PASSED, canary=canary, actor=f"racer {mine}"
    ),
    "advance": lambda model: promotion.advance(model, 0.5, revision=2, reason="x", actor=f"racer {mine}"),
    "complete": lambda model: promotion.advance(model, 1.0, revision=3, reason="x", actor=f"racer {mine}"),
    "rollback": lambda model: promotion.rollback(model, revision=4, reason="x", actor=f"racer {mine}"),
    "key": lambda model: keys.create(model, "client", actor=f"racer {mine}"),
}
print("ready", flush=True)
for line in sys.stdin:
    action, model = line.split()
    try:
        changes[action](model)
        print("won", flush=True)
    except SeakeepError as error:
        print(type(error).__name__, error.message.replace("\\n", " "), flush=True)
"""


@pytest.fixture
def contenders(tmp_path):
    """Processes 2 and 3; asks both at once and returns what became of it."""
    processes = [start(CONTENDER, tmp_path, mine, stdout=subprocess.PIPE, stdin=subprocess.PIPE) for mine in (2, 3)]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"

    def ask(action, model):
        for process in processes:
            process.stdin.write(f"{action} {model}\n".encode())
            process.stdin.flush()
        return [process.stdout.readline().decode().strip() for process in processes]

    yield ask
    for process in processes:
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        process.stdout.close()


@pytest.mark.slow
def test_one_of_two_processes_wins_each_change_and_the_log_tells_it_once(tmp_path, contenders):
    state = open_sqlite(tmp_path)
    promotion = state.promotion()
    told = set()
    for turn in range(25):
        model = f"m{turn}"
        promotion.promote(version(1, model=model), results=PASSED, canary=Canary(), actor="ada")
        for action in ("promote", "advance", "complete", "rollback", "key"):
            outcomes = contenders(action, model)
            assert sorted(one == "won" for one in outcomes) == [False, True], outcomes
            (lost,) = [one for one in outcomes if one != "won"]
            assert lost.startswith("ConflictError "), lost
            told.add((action, lost.split(maxsplit=1)[1].replace(model, "M")))
        history = promotion.history(model)
        assert [one.action for one in history] == ["promote", "promote", "advance", "advance", "rollback"]
        assert history[-1].routes == (route(1, model=model),)
    assert {action for action, _ in told} == {"promote", "advance", "complete", "rollback", "key"}
    actions = state.verified()
    assert len(actions) == 25 * 6
    assert {action: actions.count(action) for action in set(actions)} == {
        "promote": 50,
        "advance": 50,
        "rollback": 25,
        "create-key": 25,
    }
    entries = state.audit.list()
    for turn in range(25):
        winners = {one.revision: one.actor for one in promotion.history(f"m{turn}")}
        logged = {
            int(e.details["revision"]): e.actor for e in entries if e.subject == f"m{turn}" and "revision" in e.details
        }
        assert logged == winners
    state.close()


OPEN = """
import pathlib, sys
from seakeep.clock import SystemClock
from seakeep.config import Home
from seakeep.project.stores import open_stores
print("ready", flush=True)
for line in sys.stdin:
    home = pathlib.Path(line.strip())
    stores = open_stores(Home(home), SystemClock())
    digest = stores.artefacts.put({"a": b"same"}, model="m", run="r", created_us=1)
    assert stores.artefacts.read(digest) == {"a": b"same"}
    stores.datasets.put_chunk(b"same")
    print(digest, (home / "keys" / "signing.pub").read_bytes().hex(), flush=True)
"""


@pytest.mark.slow
def test_processes_that_make_a_home_at_once_make_one_home(tmp_path):
    processes = [start(OPEN, stdout=subprocess.PIPE, stdin=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    for turn in range(12):
        home = tmp_path / f"home{turn}"
        for process in processes:
            process.stdin.write(f"{home}\n".encode())
            process.stdin.flush()
        seen = {process.stdout.readline() for process in processes}
        assert len(seen) == 1
        assert seen != {b""}
        load_verifier(home / "keys")
        state = open_sqlite(home)
        assert verify(state.audit.list()) == 0
        state.close()
        assert len(list((home / "artefacts").iterdir())) == 1
        assert {path.name for path in (home / "keys").iterdir()} == {
            "signing.key",
            "signing.pub",
            "pepper",
            "tokens.key",
        }
    for process in processes:
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        process.stdout.close()
