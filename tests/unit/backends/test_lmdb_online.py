import multiprocessing
import subprocess
import threading

import pytest
from tests.recording import start

from seakeep.backends.lmdb import online
from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.errors import PlatformError

SPAWN = multiprocessing.get_context("spawn")


def put(store, key, value):
    store.update(lambda transaction: transaction.put(key, value))


def get(store, key):
    with store.read() as snapshot:
        value = snapshot.get(key)
        return None if value is None else bytes(value)


def test_it_is_there_after_it_was_closed(tmp_path):
    store = LmdbOnlineStore(tmp_path)
    assert store.rebuilt is False
    put(store, b"a", b"1")
    store.close()
    store = LmdbOnlineStore(tmp_path)
    assert store.rebuilt is False
    assert get(store, b"a") == b"1"
    store.close()


def test_after_a_boot_of_the_host_it_starts_empty_and_says_so(tmp_path, monkeypatch):
    store = LmdbOnlineStore(tmp_path / "store")
    put(store, b"a", b"1")
    store.close()
    other_boot = tmp_path / "boot_id"
    other_boot.write_text("another-boot\n")
    monkeypatch.setattr(online, "_BOOT_ID", other_boot)
    store = LmdbOnlineStore(tmp_path / "store")
    assert store.rebuilt is True
    assert get(store, b"a") is None
    put(store, b"a", b"2")
    store.close()
    store = LmdbOnlineStore(tmp_path / "store")
    assert store.rebuilt is False
    assert get(store, b"a") == b"2"
    store.close()


def test_only_the_owner_can_read_it(tmp_path):
    LmdbOnlineStore(tmp_path / "store").close()
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "store").glob("*.mdb"))


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match="cannot open the online store"):
        LmdbOnlineStore(tmp_path / "file" / "store")


GROW = """
import sys, pathlib
from seakeep.backends.lmdb.online import LmdbOnlineStore
store = LmdbOnlineStore(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
for number in range(3_000):
    store.update(lambda transaction: transaction.put(b"k%d" % number, bytes(5_000)))
"""


def test_it_opens_while_another_process_fills_it(tmp_path):
    process = start(GROW, tmp_path, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    while process.poll() is None:
        LmdbOnlineStore(tmp_path).close()
    process.stdout.close()
    assert process.returncode == 0
    store = LmdbOnlineStore(tmp_path)
    assert get(store, b"k2999") == bytes(5_000)
    store.close()


def test_a_note_of_the_boot_that_is_damaged_is_another_boot(tmp_path):
    store = LmdbOnlineStore(tmp_path)
    put(store, b"a", b"1")
    store.close()
    (tmp_path / "boot").write_bytes(b"\xff\xfe")
    store = LmdbOnlineStore(tmp_path)
    assert store.rebuilt is True
    assert get(store, b"a") is None
    store.close()


def test_what_is_no_store_is_told(tmp_path):
    LmdbOnlineStore(tmp_path).close()
    (tmp_path / "data.mdb").write_bytes(b"not a store" * 1_000)
    with pytest.raises(PlatformError, match="cannot open the online store"):
        LmdbOnlineStore(tmp_path)


def count_up(path, times):
    store = LmdbOnlineStore(path)

    def change(transaction):
        value = transaction.get(b"n")
        transaction.put(b"n", str(int(bytes(value or b"0")) + 1).encode())
        transaction.put(b"pad" + bytes(value or b"0"), bytes(5_000))

    for _ in range(times):
        store.update(change)
    store.close()


@pytest.mark.slow
def test_several_processes_write_and_read(tmp_path):
    store = LmdbOnlineStore(tmp_path)
    workers = [SPAWN.Process(target=count_up, args=(tmp_path, 60)) for _ in range(2)]
    for worker in workers:
        worker.start()
    seen = [0]
    while any(worker.is_alive() for worker in workers):
        seen.append(int(get(store, b"n") or 0))
        threading.Event().wait(0.005)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert seen == sorted(seen)
    assert get(store, b"n") == b"120"
    store.close()


def test_threads_read_while_it_is_filled_far_beyond_what_they_began_with(tmp_path):
    """In a process of its own: what goes wrong here is a fault of memory, which ends the process."""
    process = start(THREADS, tmp_path, stdout=subprocess.PIPE)
    told, _ = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, b"whole\n")


THREADS = """
import pathlib, sys, threading, time
from seakeep.backends.lmdb.online import LmdbOnlineStore
sys.setswitchinterval(1e-5)
store = LmdbOnlineStore(pathlib.Path(sys.argv[1]))
names = [b"k%d" % number for number in range(300)]

def fill(transaction, round_):
    for name in names * 3:
        transaction.put(name, bytes([round_]) * 1_500)
        transaction.put(name + b"-%d" % round_, bytes(9_000))

store.update(lambda transaction: fill(transaction, 0))
filled, torn = threading.Event(), []

def read():
    while not filled.is_set():
        with store.read() as snapshot:
            found = {bytes(snapshot.get(name)) for name in names}
        if len(found) != 1:
            torn.append(found)

threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads:
    thread.start()
for round_ in range(1, 12):
    store.update(lambda transaction: fill(transaction, round_))
    time.sleep(0.02)
filled.set()
for thread in threads:
    thread.join()
print("torn" if torn else "whole")
"""


def test_a_store_takes_no_more_than_it_may_and_stays_as_it_was(tmp_path):
    store = LmdbOnlineStore(tmp_path, map_bytes=1 << 20)
    put(store, b"a", b"1")
    with pytest.raises(PlatformError, match="is full: it may take 1 MiB"):
        put(store, b"b", bytes(2 << 20))
    assert (get(store, b"a"), get(store, b"b")) == (b"1", None)
    put(store, b"b", b"2")
    assert get(store, b"b") == b"2"
    store.close()


def test_an_empty_store_takes_next_to_nothing_of_the_disk(tmp_path):
    store = LmdbOnlineStore(tmp_path)
    put(store, b"a", b"1")
    assert (tmp_path / "data.mdb").stat().st_size < 1 << 20
    store.close()
