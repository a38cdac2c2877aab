import contextlib
import sys
import threading

import pytest

from seakeep.errors import FeaturesError
from seakeep.features.remember import RememberingStore


class Store:
    def __init__(self, **values):
        self.values, self.closed = {key.encode(): value for key, value in values.items()}, False
        self.version = 1

    @contextlib.contextmanager
    def read(self):
        yield self

    def get(self, key):
        return self.values.get(key)

    def id(self):
        return self.version

    def update(self, change):
        return change(self.values)

    def scrub(self, texts):
        return len(texts)

    def close(self):
        self.closed = True


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def make(clock):
    def made(store, **more):
        return RememberingStore(store, now_s=lambda: clock[0], **more)

    return made


def read(store, *keys):
    with store.read() as snapshot:
        return [snapshot.get(key) for key in keys]


def test_what_was_read_is_remembered_also_that_there_was_nothing(make):
    inner = Store(a=memoryview(b"1"))
    store = make(inner)
    assert read(store, b"a", b"b") == [b"1", None]
    inner.values.clear()
    recalled = store.recall(1.0)
    assert (recalled.get(b"a"), recalled.get(b"b")) == (b"1", None)
    assert isinstance(recalled.get(b"a"), bytes)


def test_what_was_not_read_or_too_long_ago_is_not_made_up(make, clock):
    store = make(Store(a=b"1"))
    read(store, b"a")
    clock[0] += 5
    assert store.recall(5.0).get(b"a") == b"1"
    for recalled, key in ((store.recall(4.9), b"a"), (store.recall(5.0), b"b")):
        with pytest.raises(FeaturesError):
            recalled.get(key)
    read(store, b"a")
    assert store.recall(0.0).get(b"a") == b"1"


def test_what_was_read_longest_ago_is_forgotten_first(make):
    store = make(Store(a=b"x" * 100, b=b"x" * 100, c=b"x" * 100), most_bytes=700)
    read(store, b"a", b"b", b"a", b"c")
    recalled = store.recall(1.0)
    assert (recalled.get(b"a"), recalled.get(b"c")) == (b"x" * 100, b"x" * 100)
    with pytest.raises(FeaturesError):
        recalled.get(b"b")
    assert store._bytes == sum(len(key) + len(one.value) + 200 for key, one in store._known.items())


def test_everything_else_is_the_store_s(make):
    inner = Store()
    store = make(inner)
    assert store.update(lambda values: values.setdefault(b"k", b"v")) == b"v"
    read(store, b"k")
    assert store.scrub([b"k"]) == 1
    with pytest.raises(FeaturesError):
        store.recall(60.0).get(b"k")
    store.close()
    assert inner.closed


def test_what_was_read_long_ago_is_as_good_as_new_while_the_store_is_seen_not_to_change(make, clock):
    inner = Store(a=b"1")
    store = make(inner)
    read(store, b"a")
    clock[0] += 50
    read(store)
    clock[0] += 5
    assert store.recall(10.0).get(b"a") == b"1"
    inner.version += 1
    read(store)
    with pytest.raises(FeaturesError):
        store.recall(10.0).get(b"a")


def test_what_is_recalled_passes_for_no_version_of_the_store_nor_for_another_time(make):
    store = make(Store(a=b"1"))
    read(store, b"a")
    numbers = {store.recall(1.0).id() for _ in range(3)}
    assert len(numbers) == 3
    assert max(numbers) < -1  # where a lookup begins


def test_what_an_older_view_shows_passes_neither_for_newer_nor_undoes_it(make, clock):
    inner = Store(a=b"old", b=b"old")
    store = make(inner)
    with store.read() as older:
        frozen = dict(inner.values)
        clock[0] += 1
        inner.version, inner.values = 2, {b"a": b"new", b"b": b"new"}
        assert read(store, b"a") == [b"new"]
        inner.values = frozen
        assert (older.get(b"a"), older.get(b"b")) == (b"old", b"old")
        assert older.id() == 1
    assert store.recall(60.0).get(b"a") == b"new"
    assert store.recall(60.0).get(b"b") == b"old"
    with pytest.raises(FeaturesError):
        store.recall(0.5).get(b"b")  # it is not known of version 2


def test_threads_that_read_while_much_is_forgotten_disturb_nobody_and_no_byte_is_lost_count_of(make):
    keys = [b"%d" % number for number in range(200)]
    store, faults = make(Store(**{key.decode(): b"x" * 100 for key in keys}), most_bytes=20_000), []

    def go_on(step):
        try:
            for turn in range(20):
                read(store, *keys[turn::step])
        except Exception as error:  # noqa: BLE001 -- whatever it is
            faults.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=go_on, args=(step,)) for step in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert faults == []
    held = sum(len(key) + len(one.value) + 200 for key, one in store._known.items())
    assert 0 < store._bytes == held <= 20_000
