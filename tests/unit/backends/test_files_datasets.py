import os

import pytest

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.errors import IntegrityError, NotFoundError, PlatformError
from seakeep.records.dataset import Chunk, DatasetVersion, SourceSnapshot

VERSION = DatasetVersion(
    id="ab" * 32,
    as_of_us=5,
    sources=(
        SourceSnapshot(
            name="e", schema=(), chunks=(Chunk(sha256="0" * 64, content="1" * 64, rows=1, from_us=1, to_us=2),)
        ),
    ),
)


@pytest.fixture
def store(tmp_path):
    return FileDatasetStore(tmp_path / "data")


def test_a_chunk_is_kept_once_under_its_digest(store):
    sha256 = store.put_chunk(b"hello")
    assert sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    path = store.get_chunk(sha256)
    before = path.stat()
    assert path.read_bytes() == b"hello"
    assert store.put_chunk(b"hello") == sha256
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o077 == 0


def test_a_damaged_chunk_is_mended_when_it_is_put_again(store):
    path = store.get_chunk(store.put_chunk(b"hello"))
    path.write_bytes(b"hellO")
    store.put_chunk(b"hello")
    assert path.read_bytes() == b"hello"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_are_refused_and_replaced(store, tmp_path, link):
    path = store.get_chunk(store.put_chunk(b"hello"))
    target = tmp_path / "mine"
    target.write_bytes(b"hello")
    path.unlink()
    link(target, path)
    with pytest.raises(IntegrityError, match="is a link"):
        store.get_chunk(path.stem)
    store.put_chunk(b"hello")
    assert store.get_chunk(path.stem).read_bytes() == b"hello"
    target.write_bytes(b"changed")
    assert path.read_bytes() == b"hello"


def test_a_manifest_is_kept_and_never_replaced(store, tmp_path):
    assert store.get_manifest(VERSION.id) is None
    store.put_manifest(VERSION)
    store.put_manifest(DatasetVersion(id=VERSION.id, as_of_us=6, sources=()))
    assert store.get_manifest(VERSION.id) == VERSION
    assert FileDatasetStore(tmp_path / "data").manifests() == [VERSION.id]


def test_a_linked_manifest_is_refused(store, tmp_path):
    store.put_manifest(VERSION)
    path = tmp_path / "data" / "versions" / f"{VERSION.id}.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="is a link"):
        store.get_manifest(VERSION.id)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "AB" * 32, "ab" * 31])
def test_what_is_not_a_digest_is_not_a_path(store, name):
    with pytest.raises(NotFoundError, match="is not the id"):
        store.get_chunk(name)
    with pytest.raises(NotFoundError, match="is not the id"):
        store.get_manifest(name)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(store, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PlatformError, match="No space left"):
        store.put_chunk(b"hello")
    assert list((tmp_path / "data" / "chunks").iterdir()) == []
