import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.flights import environment, lives, wait_for

HELD = """
import subprocess, sys, time
from seakeep.training.lifeline import hold_to_lifeline

hold_to_lifeline()
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(helper.pid, sys.stdin.read() == "", flush=True)
time.sleep(600)
"""


def start(code, stdin):
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), stdin=stdin, stdout=subprocess.PIPE, start_new_session=True
    )


def test_when_its_parent_is_gone_it_ends_with_all_it_started_and_nobody_reads_its_lifeline():
    with start(HELD, subprocess.PIPE) as process:
        helper, empty = process.stdout.readline().split()
        assert empty == b"True"
        assert lives(int(helper))
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(60) == -9
    wait_for(lambda: not lives(int(helper)))


@pytest.mark.parametrize("stdin", ["null", "file"])
def test_without_a_pipe_it_lives_on(tmp_path, stdin):
    (tmp_path / "empty").touch()
    code = "import time; from seakeep.training.lifeline import hold_to_lifeline; hold_to_lifeline(); time.sleep(0.1); print(1)"
    with Path(os.devnull if stdin == "null" else tmp_path / "empty").open() as given, start(code, given) as process:
        assert process.stdout.read() == b"1\n"
    assert process.returncode == 0
