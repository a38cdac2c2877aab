import json
import os
import shutil
from pathlib import Path

import pytest
from tests.recording import prediction, record, same

from seakeep.clock import FixedClock
from seakeep.config import RecorderSettings
from seakeep.errors import IntegrityError, RecorderError
from seakeep.recorder.compaction import compact
from seakeep.recorder.keyring import POINTER, Keyring, rotate, sweep, unlock
from seakeep.recorder.query import Query, find, load
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.writer import Writer
from seakeep.security.secret import fresh_secret, load_secret, replace_secret


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "recorder"
    made.mkdir()
    return made


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "recorder.key"


@pytest.fixture
def keyring(folder, path):
    return Keyring(folder, path)


def pen(folder, keyring, name="w", **settings):
    return Writer(folder, name, clock=FixedClock(1), settings=RecorderSettings(**settings), keyring=keyring)


def ids(folder, path):
    return {json.loads(one.read_bytes())["key"] for one in folder.glob("*.key")}


def test_a_key_is_found_by_the_name_of_its_file(folder, keyring):
    made = keyring.create("w-00000001")
    for suffix in (".open", ".seg"):
        found = unlock(folder / f"w-00000001{suffix}")
        assert found is not None
        assert found.secret == made.secret
    assert unlock(folder / "w-00000002.seg") is None
    assert made.secret not in (folder / "w-00000001.key").read_bytes()


def test_the_wrapping_key_is_made_once_and_only_its_owner_can_read_it(folder, path):
    Keyring(folder, path)
    before = load_secret(path)
    Keyring(folder, path)
    assert load_secret(path) == before
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(IntegrityError, match="others may read"):
        Keyring(folder, path)


def test_the_folder_says_where_its_wrapping_key_is_also_when_both_are_moved(tmp_path, folder, path, keyring):
    secret = keyring.create("w-00000001").secret
    assert not Path((folder / POINTER).read_text()).is_absolute()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(folder, moved / "recorder")
    shutil.move(path.parent, moved / "keys")
    found = unlock(moved / "recorder" / "w-00000001.seg")
    assert found is not None
    assert found.secret == secret


def test_a_wrapping_key_that_is_gone_or_another_is_told(folder, path, keyring):
    keyring.create("w-00000001")
    replace_secret(path, fresh_secret())
    with pytest.raises(IntegrityError, match=r"under the wrapping key \w+, which is not in .*recorder.key"):
        unlock(folder / "w-00000001.seg")
    path.unlink()
    with pytest.raises(IntegrityError, match="cannot be read"):
        unlock(folder / "w-00000001.seg")
    (folder / POINTER).unlink()
    with pytest.raises(IntegrityError, match="does not say where"):
        unlock(folder / "w-00000001.seg")


def test_a_changed_key_is_told(folder, keyring):
    keyring.create("w-00000001")
    key = folder / "w-00000001.key"
    whole = json.loads(key.read_bytes())
    key.write_text(json.dumps({**whole, "wrapped": "A" * len(whole["wrapped"])}))
    with pytest.raises(IntegrityError, match="changed"):
        unlock(folder / "w-00000001.seg")
    key.write_text("{")
    with pytest.raises(IntegrityError, match="was changed"):
        unlock(folder / "w-00000001.seg")


def test_what_is_written_cannot_be_read_without_the_key_and_can_with_it(folder, keyring):
    one = pen(folder, keyring)
    made = record(one, 500)
    one.commit()
    assert all(same(*pair) for pair in zip(scan(folder), made, strict=True))
    assert same(find(folder, made[7].id), made[7])
    one.close()
    for name in ("w-00000001.seg", None):
        if name is None:
            (compacted,) = compact(folder, keyring)
            assert compacted.suffix == ".aes"
        for file in folder.iterdir():
            assert b"flight-1" not in file.read_bytes()
            assert b"PAR1" not in file.read_bytes()
        assert all(same(*pair) for pair in zip(scan(folder), made, strict=True))
        assert same(find(folder, made[7].id), made[7])
        assert len(load(folder, Query(model="late-arrival"))) == 500
    assert {one.name for one in folder.glob("*.key")} == {"w-00000001-00000001.key"}


def test_a_tail_reads_what_is_encrypted_also_after_it_was_compacted(folder, keyring):
    tail = Tail(folder)
    one = pen(folder, keyring)
    record(one, 3)
    one.commit()
    assert [found.sequence for found in tail.poll()] == [1, 2, 3]
    record(one, 2)
    one.close()
    compact(folder, keyring)
    assert [found.sequence for found in tail.poll()] == [4, 5]
    tail.close()


def test_every_segment_has_a_key_of_its_own_and_an_empty_one_leaves_none(folder, keyring):
    pen(folder, keyring).close()
    assert list(folder.glob("*.key")) == []
    for _ in range(2):
        one = pen(folder, keyring)
        record(one, 1)
        one.close()
    secrets = {unlock(file).secret for file in folder.glob("*.seg")}
    assert len(secrets) == 2


