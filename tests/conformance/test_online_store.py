"""Every online store keeps the promises of the port."""

import subprocess

import pytest
from tests.recording import start

from seakeep.backends.lmdb.online import LmdbOnlineStore

STORES = {"lmdb": lambda folder: LmdbOnlineStore(folder / "online")}


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    store = STORES[request.param](tmp_path)
    yield store
    store.close()


def get(store, key):
    with store.read() as snapshot:
        value = snapshot.get(key)
        return None if value is None else bytes(value)


def put(store, **values):
    def change(transaction):
        for key, value in values.items():
            transaction.put(key.encode(), value)

    store.update(change)


def test_what_was_put_is_there(store):
    put(store, a=b"1", b=b"")
    assert get(store, b"a") == b"1"
    assert get(store, b"b") == b""
    assert get(store, b"c") is None


def test_a_change_returns_its_result_and_sees_itself(store):
    def change(transaction):
        transaction.put(b"a", b"1")
        transaction.put(b"a", b"2")
        transaction.put(b"gone", b"3")
        transaction.delete(b"gone")
        transaction.delete(b"never")
        return bytes(transaction.get(b"a")), transaction.get(b"gone")

    assert store.update(change) == (b"2", None)
    assert get(store, b"gone") is None


def test_nothing_remains_of_a_change_that_raises(store):
    put(store, a=b"1")

    def change(transaction):
        transaction.put(b"a", b"2")
        transaction.put(b"b", b"2")
        raise KeyError("on purpose")

    with pytest.raises(KeyError, match="on purpose"):
        store.update(change)
    assert (get(store, b"a"), get(store, b"b")) == (b"1", None)
    put(store, a=b"3")
    assert get(store, b"a") == b"3"


def test_a_snapshot_does_not_move(store):
    put(store, a=b"1")
    with store.read() as snapshot:
        put(store, a=b"2")
        assert bytes(snapshot.get(b"a")) == b"1"
    assert get(store, b"a") == b"2"


def test_a_scan_gives_the_keys_of_a_prefix_in_order(store):
    put(store, ab=b"2", aa=b"1", b=b"3", a=b"0", c=b"4")

    def scan(prefix):
        return store.update(lambda transaction: list(transaction.scan(prefix)))

    assert scan(b"a") == [(b"a", b"0"), (b"aa", b"1"), (b"ab", b"2")]
    assert scan(b"c") == [(b"c", b"4")]
    assert scan(b"x") == []
    assert len(scan(b"")) == 5


def test_it_grows(store):
    big = bytes(300_000)
    for number in range(40):
        put(store, **{f"k{number}": big})
    assert all(get(store, f"k{number}".encode()) == big for number in range(40))


def test_what_was_deleted_is_nowhere_once_it_is_scrubbed(store, tmp_path):
    names = [f"person-{number:04d}-of-interest" for number in range(2_000)]
    put(store, **{name: name.encode() * (1 + number % 9) for number, name in enumerate(names)})
    put(store, **{name: b"changed " + name.encode() for name in names[::3]})
    gone, kept = names[::7], [name for name in names if name not in set(names[::7])]

    def delete(transaction):
        for name in gone:
            transaction.delete(name.encode())

    store.update(delete)
    texts = [name.encode() for name in gone]
    assert store.scrub(texts) == 0
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(text in held for text in texts)
    assert all(name.encode() in held for name in kept)
    assert get(store, kept[5].encode()) is not None
    assert get(store, gone[5].encode()) is None
    assert store.scrub([kept[0].encode()]) > 0, "what is still there is told"


def test_others_read_and_write_while_it_is_scrubbed(tmp_path):
    first = STORES["lmdb"](tmp_path)
    put(first, a=b"1", secret=b"secret-content")
    code = (
        "import sys, pathlib\n"
        "from seakeep.backends.lmdb.online import LmdbOnlineStore\n"
        "store = LmdbOnlineStore(pathlib.Path(sys.argv[1]) / 'online')\n"
        "with store.read() as snapshot:\n"
        "    value = bytes(snapshot.get(b'a'))\n"
        "print(value.decode(), flush=True)\n"
        "sys.stdin.readline()\n"
        "with store.read() as snapshot:\n"
        "    assert bytes(snapshot.get(b'a')) == b'1'\n"
        "    assert snapshot.get(b'secret') is None\n"
        "store.update(lambda transaction: transaction.put(b'b', b'2'))\n"
    )
    other = start(code, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"1\n"
    first.update(lambda transaction: transaction.delete(b"secret"))
    assert first.scrub([b"secret-content"]) == 0
    other.communicate(b"go\n")
    assert other.returncode == 0
    assert get(first, b"b") == b"2"
    first.close()
