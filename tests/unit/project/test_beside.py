"""Processes beside a service: started when due, again when they ended, gone at the end."""

import errno
import os
import sys

from tests.flights import lives, wait_for

from seakeep.project import beside
from seakeep.project.beside import Beside

WAITS = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()} '); os.read(0, 1)"


def command(file, code=WAITS):
    return [sys.executable, "-P", "-c", code, str(file)]


def begun(file):
    """Process numbers of the lives so far."""
    return [int(number) for number in file.read_text().split()] if file.exists() else []


def test_it_is_started_once_it_is_due(tmp_path):
    later = Beside(command(tmp_path / "later"), after_s=1_000)
    later.look()
    later.close()
    process = Beside(command(tmp_path / "now"))
    process.look()
    (number,) = wait_for(lambda: begun(tmp_path / "now"))
    process.look()
    assert lives(number)
    process.close()
    process.close()
    assert not lives(number)
    assert begun(tmp_path / "now") == [number]
    assert not (tmp_path / "later").exists()


def test_one_that_ends_is_told_and_started_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(beside, "AGAIN_S", 0.0)
    file = tmp_path / "lives"
    process = Beside(command(file, "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()} '); sys.exit(3)"))
    wait_for(lambda: process.look() or len(begun(file)) >= 3)
    process.close()
    assert "ended with 3" in caplog.text


def test_one_that_cannot_be_started_is_told_and_tried_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(beside, "AGAIN_S", 0.0)
    process = Beside(command(tmp_path / "lives"))
    with monkeypatch.context() as patched:
        patched.setattr(beside.subprocess, "Popen", no_room)
        process.look()
    assert "cannot be started" in caplog.text
    assert begun(tmp_path / "lives") == []
    wait_for(lambda: process.look() or begun(tmp_path / "lives"))
    process.close()


def no_room(*_, **__):
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_it_inherits_the_handles_that_it_is_given_and_no_others(tmp_path):
    file = tmp_path / "open"
    reading, writing = os.pipe()
    code = f"""
import os, sys
def open_(number):
    try: os.fstat(number)
    except OSError: return False
    return True
open(sys.argv[1] + "~", "w").write(f"{{open_({reading})}} {{open_({writing})}}")
os.rename(sys.argv[1] + "~", sys.argv[1])
os.read(0, 1)
"""
    process = Beside(command(file, code), handles=[reading])
    process.look()
    wait_for(file.exists)
    process.close()
    os.close(reading)
    os.close(writing)
    assert file.read_text() == "True False"
