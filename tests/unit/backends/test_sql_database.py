import sqlite3
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.recording import start
from tests.registering import NOW_US, fill, open_sqlite, page, release, run, version, written

from seakeep.backends.sql import Database, SqlAudit, SqlReleases, database
from seakeep.clock import FixedClock
from seakeep.errors import ConflictError, IntegrityError, PlatformError

CLOCK = FixedClock(NOW_US)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def state(tmp_path):
    state = open_sqlite(tmp_path)
    yield state
    state.close()


@pytest.fixture
def tamper(path):
    """Change the file behind the store's back, as somebody with the rights to it can."""

    def change(*statements):
        connection = sqlite3.connect(path, isolation_level=None)
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in names:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return change


def test_only_the_owner_can_read_the_state(state, path):
    fill(state)
    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {"state.db", "state.db-wal", "state.db-shm"}
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_what_was_committed_is_durable(path):
    opened = Database(path, clock=CLOCK)
    with opened.read() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    opened.close()


def test_a_state_is_opened_as_often_as_one_likes(path, state):
    fill(state)
    for _ in range(3):
        again = open_sqlite(path.parent)
        assert len(again.verified()) == 8
        again.close()


@pytest.mark.parametrize("table", ["runs", "versions", "gates", "releases", "receipts", "pages", "audit"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET rowid = rowid + 100"])
def test_what_was_written_cannot_be_changed(path, state, table, change):
    fill(state)
    opened = Database(path, clock=CLOCK)
    with pytest.raises(ConflictError, match=f"{table} only grow") as raised, opened.write() as connection:
        connection.execute(change.format(table))
    assert "never changed" in raised.value.hint
    opened.close()
    assert len(state.verified()) == 8


def test_a_transaction_that_raises_leaves_nothing(path, state):
    opened = Database(path, clock=CLOCK)

    def change():
        with opened.write() as connection:
            connection.execute("INSERT INTO audit VALUES (1, x'00')")
            raise KeyError("on purpose")

    with pytest.raises(KeyError, match="on purpose"):
        change()
    SqlReleases(opened).append(release(1), details={})
    assert state.verified() == ["promote"]
    opened.close()


def test_others_see_a_transaction_only_when_it_is_done(path, state):
    opened = Database(path, clock=CLOCK)
    with opened.write() as connection:
        connection.execute("INSERT INTO gates VALUES (1, 'late', 1, 5, '[]')")
        assert state.gates.get("late", 1) == ()
        assert connection.execute("SELECT count(*) FROM gates").fetchone() == (1,)
    assert state.gates.get("late", 1) == ()
    opened.close()


def test_a_full_disk_is_told_and_changes_nothing_and_work_goes_on_when_there_is_room(path):
    opened = Database(path, clock=CLOCK)
    releases = SqlReleases(opened)
    releases.append(release(1), details={})
    with opened.read() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        with pytest.raises(PlatformError, match="database or disk is full") as raised:
            releases.append(release(2, reason="x" * 100_000), details={})
        assert raised.value.hint == "make room on the disk and try again; nothing was changed"
    assert releases.history("late") == [release(1)]
    with opened.read() as connection:
        connection.execute("PRAGMA max_page_count = 100000")
    releases.append(release(2, reason="x" * 100_000), details={})
    assert len(releases.history("late")) == len(SqlAudit(opened).list()) == 2
    opened.close()


def test_a_state_that_somebody_holds_is_told(path, state, monkeypatch):
    monkeypatch.setattr(database, "BUSY_MS", 20)
    holder = sqlite3.connect(path, isolation_level=None)
    opened = Database(path, clock=CLOCK)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(PlatformError, match="database is locked") as raised:
        SqlReleases(opened).append(release(1), details={})
    assert "try again" in raised.value.hint
    assert SqlReleases(opened).history("late") == []
    holder.execute("ROLLBACK")
    SqlReleases(opened).append(release(1), details={})
    holder.close()
    opened.close()


def test_a_newer_state_is_left_alone(path, state):
    fill(state)
    state.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(PlatformError, match=r"made by a newer Seakeep \(schema 7, this one knows 3\)") as raised:
        open_sqlite(path.parent)
    assert raised.value.hint == "upgrade seakeep"
    assert path.read_bytes() == before


def test_a_state_of_the_first_schema_is_given_what_it_lacks_and_keeps_what_it_has(path, state, tamper):
    fill(state)
    state.close()
    tamper("DELETE FROM pages", "DROP TABLE pages", "DELETE FROM audit WHERE number > 5", "PRAGMA user_version = 1")
    with pytest.raises(IntegrityError, match="does not tell of 2 records"):  # those of the keys
        open_sqlite(path.parent).verified()
    state = open_sqlite(path.parent)
    assert state.runs.list()
    assert state.pages.pages("late") == []
    assert state.pages.add(page())
    with pytest.raises(ConflictError, match="pages only grow"), Database(path, clock=CLOCK).write() as connection:
        connection.execute("DELETE FROM pages")
    state.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one" * 10, bytes(5_000), b"SQLite"])
def test_a_file_that_is_no_database_is_told_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(PlatformError, match="file is not a database") as raised:
        open_sqlite(path.parent)
    assert "restore it from a backup" in raised.value.hint
    assert path.read_bytes() == content


def test_a_state_that_was_emptied_is_not_taken_for_a_new_one(path):
    path.write_bytes(b"")
    with pytest.raises(PlatformError, match="is no state of Seakeep") as raised:
        open_sqlite(path.parent)
    assert "restore it from a backup" in raised.value.hint


def test_the_database_of_another_program_is_told_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(PlatformError, match="is no state of Seakeep"):
        open_sqlite(path.parent)
    assert path.read_bytes() == before


def test_a_state_that_is_missing_is_not_made_anew_beside_its_last_changes(path, state):
    fill(state)
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(PlatformError, match="is missing, though changes of it are there"):
        open_sqlite(path.parent)
    assert not path.exists()
    path.write_bytes(content)
    again = open_sqlite(path.parent)
    assert len(again.verified()) == 8
    again.close()


def test_making_a_state_leaves_nothing_else(path, state):
    state.close()
    assert [file.name for file in path.parent.iterdir()] == ["state.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1


def test_a_place_of_any_name_will_do(tmp_path):
    folder = tmp_path / "dé pôt ?mode=ro#%20"
    folder.mkdir()
    state = open_sqlite(folder)
    fill(state)
    assert len(state.verified()) == 8
    assert (folder / "state.db").is_file()
    state.close()


def test_a_state_without_its_tables_is_told(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with pytest.raises(PlatformError, match="no such table"):
        open_sqlite(path.parent).audit.list()


@pytest.mark.parametrize("place", ["missing/state.db", "file/state.db", "folder"])
def test_a_place_where_no_file_can_be_is_told(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PlatformError, match=r"cannot be (made|used)"):
        Database(tmp_path / place, clock=CLOCK)


TAMPERING = {
    "a changed run": "UPDATE runs SET record = replace(record, '\"seed\":0', '\"seed\":1')",
    "a removed run": "DELETE FROM runs",
    "a changed version": "UPDATE versions SET record = replace(record, 'ada', 'eve')",
    "a removed version": "DELETE FROM versions",
    "changed gates": "UPDATE gates SET results = replace(results, 'true', 'false')",
    "a changed release": "UPDATE releases SET record = replace(record, '\"version\":1', '\"version\":9')",
    "a removed release": "DELETE FROM releases",
    "a release that was put beside the log": "INSERT INTO releases SELECT 9, model, 2, record FROM releases",
    "a changed receipt": "UPDATE receipts SET record = replace(record, '\"failed\":0', '\"failed\":1')",
    "a removed receipt": "DELETE FROM receipts",
    "a changed page": "UPDATE pages SET record = replace(record, 'back', 'on')",
    "a removed page": "DELETE FROM pages",
    "a key of another role": "UPDATE keys SET role = 'operator'",
    "a key of another name": "UPDATE keys SET name = 'eve'",
    "a key that was revived": "UPDATE keys SET revoked_us = 0",
    "a key that was put beside the log": "INSERT INTO keys VALUES ('d', 'eve', 'operator', 5, 0)",
    "a removed key": "DELETE FROM keys",
    "a log without its last entry": "DELETE FROM audit WHERE number = 8",
    "a log without its first entry": "DELETE FROM audit WHERE number = 1",
    "a log without an entry": "DELETE FROM audit WHERE number = 4",
    "a log without any entry": "DELETE FROM audit",
    "a changed entry": "UPDATE audit SET record = replace(record, 'ada', 'eve') WHERE number = 4",
    "entries that changed places": "UPDATE audit SET number = CASE number WHEN 2 THEN 103 ELSE 102 END WHERE number IN (2, 3)",
    "an entry that was copied": "INSERT INTO audit SELECT 9, record FROM audit WHERE number = 8",
    "an entry that is no entry": "UPDATE audit SET record = '{}' WHERE number = 3",
    "an entry that is nothing": "UPDATE audit SET record = '' WHERE number = 3",
    "an entry that is a number": "UPDATE audit SET record = 5 WHERE number = 3",
    "an entry that is no text": "UPDATE audit SET record = x'ff' WHERE number = 3",
}


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING)
def test_what_was_changed_behind_the_stores_back_is_found(state, tamper, statement):
    fill(state)
    tamper()
    assert len(state.verified()) == 8
    tamper(statement)
    with pytest.raises(IntegrityError):
        state.verified()


@pytest.mark.parametrize("record", ["x''", "x'ff'", "'{'", "'{}'", "'[]'", "5", '\'{"id": "\xe9\''])
def test_a_damaged_record_is_told_wherever_it_is_read(state, tamper, record):
    fill(state)
    tables = {"runs": "record", "versions": "record", "gates": "results", "releases": "record", "receipts": "record",
              "pages": "record"}  # fmt: skip
    tamper(*[f"UPDATE {table} SET {column} = {record}" for table, column in {**tables, "audit": "record"}.items()])
    reads = [
        lambda: state.runs.list(),
        lambda: state.runs.get(run().id),
        lambda: state.versions.list("late"),
        lambda: state.versions.get("late", 1),
        lambda: state.gates.get("late", 1) or state.audit.list(),
        lambda: state.releases.history("late"),
        lambda: state.releases.routes(),
        lambda: state.receipts.receipts("late"),
        lambda: state.pages.pages("late"),
        lambda: state.audit.list(),
        lambda: state.versions.add(version(5), actor="ada", now_us=NOW_US),
    ]
    for read in reads:
        with pytest.raises(IntegrityError, match="a record of the state was changed") as raised:
            read()
        assert "backup" in raised.value.hint


def test_a_damaged_key_is_told(state, tamper):
    fill(state)
    tamper("UPDATE keys SET role = 'admin'")
    with pytest.raises(IntegrityError, match="an API key of the state was changed"):
        state.keys.list()


def test_every_thread_has_its_own_connection(state):
    fill(state)
    seen = []

    def read():
        seen.append(written(state.runs.list()))
        state.close()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [written(state.runs.list())] * 4


def test_a_closed_state_opens_again_when_it_is_asked(state):
    fill(state)
    state.close()
    state.close()
    assert len(state.verified()) == 8


FORK = """
import os, pathlib, sys
from tests.registering import NOW_US, fill, key, open_sqlite
state = open_sqlite(pathlib.Path(sys.argv[1]))
fill(state)
if os.fork() == 0:
    state.keys.add(key("child"), actor="child")
    os._exit(len(state.verified()))
_, status = os.wait()
state.keys.add(key("parent"), actor="parent")
print(os.waitstatus_to_exitcode(status), len(state.verified()))
"""


def test_a_forked_child_and_its_parent_both_go_on(path):
    process = start(FORK, path.parent, stdout=subprocess.PIPE)
    assert process.communicate(timeout=60)[0].split() == [b"9", b"10"]
    state = open_sqlite(path.parent)
    assert len(state.verified()) == 10
    state.close()


@pytest.mark.parametrize(("older", "lacks"), [(1, ("pages", "erasures")), (2, ("erasures",))])
def test_a_state_of_an_older_schema_is_made_one_of_this_by_whoever_comes_first(path, state, older, lacks):
    fill(state)
    state.close()
    connection = sqlite3.connect(path)
    connection.executescript("".join(f"DROP TABLE {table};" for table in lacks) + f"PRAGMA user_version = {older}")
    connection.close()
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: Database(path, clock=CLOCK), range(8)))
    for table in ("pages", "erasures"):
        with states[0].read() as connection:
            columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
        with states[0].write() as connection:
            connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['1'] * len(columns))})")
        with pytest.raises(ConflictError, match=f"{table} only grow"), states[0].write() as connection:
            connection.execute(f"DELETE FROM {table}")
    with states[0].read() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert open_sqlite(path.parent).runs.list()
