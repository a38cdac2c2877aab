"""Kill -9 at any moment: the old state or the new one, whole, with a log that verifies, and work goes on."""

import shutil
import sqlite3
import subprocess
import time

import pytest
from tests.recording import start
from tests.registering import NOW_US, ONNX, fill, key, open_sqlite, proof, release, run, version  # noqa: F401 -- the scripts use all of them

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.backends.files.keys import load_or_create_signer, load_verifier
from seakeep.backends.files.sealed import SealedFolders
from seakeep.registry.bundle import Bundles


def steps(code, *arguments):
    """What a script printed that was killed at every step of a change; it must end by itself."""
    process = start(code, *arguments, stdout=subprocess.PIPE)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [line.split() for line in said.decode().splitlines()]


def bundles_in(folder):
    signer = load_or_create_signer(folder / "keys")
    return Bundles(SealedFolders(folder / "bundles", signer=signer, verifier=load_verifier(folder / "keys")))


IN_THE_STATE = """
import pathlib, sys
from tests.killing import at_every_step, in_sqlite
from tests.registering import *
folder, action, every = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def change(state):
    if action == "promote":
        state.promotion().promote(version(2), results=PASSED, canary=None, actor="ada")
    elif action == "rollback":
        state.promotion().rollback("late", reason="x")
    elif action == "train":
        state.runs.add(run("r-2"), actor="ada")
    elif action == "register":
        state.versions.add(version(bundle=digest("new")), actor="ada", now_us=NOW_US)
    elif action == "judge":
        state.gates.put("late", 1, FAILED, actor="ada", now_us=NOW_US)
    elif action == "create-key":
        state.keys.add(key("new"), actor="ada")
    elif action == "revoke-key":
        state.keys.revoke("old", actor="ada", now_us=NOW_US)
def count():
    state = open_sqlite(folder)
    found = len(state.verified())
    state.close()
    return found
before = count()
for step in at_every_step(lambda: change(open_sqlite(folder)), in_sqlite(every)):
    now = count()
    print("killed", now - before)
    before = now
print("through", count() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("action", ["promote", "rollback", "train", "register", "judge", "create-key", "revoke-key"])
def test_a_change_of_the_state_that_is_killed_has_happened_or_not(tmp_path, action):
    state = open_sqlite(tmp_path)
    fill(state)
    state.releases.append(
        release(2, action="promote") if action == "rollback" else release(2, release(1).routes[0]), details={}
    )
    state.keys.add(key("old"), actor="ada")
    before = state.verified()
    state.close()
    *killed, last = steps(IN_THE_STATE, tmp_path, action, 11)
    assert len(killed) > 10
    # The last step before it gets through may lie behind the moment it was committed.
    assert {changed for _, changed in killed[:-1]} <= {"0"}
    assert last[0] == "through"
    state = open_sqlite(tmp_path)
    assert state.verified() == [*before, action]
    state.close()


OF_A_NEW_STATE = """
import pathlib, sys
from tests.killing import at_every_step, before_system_call, in_sqlite
from tests.registering import *
folder = pathlib.Path(sys.argv[1])
arm = in_sqlite(25) if sys.argv[2] == "sqlite" else before_system_call
for step in at_every_step(lambda: open_sqlite(folder), arm):
    made = (folder / "state.db").exists()
    if made:
        state = open_sqlite(folder)
        assert state.verified() == []
        state.close()
        (folder / "state.db").unlink()
    print("killed", int(made))
print("through", int((folder / "state.db").exists()))
"""


@pytest.mark.parametrize("where", ["system", "sqlite"])
def test_a_state_that_was_being_made_is_whole_or_not_there(tmp_path, where):
    *killed, last = steps(OF_A_NEW_STATE, tmp_path, where)
    assert {made for _, made in killed} == {"0", "1"}
    assert last == ["through", "1"]
    state = open_sqlite(tmp_path)
    fill(state)
    assert len(state.verified()) == 8
    state.close()


OF_A_BUNDLE = """
import pathlib, sys
from tests.killing import at_every_step, before_system_call
from tests.faults.test_registry_kill import *
folder = pathlib.Path(sys.argv[1])
bundles = bundles_in(folder)
kept = bundles.put(run(), ONNX, proof(), created_us=1)
change = lambda: bundles.put(run("r-2"), ONNX, proof(), created_us=2)
for step in at_every_step(change, before_system_call):
    folders = [path for path in (folder / "bundles").iterdir() if not path.name.startswith(".")]
    for path in folders:
        assert bundles.open(path.name).model == ONNX
    assert kept in {path.name for path in folders}
    print("killed", len(folders))
print("through", change())
"""


def test_a_bundle_that_was_being_put_is_whole_or_not_there(tmp_path):
    *killed, (_, name) = steps(OF_A_BUNDLE, tmp_path)
    assert len(killed) >= 15
    assert killed[0] == ["killed", "1"]
    assert {"1", "2"} == {folders for _, folders in killed}
    assert sorted(killed) == killed
    assert bundles_in(tmp_path).open(name).run.id == "r-2"
    bundles_in(tmp_path).put(run("r-3"), ONNX, proof(), created_us=3)
    assert [path for path in (tmp_path / "bundles").iterdir() if path.name.startswith(".")] == []
    assert len(list((tmp_path / "bundles").iterdir())) == 3


OF_A_DATASET = """
import pathlib, sys
from tests.killing import at_every_step, before_system_call
from tests.faults.test_registry_kill import *
from seakeep.records.dataset import DatasetVersion
store = FileDatasetStore(pathlib.Path(sys.argv[1]))
def change():
    store.put_chunk(b"chunk" * 1000)
    store.put_manifest(DatasetVersion(id="a" * 64, as_of_us=1, sources=()))
