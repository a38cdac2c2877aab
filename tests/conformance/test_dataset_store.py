"""Every dataset store keeps the promises of the port."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.errors import IntegrityError, NotFoundError
from seakeep.records.dataset import Chunk, DatasetVersion, SourceSnapshot
from seakeep.records.source import ColumnSchema

STORES = {"files": lambda folder: FileDatasetStore(folder / "data")}


@pytest.fixture(params=STORES)
def reopen(request, tmp_path):
    return lambda: STORES[request.param](tmp_path)


@pytest.fixture
def store(reopen):
    return reopen()


def manifest(digit="a", as_of_us=5):
    chunk = Chunk(sha256="0" * 64, content="1" * 64, rows=1, from_us=1, to_us=2)
    schema = (ColumnSchema(name="départ", kind="float"),)
    return DatasetVersion(
        id=digit * 64, as_of_us=as_of_us, sources=(SourceSnapshot(name="e", schema=schema, chunks=(chunk, chunk)),)
    )


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 5_000])
def test_a_chunk_is_read_as_it_was_put_under_its_digest(store, reopen, content):
    sha256 = store.put_chunk(content)
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert store.put_chunk(content) == sha256
    assert reopen().get_chunk(sha256).read_bytes() == content


def test_a_chunk_that_is_not_there_is_a_fault_of_the_store(store):
    with pytest.raises(IntegrityError, match="is missing"):
        store.get_chunk("0" * 64)


def test_a_manifest_is_read_as_it_was_put_and_never_replaced(store, reopen):
    assert store.get_manifest("a" * 64) is None
    store.put_manifest(manifest())
    store.put_manifest(manifest(as_of_us=6))
    assert store.get_manifest("a" * 64) == manifest()
    assert reopen().get_manifest("a" * 64) == manifest()


def test_all_manifests_are_listed_in_order(store, reopen):
    assert store.manifests() == []
    for digit in "cab":
        store.put_manifest(manifest(digit))
    assert reopen().manifests() == ["a" * 64, "b" * 64, "c" * 64]


@given(name=st.text(max_size=70))
def test_what_is_no_digest_names_nothing(tmp_path_factory, name):
    store = FileDatasetStore(tmp_path_factory.getbasetemp() / "none")
    for ask in (store.get_chunk, store.get_manifest):
        with pytest.raises(NotFoundError, match="is not the id"):
            ask(name)
