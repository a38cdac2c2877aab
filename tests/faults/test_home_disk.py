"""A full or read-only home: each store says so, changes nothing, and goes on when there is room."""

import pytest
from tests.registering import NOW_US, ONNX, STATES, digest, key, proof, receipt, release, run, version, written
from tests.registering import fill as fill_state

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.backends.files.keys import load_or_create_pepper, load_or_create_signer, load_verifier
from seakeep.backends.files.sealed import SealedFolders
from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.clock import FixedClock
from seakeep.config import Home
from seakeep.errors import PlatformError
from seakeep.project.stores import open_stores
from seakeep.records.dataset import DatasetVersion
from seakeep.registry.bundle import Bundles

BIG = "x" * 700_000
CHANGES = {
    "train": lambda state: state.runs.add(run("r-9", warnings=(BIG,)), actor="ada"),
    "register": lambda state: state.versions.add(version(author=BIG), actor="ada", now_us=NOW_US),
    "promote": lambda state: state.releases.append(release(2, reason=BIG), details={}),
    "receipt": lambda state: state.receipts.add_receipt(receipt(NOW_US + 9, reason=BIG)),
    "create-key": lambda state: state.keys.add(key("new", digest=digest("new")), actor=BIG),
}


def content(state):
    return [
        written(one)
        for one in (
            state.runs.list(),
            state.versions.list("late"),
            state.releases.history("late"),
            state.receipts.receipts("late"),
            state.keys.list(),
            state.audit.list(),
        )
    ]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("backend", STATES)
def test_a_full_disk_refuses_a_change_and_takes_it_when_there_is_room(small_disk, fill, backend, change):
    state = STATES[backend](small_disk)
    fill_state(state)
    before = content(state)
    make_room = fill()
    for _ in range(2):
        with pytest.raises(PlatformError, match=r"full|disk I/O error") as raised:
            CHANGES[change](state)
        assert "nothing was changed" in raised.value.hint
        assert content(state) == before
        assert len(state.verified()) == 8
    make_room()
    state.keys.add(key("small", digest=digest("small")), actor="ada")
    assert state.verified()[-1] == "create-key"
    state.close()


def test_a_home_cannot_be_made_on_a_full_disk_and_can_when_there_is_room(small_disk, fill):
    home = Home(small_disk / "home")
    make_room = fill()
    with pytest.raises(PlatformError):
        open_stores(home, FixedClock(NOW_US))
    make_room()
    stores = open_stores(home, FixedClock(NOW_US))
    stores.keys.create("ci", "client", actor="ada")
    assert [entry.action for entry in stores.audit.list()] == ["create-key"]


def test_a_bundle_does_not_appear_on_a_full_disk(small_disk, fill):
    folder = small_disk / "bundles"
    signer = load_or_create_signer(small_disk / "keys")
    folders = SealedFolders(folder, signer=signer, verifier=load_verifier(small_disk / "keys"))
    bundles = Bundles(folders)
    kept = bundles.put(run(), ONNX, proof(), created_us=1)
    make_room = fill()
    for _ in range(2):
        with pytest.raises(PlatformError, match=r"cannot store .*No space left") as raised:
            bundles.put(run(), ONNX, proof(), created_us=2)
        assert "nothing was changed" in raised.value.hint
        assert [path.name for path in folder.iterdir()] == [kept]
    make_room()
    assert bundles.open(bundles.put(run(), ONNX, proof(), created_us=2)).model == ONNX
    assert bundles.open(kept).model == ONNX


def test_a_dataset_does_not_appear_on_a_full_disk(small_disk, fill):
    store = FileDatasetStore(small_disk / "data")
    kept = store.put_chunk(b"kept")
    make_room = fill()
    manifest = DatasetVersion(id="a" * 64, as_of_us=1, sources=())
    for put in (lambda: store.put_chunk(bytes(5_000)), lambda: store.put_manifest(manifest)):
        with pytest.raises(PlatformError, match=r"cannot write .*No space left"):
            put()
    assert store.manifests() == []
    assert [path.stem for path in (small_disk / "data" / "chunks").iterdir()] == [kept]
    assert list((small_disk / "data" / "versions").iterdir()) == []
    make_room()
    store.put_chunk(bytes(5_000))
    store.put_manifest(manifest)
    assert store.get_manifest("a" * 64) == manifest


@pytest.mark.parametrize("make", [load_or_create_signer, load_or_create_pepper])
def test_half_a_key_is_never_found_on_a_full_disk(small_disk, fill, make):
    (small_disk / "keys").mkdir()
    make_room = fill()
    with pytest.raises(PlatformError, match=r"cannot write .*No space left"):
        make(small_disk / "keys")
    assert list((small_disk / "keys").iterdir()) == []
    make_room()
    assert make(small_disk / "keys")


def test_the_online_store_cannot_be_made_on_a_full_disk(small_disk, fill):
    make_room = fill()
    with pytest.raises(PlatformError, match="cannot open the online store"):
        LmdbOnlineStore(small_disk / "online")
    make_room()
    LmdbOnlineStore(small_disk / "online").close()


def test_the_online_store_says_that_the_disk_is_full_and_goes_on_when_there_is_room(small_disk, fill):
    store = LmdbOnlineStore(small_disk / "online")
    store.update(lambda transaction: transaction.put(b"a", b"1"))
    make_room = fill()
    with pytest.raises(PlatformError, match="online store cannot be written") as raised:
        store.update(lambda transaction: transaction.put(b"b", bytes(300_000)))
    assert raised.value.hint == "free some disk"
    with store.read() as snapshot:
        assert bytes(snapshot.get(b"a")) == b"1"
        assert snapshot.get(b"b") is None
    make_room()
    store.update(lambda transaction: transaction.put(b"b", bytes(300_000)))
    with store.read() as snapshot:
        assert len(snapshot.get(b"b")) == 300_000
    store.close()


@pytest.mark.parametrize("backend", STATES)
def test_a_state_on_a_read_only_disk_is_told(small_disk, read_only, backend):
    state = STATES[backend](small_disk)
    fill_state(state)
    state.close()
    read_only()
    with pytest.raises(PlatformError, match="cannot be used") as raised:
        STATES[backend](small_disk).releases.append(release(2), details={})
    assert "right to write" in raised.value.hint


def test_nothing_can_be_made_on_a_read_only_disk(small_disk, read_only):
    signer = load_or_create_signer(small_disk / "keys")
    verifier = load_verifier(small_disk / "keys")
    bundles = Bundles(SealedFolders(small_disk / "bundles", signer=signer, verifier=verifier))
    kept = bundles.put(run(), ONNX, proof(), created_us=1)
    store = FileDatasetStore(small_disk / "data")
    chunk = store.put_chunk(b"kept")
    read_only()
    assert load_or_create_signer(small_disk / "keys").public == signer.public
    assert bundles.open(kept).model == ONNX
    assert store.get_chunk(chunk).read_bytes() == b"kept"
    refused = [
        lambda: bundles.put(run(), ONNX, proof(), created_us=2),
        lambda: store.put_chunk(b"new"),
        lambda: FileDatasetStore(small_disk / "other"),
        lambda: load_or_create_pepper(small_disk / "keys"),
        lambda: Home(small_disk / "home"),
        lambda: LmdbOnlineStore(small_disk / "online"),
    ]
    for change in refused:
        with pytest.raises(PlatformError, match="Read-only file system"):
            change()