for step in at_every_step(change, before_system_call):
    for path in (pathlib.Path(sys.argv[1]) / "chunks").glob("[0-9a-f]*"):
        assert store.get_chunk(path.stem).read_bytes() == b"chunk" * 1000
    for found in store.manifests():
        assert store.get_manifest(found).as_of_us == 1
    print("killed", len(store.manifests()))
change()
print("through", len(store.manifests()))
"""


def test_a_dataset_that_was_being_put_is_whole_or_not_there(tmp_path):
    *killed, last = steps(OF_A_DATASET, tmp_path)
    assert len(killed) >= 5
    assert {manifests for _, manifests in killed} == {"0", "1"}
    assert last == ["through", "1"]
    assert FileDatasetStore(tmp_path).get_manifest("a" * 64).as_of_us == 1


OF_THE_KEYS = """
import pathlib, sys
from tests.killing import at_every_step, before_system_call
from seakeep.backends.files.keys import *
folder = pathlib.Path(sys.argv[1])
def make():
    return load_or_create_signer(folder).public + load_or_create_pepper(folder)
def seen():
    return {name: (folder / name).read_bytes() for name in ("signing.key", "pepper") if (folder / name).exists()}
before = {}
for step in at_every_step(make, before_system_call):
    now = seen()
    assert all(len(key) == 32 for key in now.values())
    assert all(now[name] == key for name, key in before.items())
    before = now
    print("killed", len(now))
made = make()
assert made == make()
load_verifier(folder).verify(b"x", load_or_create_signer(folder).sign(b"x"))
print("through", len(seen()))
"""


def test_a_key_that_was_being_made_is_whole_or_not_there_and_never_changes(tmp_path):
    *killed, last = steps(OF_THE_KEYS, tmp_path / "keys")
    assert len(killed) >= 7
    assert {keys for _, keys in killed} == {"0", "1", "2"}
    assert last == ["through", "2"]


@pytest.mark.slow
def test_a_write_ahead_log_that_was_cut_anywhere_gives_a_state_that_was(tmp_path):
    """What a host that loses power may leave: the log's end is missing, from any byte on."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    state = open_sqlite(live)
    connection = sqlite3.connect(live / "state.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    fill(state)
    actions = state.verified()
    base, log = (live / "state.db").read_bytes(), (live / "state.db-wal").read_bytes()
    connection.close()
    state.close()
    page = 4_096 + 24
    cuts = sorted({0, 1, 31, 32, 33, *range(32, len(log), page), *range(32 + page // 2, len(log), page), len(log)})
    seen = []
    for cut in cuts:
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        (copy / "state.db").write_bytes(base)
        (copy / "state.db-wal").write_bytes(log[:cut])
        found = open_sqlite(copy)
        kept = found.verified()
        assert kept == actions[: len(kept)]
        seen.append(len(kept))
        found.close()
    assert seen == sorted(seen)
    assert set(seen) == set(range(9))


WORK = """
import pathlib, sys
from tests.faults.test_registry_kill import *
from tests.registering import PASSED, digest
folder, turn = pathlib.Path(sys.argv[1]), int(sys.argv[2])
state, bundles = open_sqlite(folder), bundles_in(folder)
promotion = state.promotion()
for number in range(10_000):
    name = f"r-{turn}-{number}"
    state.runs.add(run(name), actor="ada")
    print("train", flush=True)
    bundle = bundles.put(run(name), ONNX, proof(), created_us=NOW_US)
    new = state.versions.add(version(bundle=bundle, run=name), actor="ada", now_us=NOW_US)
    print("register", flush=True)
    state.gates.put("late", new.number, PASSED, actor="ada", now_us=NOW_US)
    print("judge", flush=True)
    promotion.promote(new, results=PASSED, canary=None, actor="ada")
    print("promote", flush=True)
    if number % 3 == 2:
        promotion.rollback("late", reason="x")
        print("rollback", flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_there_and_at_most_one_change_more(tmp_path):
    acknowledged: list[str] = []
    for turn, count in enumerate((1, 2, 3, 4, 6, 9, 14, 25)):
        process = start(WORK, tmp_path, turn, stdout=subprocess.PIPE)
        acknowledged += [process.stdout.readline().decode().strip() for _ in range(count)]
        time.sleep(0.0004 * turn)
        process.kill()
        acknowledged += process.stdout.read().decode().split("\n")[:-1]
        process.wait()
        process.stdout.close()

        state, bundles = open_sqlite(tmp_path), bundles_in(tmp_path)
        actions = state.verified()
        assert actions[: len(acknowledged)] == acknowledged
        assert len(actions) <= len(acknowledged) + 1
        acknowledged = actions
        for one in state.versions.list("late"):
            assert bundles.open(one.bundle).run.id == one.run
        history = state.releases.history("late")
        assert [one.revision for one in history] == list(range(1, len(history) + 1))
        # Nothing answers that was not registered and judged before.
        for route in state.releases.routes():
            assert state.versions.get("late", route.version).bundle == route.bundle
            assert state.gates.get("late", route.version)
        state.close()
    assert {"train", "register", "judge", "promote", "rollback"} == set(acknowledged)
