"""A model in a process of its own: what it prints, raises and does to itself reaches nobody but whoever asked."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests import strange_model
from tests.serving_rig import expected_score

from seakeep.conversion import nativesession, process
from seakeep.conversion.engine import open_session
from seakeep.conversion.nativesession import NativeSession
from seakeep.errors import CrashedError, IntegrityError, UnavailableError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def strange(monkeypatch):
    monkeypatch.setattr(process, "PROGRAM", strange_model.PROGRAM)
    monkeypatch.setattr(nativesession, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def session():
    opened = open_session(strange_model.strange_model())
    yield opened
    opened.close()


def asked(session, *carriers):
    numbers = np.column_stack([np.zeros(len(carriers)), np.arange(len(carriers), dtype=np.float64)])
    return session.score(numbers, np.array(carriers, dtype=object).reshape(-1, 1))


def until(true, limit_s=60.0):
    """Wait until something is so."""
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def asking_in_vain(session):
    """A thread that asks, is busy, and must be told that the process ended; an error in a thread fails its test."""

    def ask():
        with pytest.raises(CrashedError):
            asked(session, "hang")

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: session._keeper._busy)
    return thread


def again(session):
    """Ask until the process was started again."""
    until(lambda: session.state.pid)
    return asked(session, "AA")


def gone(process):
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_it_answers_whatever_it_prints_and_only_the_row_that_it_refuses_has_no_score(session):
    assert isinstance(session, NativeSession)
    assert session.outputs.kind == "probability"
    scores = asked(session, "AA", "UA", "raise", "", "DL")
    assert np.isnan(scores).tolist() == [False, False, True, False, False]
    assert scores[[0, 4]] == pytest.approx([expected_score(0, 0, "AA"), expected_score(0, 4, "DL")], rel=1e-14)
    assert asked(session).shape == (0,)
    state = session.state
    assert state.memory_bytes > 1e6
    assert state.start_s > 0


def test_a_process_that_ends_itself_fails_that_call_alone_and_is_started_again(session, caplog):
    first = session.state.pid
    for what, told in (("die", "signal 9"), ("exit", "status 3")):
        with pytest.raises(CrashedError, match="ended while it answered"):
            asked(session, "AA", what)
        assert told in caplog.text
        assert again(session) == pytest.approx([expected_score(0, 0, "AA")])
    assert session.state.restarts == 2
    assert session.state.pid != first
    assert gone(first)


def test_a_process_that_is_killed_in_the_middle_of_a_call_is_told_of_and_replaced(session):
    asking = asking_in_vain(session)
    os.kill(session.state.pid, signal.SIGKILL)
    asking.join(60)
    assert not asking.is_alive()
    again(session)


def test_a_call_that_does_not_come_back_is_interrupted_or_given_up_and_an_idle_process_is_left_alone(session):
    assert not session.interrupt()
    asking = asking_in_vain(session)
    assert session.interrupt()
    asking.join(60)
    again(session)
    assert session.state.restarts == 1
    session._limit_s = 0.2
    with pytest.raises(CrashedError):
        asked(session, "hang")


def test_while_a_process_is_started_again_calls_are_told_when_to_come_back(session, monkeypatch):
    monkeypatch.setattr(nativesession, "FIRST_WAIT_S", 3600.0)
    monkeypatch.setattr(nativesession, "LONGEST_WAIT_S", 3600.0)
    session._keeper._failures = 1
    os.kill(session.state.pid, signal.SIGKILL)
    until(lambda: not session.state.pid and session._keeper._due_s)
    with pytest.raises(UnavailableError, match="started again") as told:
        asked(session, "AA")
    assert told.value.retry_after_s > 60
    assert session.state.memory_bytes == 0


def test_a_process_ends_with_its_session(session):
    other = open_session(strange_model.strange_model())
    pid = other.state.pid
    del other
    until(lambda: gone(pid))
    asked(session, "AA")


def test_a_model_that_cannot_be_loaded_is_refused_with_the_reason(monkeypatch):
    with pytest.raises(IntegrityError, match="proved with another"):
        open_session(strange_model.strange_model(broken="it was proved with another"))
    monkeypatch.setattr(process, "PROGRAM", ("-c", "raise SystemExit(7)"))
    with pytest.raises(IntegrityError, match="status 7"):
        open_session(strange_model.strange_model())


def test_a_process_in_the_middle_of_a_call_ends_with_its_parent_also_if_that_is_killed():
    """It hangs in native code that lets no thread of it run."""
    parent = f"""
import sys, threading, numpy as np
sys.path[:0] = [{str(ROOT)!r}]
from tests import strange_model
from seakeep.conversion import process
from seakeep.conversion.engine import open_session
process.PROGRAM = strange_model.PROGRAM
session = open_session(strange_model.strange_model())
ask = lambda: session.score(np.zeros((1, 2)), np.array([["hang"]], dtype=object))
threading.Thread(target=ask, daemon=True).start()
while not session._keeper._busy:
    pass
print(session.state.pid, flush=True)
threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as started:
        try:
            child = int(started.stdout.readline())
            assert not gone(child)
        finally:
            started.kill()
        started.wait()
        until(lambda: gone(child))
