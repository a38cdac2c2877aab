"""Everything that seals folders keeps the promises of the port."""

import pytest

from seakeep.backends.files.sealed import SealedFolders
from seakeep.errors import IntegrityError, NotFoundError, PlatformError
from seakeep.security.signing import Signer, Verifier

SIGNER = Signer(b"k" * 32)
STORES = {"files": lambda folder, signer, verifier: SealedFolders(folder / "b", signer=signer, verifier=verifier)}
FILES = {"model.onnx": bytes(range(256)), "run.json": b"{}", "empty": b""}


@pytest.fixture(params=STORES)
def reopen(request, tmp_path):
    def again(signer=SIGNER, verifier=None):
        return STORES[request.param](tmp_path, signer, verifier or Verifier(SIGNER.public))

    return again


def put(folders, files=FILES, **changes):
    return folders.put(files, **{"model": "late", "run": "r-1", "created_us": 5, **changes})


def test_files_are_read_as_they_were_put(reopen):
    digest = put(reopen())
    assert reopen().read(digest) == FILES
    assert {name: reopen().read_file(digest, name) for name in FILES} == FILES


def test_the_manifest_says_what_was_put_and_where_it_came_from(reopen):
    manifest = reopen().manifest(put(reopen()))
    assert (manifest.model, manifest.run, manifest.created_us) == ("late", "r-1", 5)
    assert {entry.path: entry.size for entry in manifest.files} == {"model.onnx": 256, "run.json": 2, "empty": 0}


def test_the_same_content_has_the_same_digest_in_any_order(reopen):
    digest = put(reopen())
    assert put(reopen(), dict(reversed(FILES.items()))) == digest
    assert reopen().read(digest) == FILES


@pytest.mark.parametrize(
    "changes",
    [{"model": "fraud"}, {"run": "r-2"}, {"created_us": 6}, {"files": {**FILES, "empty": b"0"}}, {"files": {}}],
)
def test_anything_else_has_another_digest(reopen, changes):
    first, second = put(reopen()), put(reopen(), **changes)
    assert first != second
    assert reopen().read(first) == FILES


def test_a_file_that_was_not_put_is_not_there(reopen):
    digest = put(reopen())
    with pytest.raises(NotFoundError, match=r"there is no card\.md"):
        reopen().read_file(digest, "card.md")


@pytest.mark.parametrize("digest", ["0" * 64, "", "..", "../b", "A" * 64, "0" * 63, "/etc", "é" * 64])
def test_a_digest_that_names_nothing_is_not_found(reopen, digest):
    put(reopen())
    for read in (reopen().read, reopen().manifest, lambda one: reopen().read_file(one, "empty")):
        with pytest.raises(NotFoundError, match="nothing stored"):
            read(digest)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "/a", "A", ".hidden", "a\0", "é", "a" * 65, "manifest.json", "manifest.sig"]
)
def test_names_that_could_leave_the_folder_or_hide_in_it_are_refused(reopen, name):
    with pytest.raises(IntegrityError, match="cannot name a file"):
        put(reopen(), {"fine": b"1", name: b"2"})


def test_who_has_no_key_can_read_and_not_put(reopen):
    digest = put(reopen())
    reader = reopen(signer=None)
    assert reader.read(digest) == FILES
    with pytest.raises(PlatformError, match="reading alone"):
        put(reader)


def test_what_another_key_signed_is_refused(reopen):
    digest = put(reopen())
    stranger = reopen(verifier=Verifier(Signer(b"e" * 32).public))
    for read in (stranger.read, stranger.manifest, lambda one: stranger.read_file(one, "empty")):
        with pytest.raises(IntegrityError, match="does not verify"):
            read(digest)