def test_records_encrypted_or_not_are_read_together(folder, keyring):
    for how in (None, keyring, None):
        one = pen(folder, how)
        record(one, 2)
        one.close()
    assert [found.sequence for found in scan(folder)] == [1, 2, 3, 4, 5, 6]
    # Without a keyring nothing that is encrypted becomes readable.
    assert {made.name for made in compact(folder)} == {"w-00000001-00000001.parquet", "w-00000003-00000003.parquet"}
    assert [found.sequence for found in scan(folder)] == [1, 2, 3, 4, 5, 6]


def test_a_rotation_changes_the_keys_and_not_the_records(folder, path, keyring):
    one = pen(folder, keyring)
    made = record(one, 3)
    one.close()
    compact(folder, keyring)
    one = pen(folder, keyring)
    made += record(one, 3)
    one.commit()  # a living writer
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in {".aes", ".open"}}
    old, old_ids = load_secret(path), ids(folder, path)
    assert rotate([folder, folder / "none"], path) == 2
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.name in before} == before
    assert load_secret(path) != old
    assert len(ids(folder, path)) == 1
    assert ids(folder, path) != old_ids
    assert [file.name for file in path.parent.iterdir()] == ["recorder.key"]
    made += record(one, 1)
    one.close()
    assert all(same(*pair) for pair in zip(scan(folder), made, strict=True))


@pytest.mark.parametrize("when", ["before the change", "after the change", "half of the keys"])
def test_a_rotation_that_was_cut_off_is_brought_to_its_end(folder, path, keyring, when, monkeypatch):
    for number in range(4):
        keyring.create(f"w-{number:08d}")
    secrets = [unlock(folder / f"w-{number:08d}.seg").secret for number in range(4)]
    count = 0

    def cut(*_):
        nonlocal count
        count += 1
        if count > (2 if when == "half of the keys" else 0):
            raise KeyboardInterrupt

    if when == "before the change":
        monkeypatch.setattr("seakeep.recorder.keyring.replace_secret", cut)
    else:
        from seakeep.recorder import keyring as module

        real = module._rewrap
        monkeypatch.setattr(module, "_rewrap", lambda *given: cut() or real(*given))
    with pytest.raises(KeyboardInterrupt):
        rotate([folder], path)
    monkeypatch.undo()
    for number in range(4):
        assert unlock(folder / f"w-{number:08d}.seg").secret == secrets[number]
    keyring.create("w-00000009")
    rotate([folder], path)
    assert len(ids(folder, path)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["recorder.key"]
    for number in range(4):
        assert unlock(folder / f"w-{number:08d}.seg").secret == secrets[number]


def test_a_key_put_in_place_by_hand_is_rotated_to(folder, path, keyring):
    secret = keyring.create("w-00000001").secret
    path.rename(path.with_name("recorder.key.old"))
    replace_secret(path, b"n" * 32)
    assert unlock(folder / "w-00000001.seg").secret == secret
    assert rotate([folder], path) == 1
    assert load_secret(path) == b"n" * 32
    assert unlock(folder / "w-00000001.seg").secret == secret


def test_a_rotation_does_not_lose_a_key_it_does_not_know(folder, path, keyring):
    keyring.create("w-00000001")
    replace_secret(path, fresh_secret())
    with pytest.raises(RecorderError, match="unknown wrapping key"):
        rotate([folder], path)
    assert path.with_name("recorder.key.old").exists()


def test_keys_of_files_that_are_gone_are_swept_and_that_of_the_next_segment_is_not(folder, keyring):
    one = pen(folder, keyring)
    record(one, 1)
    one.close()
    for stem in ("w-00000000", "w-00000002", "w-00000000-00000001", "other-00000001"):
        keyring.create(stem)
    (folder / f"x.key.{2**22 + 1}.aside").touch()
    (folder / f"x.key.{os.getpid()}.aside").touch()
    sweep(folder)
    assert {file.name for file in folder.glob("*.key")} == {"w-00000001.key", "w-00000002.key", "other-00000001.key"}
    assert [file.name for file in folder.glob("*.aside")] == [f"x.key.{os.getpid()}.aside"]


def test_a_writer_waits_for_its_wrapping_key_and_counts_what_it_loses(folder, path, keyring):
    one = pen(folder, keyring, commit_ms=1, queue_mb=0.001)
    aside = path.rename(path.with_name("aside"))
    one.append(prediction(one.next_sequence()))
    with pytest.raises(RecorderError, match="cannot be read"):
        one.commit()
    assert list(folder.glob("*.seg")) == []
    aside.rename(path)
    one.commit()
    one.close()
    assert [found.sequence for found in scan(folder)] == [1]
