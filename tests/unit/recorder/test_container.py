import contextlib
import fcntl
import os
from pathlib import Path

import pytest

from seakeep.errors import IntegrityError
from seakeep.recorder import container
from seakeep.recorder.container import alone, made, opened
from seakeep.recorder.keyring import Keyring


@pytest.fixture
def keyring(tmp_path):
    return Keyring(tmp_path, tmp_path / "recorder.key")


def encrypted(folder, keyring, content=b"content", stem="w-00000001-00000001"):
    path = folder / f"{stem}.aes"
    with made(path, keyring.create(stem)) as name:
        written = name
        with Path(name).open("wb") as file:
            file.write(content)
    assert written.startswith("/proc/self/fd/"), "clear text never has a name on a disk"
    return path


def content(path):
    with opened(path) as name, Path(name).open("rb") as file:
        return file.read()


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100])
def test_what_is_encrypted_is_read_as_it_was(tmp_path, keyring, monkeypatch, size):
    monkeypatch.setattr(container, "_CHUNK", 16)
    path = encrypted(tmp_path, keyring, os.urandom(size) if size < 100 else b"clear text" * 10)
    assert b"clear" not in path.read_bytes()
    with monkeypatch.context() as other:
        other.setattr(container, "_CHUNK", 1 << 20)  # the file says how large its pieces are
        assert len(content(path)) == size


def test_a_changed_byte_anywhere_is_found(tmp_path, keyring, monkeypatch):
    monkeypatch.setattr(container, "_CHUNK", 16)
    path = encrypted(tmp_path, keyring, bytes(40))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(IntegrityError):
            content(path)


def test_pieces_that_are_cut_off_moved_or_added_are_found(tmp_path, keyring, monkeypatch):
    monkeypatch.setattr(container, "_CHUNK", 16)
    path = encrypted(tmp_path, keyring, bytes(48))
    whole = path.read_bytes()
    head, pieces = whole[:20], [whole[20 + 32 * n : 52 + 32 * n] for n in range(3)]
    for changed in ([pieces[0], pieces[1]], [pieces[1], pieces[0], pieces[2]], [*pieces, pieces[2]], []):
        path.write_bytes(head + b"".join(changed))
        with pytest.raises(IntegrityError):
            content(path)


def test_a_file_of_another_name_or_without_its_key_cannot_be_read(tmp_path, keyring):
    path = encrypted(tmp_path, keyring)
    keyring.create("w-00000002-00000002")
    other = path.rename(tmp_path / "w-00000002-00000002.aes")
    with pytest.raises(IntegrityError, match="was changed"):
        content(other)
    other.with_suffix(".key").unlink()
    with pytest.raises(IntegrityError, match="its key is gone"):
        content(other)


def test_what_fails_half_way_leaves_nothing(tmp_path, keyring):
    for key in (None, keyring.create("a")):
        with contextlib.suppress(RuntimeError), made(tmp_path / "a", key) as name:
            Path(name).touch()
            raise RuntimeError
        assert not (tmp_path / "a").exists()


def test_nobody_takes_a_file_away_that_is_being_read(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"x")
    with alone(path) as free:
        assert free
    with opened(path) as name, Path(name).open("rb") as file:
        with alone(path) as free:
            assert not free
        path.unlink()  # whoever does it all the same disturbs nobody
        assert file.read() == b"x"


def test_who_waited_for_a_file_reads_what_took_its_place(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"old")
    real, calls = fcntl.flock, []

    def flock(file, how):
        real(file, how)
        if not calls:
            (tmp_path / "new").write_bytes(b"new")
            (tmp_path / "new").rename(path)
        calls.append(how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert content(path) == b"new"
    assert len(calls) == 2
    path.unlink()
    with pytest.raises(FileNotFoundError):
        content(path)
