import os
import stat
import threading

import pytest

from seakeep.backends.files.keys import (
    PEPPER,
    SIGNING,
    VERIFYING,
    load_or_create_pepper,
    load_or_create_signer,
    load_verifier,
)
from seakeep.errors import IntegrityError, PlatformError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home" / "keys"


def everything(folder):
    return load_or_create_signer(folder).public, load_or_create_pepper(folder)


def test_keys_are_made_once_and_found_again(folder):
    made = everything(folder)
    assert everything(folder) == made
    content = (folder / SIGNING).read_bytes()
    assert len({content, *made}) == 3
    assert {len(one) for one in (content, *made)} == {32}
    assert {path.name for path in folder.iterdir()} == {SIGNING, VERIFYING, PEPPER}


def test_every_installation_has_keys_of_its_own(tmp_path):
    assert not {*everything(tmp_path / "a")} & {*everything(tmp_path / "b")}


def test_what_the_signer_signs_the_verifier_verifies(folder):
    load_verifier_after = load_or_create_signer(folder)
    load_verifier(folder).verify(b"content", load_verifier_after.sign(b"content"))


def test_only_the_owner_can_read_keys(folder):
    everything(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("name", [SIGNING, VERIFYING, PEPPER])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o610, 0o777])
def test_keys_that_others_can_reach_are_refused(folder, name, mode):
    everything(folder)
    (folder / name).chmod(mode)
    with pytest.raises(IntegrityError, match=f"others may read .*{name}") as raised:
        everything(folder)
    assert raised.value.hint == f"if nobody did: chmod 600 {folder / name}"
    (folder / name).chmod(0o400)
    everything(folder)


@pytest.mark.parametrize("name", [SIGNING, VERIFYING, PEPPER])
@pytest.mark.parametrize("content", [b"", b"k" * 31, b"k" * 33, b"k" * 10_000])
def test_a_file_that_holds_no_key_is_refused_and_left_as_it_is(folder, name, content):
    everything(folder)
    (folder / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=f"{name} holds no key of 32 bytes"):
        everything(folder)
    assert (folder / name).read_bytes() == content


@pytest.mark.parametrize("name", [SIGNING, VERIFYING, PEPPER])
@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "pipe"])
def test_what_is_no_plain_file_is_refused(folder, tmp_path, name, kind):
    everything(folder)
    path = folder / name
    path.rename(tmp_path / "same")
    {
        "link": lambda: path.symlink_to(tmp_path / "same"),
        "dangling": lambda: path.symlink_to(tmp_path / "nothing"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path, 0o600),
    }[kind]()
    with pytest.raises(IntegrityError):
        everything(folder)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", [SIGNING, VERIFYING])
def test_keys_that_do_not_belong_together_are_refused(folder, tmp_path, name):
    everything(folder)
    everything(tmp_path / "other")
    (tmp_path / "other" / name).replace(folder / name)
    with pytest.raises(IntegrityError, match=r"signing\.pub does not belong to signing\.key") as raised:
        load_or_create_signer(folder)
    assert "same backup" in raised.value.hint


def test_a_lost_public_key_is_made_again_from_the_private_one(folder):
    public = load_or_create_signer(folder).public
    (folder / VERIFYING).unlink()
    with pytest.raises(IntegrityError, match="cannot be read: No such file"):
        load_verifier(folder)
    assert load_or_create_signer(folder).public == public
    load_verifier(folder)


def test_who_only_verifies_makes_no_key(folder):
    with pytest.raises(IntegrityError, match=r"signing\.pub cannot be read"):
        load_verifier(folder)
    assert not folder.exists()


def test_of_many_that_race_for_the_first_key_all_get_the_same(folder):
    barrier, found = threading.Barrier(8), []

    def race():
        barrier.wait()
        found.append(everything(folder))

    racers = [threading.Thread(target=race) for _ in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert {path.name for path in folder.iterdir()} == {SIGNING, VERIFYING, PEPPER}


def test_a_place_where_no_key_can_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for make in (load_or_create_signer, load_or_create_pepper):
        with pytest.raises(PlatformError, match="cannot write") as raised:
            make(tmp_path / "file" / "keys")
        assert "rights" in raised.value.hint
