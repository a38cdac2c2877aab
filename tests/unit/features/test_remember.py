import contextlib

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
