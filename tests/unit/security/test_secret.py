import os
import threading

import pytest

from seakeep.errors import IntegrityError, PlatformError
from seakeep.security.secret import fresh_secret, load_or_create_secret, load_secret, replace_secret


def test_a_secret_is_made_once_whoever_races(tmp_path):
    path, found = tmp_path / "keys" / "k", []
    threads = [threading.Thread(target=lambda: found.append(load_or_create_secret(path))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert set(found) == {load_secret(path)}
    assert [file.name for file in path.parent.iterdir()] == ["k"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_secret_is_replaced_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "k"
    before = load_or_create_secret(path, b"a" * 32)
    assert before == b"a" * 32
    replace_secret(path, b"b" * 32)
    assert load_secret(path) == b"b" * 32

    def fsync(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(PlatformError, match="No space left"):
        replace_secret(path, fresh_secret())
    monkeypatch.undo()
    assert load_secret(path) == b"b" * 32
    assert [file.name for file in tmp_path.iterdir()] == ["k"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_what_is_no_secret_is_told(tmp_path, content):
    path = tmp_path / "k"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(IntegrityError, match="holds no key of 32 bytes"):
        load_secret(path)
    path.chmod(0o640)
    with pytest.raises(IntegrityError, match="others may read"):
        load_secret(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_secret(tmp_path / "link")
