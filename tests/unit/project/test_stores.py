import stat
import subprocess
import sys

import pytest
from tests.flights import environment

from seakeep.clock import FixedClock
from seakeep.config import Home
from seakeep.errors import IntegrityError, PlatformError
from seakeep.project.stores import open_stores

CLOCK = FixedClock(1_700_000_000_000_000)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "deep" / "home")


def test_all_state_is_in_one_folder_that_its_owner_alone_can_read(home):
    open_stores(home, CLOCK)
    assert {path.name for path in home.root.iterdir()} <= {
        "state.db", "state.db-wal", "state.db-shm", "data", "keys",
    }  # fmt: skip
    for path in (home.root, *(path for path in home.root.rglob("*") if path.is_file())):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_what_one_opening_kept_another_finds(home):
    first = open_stores(home, CLOCK)
    digest = first.artefacts.put({"a": b"1"}, model="m", run="r", created_us=1)
    secret = first.keys.create("ann", "client", actor="ben")
    again = open_stores(home, CLOCK)
    assert again.artefacts.read(digest) == {"a": b"1"}
    assert [key.name for key in again.keys.list()] == ["ann"]
    assert [(entry.actor, entry.action, entry.time_us) for entry in again.audit.list()] == [
        ("ben", "create-key", CLOCK.now_us())
    ]
    assert secret not in (home.database.read_bytes() + b"").decode("latin-1")


def test_processes_that_open_a_new_home_at_once_agree_on_its_keys(home):
    code = (
        "import sys; from pathlib import Path; from seakeep.clock import SystemClock; from seakeep.config import Home\n"
        "from seakeep.project.stores import open_stores\n"
        "sys.stdin.read(); home = Home(Path(sys.argv[1])); stores = open_stores(home, SystemClock())\n"
        "print(stores.artefacts.put({'a': b'1'}, model='m', run='r', created_us=1), (home.keys / 'pepper').read_bytes().hex())"
    )
    command = [sys.executable, "-c", code, str(home.root)]
    openers = [
        subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for opener in openers:
        opener.stdin.close()
    said = set()
    for opener in openers:
        with opener, opener.stdout:
            said.add(opener.stdout.read())
    assert [opener.returncode for opener in openers] == [0] * 4
    assert len(said) == 1
    digest = next(iter(said)).split()[0]
    assert open_stores(home, CLOCK).artefacts.read(digest) == {"a": b"1"}


def test_a_sealed_folder_of_another_key_is_refused(home, tmp_path):
    digest = open_stores(home, CLOCK).artefacts.put({"a": b"1"}, model="m", run="r", created_us=1)
    other = Home(tmp_path / "other")
    theirs = open_stores(other, CLOCK)
    other.artefacts.mkdir()
    (home.artefacts / digest).rename(other.artefacts / digest)
    with pytest.raises(IntegrityError, match="signature"):
        theirs.artefacts.read(digest)


def test_a_damaged_database_is_told_with_its_path(home):
    home.database.write_bytes(b"not a database at all" * 100)
    with pytest.raises(PlatformError, match=r"state\.db cannot be used: file is not a database") as caught:
        open_stores(home, CLOCK)
    assert "backup" in caught.value.hint
