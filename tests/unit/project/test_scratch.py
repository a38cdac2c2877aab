"""Folders of processes that live are left alone, those of dead ones are taken away."""

import signal
import subprocess
import sys

import pytest

from seakeep.project.scratch import clear_abandoned, scratch

KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = {path!r}
from seakeep.project.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "metrics").mkdir()
    (folder / "metrics" / "0").write_bytes(b"counted")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def living(tmp_path):
    """A process that holds a folder: the process, and the folder's path."""
    start = [sys.executable, "-c", KILLED.format(path=sys.path), str(tmp_path)]
    with subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, tmp_path / process.stdout.readline().strip()
        process.kill()


def test_a_folder_is_gone_after_its_block_also_if_that_failed(tmp_path):
    def fail():
        with scratch(tmp_path) as folder:
            (folder / "one").touch()
            raise ValueError(folder)

    with pytest.raises(ValueError, match="profile-"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_process_that_lives_is_left_alone_and_gone_when_it_was_killed(tmp_path, living):
    process, folder = living
    with scratch(tmp_path) as own:
        clear_abandoned(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([own, folder])
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        assert (folder / "metrics" / "0").exists()
        with scratch(tmp_path) as third:
            assert sorted(tmp_path.iterdir()) == sorted([own, third])
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_such_a_folder_is_left_alone(tmp_path):
    """Neither is a link followed, nor a file removed that only has such a name."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "profile-link").symlink_to(elsewhere)
    (tmp_path / "profile-file").touch()
    (tmp_path / "profile-old").mkdir()
    clear_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "profile-file", "profile-link"]
