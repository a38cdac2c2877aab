"""The process beside a service: its jobs, and that it comes and goes with the service."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.flights import MODEL, REPLAY_FROM_US, entries, failing_day, opened, wait_for

from seakeep.clock import DAY_US, MICROSECONDS, FixedClock, SystemClock
from seakeep.errors import NotFoundError
from seakeep.features.retire import UNNEEDED_US
from seakeep.project import beside, service, upkeep
from seakeep.project.load import load_project
from seakeep.project.upkeep import NICENESS
from seakeep.recorder.layout import parts
from seakeep.recorder.retention import SETTLED_S, Expired, Steadiness
from seakeep.records.finding import Page

pytestmark = pytest.mark.slow

ENTRY = "seakeep.project.upkeep"


class Judge:
    """Stands for the pager where days are not what is asked about."""

    def __init__(self, wait_s=1_000.0):
        self.looks, self.wait_s = 0, wait_s

    def look(self):
        self.looks += 1
        if self.wait_s < 0:
            raise ValueError("a fault of ours")
        return self.wait_s


class Views:
    """Stands for the features where it does not matter which are let go of."""

    def __init__(self):
        self.asked = []

    def retire(self, models, now_us):
        self.asked.append((list(models), now_us))
        raise NotFoundError("there is no bundle")


def jobs(project, judge, views=None):
    return upkeep.Upkeep(load_project(project.folder), project.home, judge, views or Views(), clock=SystemClock())


def states(project):
    return {part.state for part in parts(project.home.predictions)[0]}


@pytest.fixture
def project(flights_at):
    with opened(flights_at("recorded")) as project:
        yield project


def test_days_are_judged_at_once_and_then_when_the_pager_asks_for_it(project):
    judge = Judge()
    todo = jobs(project, judge)
    assert 0 < todo.step() <= upkeep.RECORDS_S
    todo.step()
    assert judge.looks == 1


def test_records_are_compacted_when_it_is_time(project, monkeypatch):
    judge = Judge()
    jobs(project, judge).step()
    assert "seg" in states(project)
    monkeypatch.setattr(upkeep, "RECORDS_S", 0.0)
    jobs(project, judge).step()
    assert states(project) == {"parquet"}


def test_a_job_that_fails_is_told_and_the_others_are_done(project, monkeypatch, caplog):
    monkeypatch.setattr(upkeep, "RECORDS_S", 0.0)
    jobs(project, Judge(-1.0)).step()
    assert "the day could not be judged" in caplog.text
    assert states(project) == {"parquet"}


def test_records_that_cannot_be_compacted_stay_and_are_told(project, monkeypatch, caplog):
    monkeypatch.setattr(upkeep, "RECORDS_S", 0.0)
    for part in parts(project.home.predictions)[0]:
        part.path.write_bytes(b"no segment")
    jobs(project, Judge()).step()
    assert "they stay as they are" in caplog.text
    assert states(project) == {"seg"}


def test_features_are_let_go_of_by_a_settled_clock_alone_and_a_fault_stops_nothing(project, monkeypatch, caplog):
    monkeypatch.setattr(upkeep, "RECORDS_S", 0.0)
    views = Views()
    todo = jobs(project, Judge(), views)
    todo.step()
    assert views.asked == []
    monkeypatch.setattr(todo._steadiness, "settled", lambda: True)
    todo.step()
    ((models, now_us),) = views.asked
    assert models == [MODEL]
    assert abs(SystemClock().now_us() - now_us) < DAY_US
    assert "they stay as they are" in caplog.text


class Graces:
    """Stands for the features: one view that nobody has needed since the first look, which goes after its grace."""

    def __init__(self):
        self.since_us, self.gone = None, False

    def retire(self, models, now_us):
        if self.since_us is None:
            self.since_us = now_us
        self.gone = self.gone or now_us - self.since_us >= UNNEEDED_US
        return 0


@pytest.mark.parametrize("when", ["between two looks", "while records are compacted"])
def test_a_jump_of_the_clock_cuts_no_grace_short(project, monkeypatch, when):
    monkeypatch.setattr(upkeep, "RECORDS_S", 0.0)
    monkeypatch.setenv("SEAKEEP_RECORDER__KEEP_DAYS", "1")
    views, clock, steady_s, jumps = Graces(), FixedClock(REPLAY_FROM_US), [0.0], []
    todo = upkeep.Upkeep(load_project(project.folder), project.home, Judge(), views, clock=clock)
    monkeypatch.setattr(todo, "_steadiness", Steadiness(clock, lambda: steady_s[0]))
    asked = []
    monkeypatch.setattr(upkeep, "expire", lambda *_, older_than_us, **__: asked.append(older_than_us) or Expired())

    def look(seconds):
        steady_s[0] += seconds
        clock.value_us += int(seconds * MICROSECONDS)
        todo.step()

    def jump(*_):
        clock.value_us += jumps.pop() if jumps else 0

    monkeypatch.setattr(upkeep, "compact", jump)
    look(SETTLED_S)
    assert views.since_us == clock.now_us(), "marked"
    jumps.append(2 * UNNEEDED_US)
    if when == "between two looks":
        jump()
    asked.clear()
    look(1.0)
    assert asked == [None, None], "nor does a record go by age"
    assert SETTLED_S * MICROSECONDS >= UNNEEDED_US, "the clock is believed after a whole grace"
    look(SETTLED_S - 1.0)
    assert not views.gone
    look(1.0)
    assert views.gone, "an hour has passed by the clock that cannot be set"


def test_it_is_started_with_a_service_again_when_killed_and_ends_with_it(flights_at, monkeypatch):
    monkeypatch.setenv("SEAKEEP_SERVING__PORT", "0")
    monkeypatch.setenv("SEAKEEP_SERVING__WORKERS", "1")
    monkeypatch.setattr(service, "UPKEEP_S", 0.0)
    monkeypatch.setattr(beside, "AGAIN_S", 0.0)

    def here():
        return entries(os.getpid(), ENTRY)

    with opened(flights_at("promoted")) as project, project.service() as running:

        def watch():
            (first,) = wait_for(here)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: set(here()) - {first})
            running.stop()

        watcher = threading.Thread(target=watch)
        watcher.start()
        running.run()
        watcher.join()
        assert len(here()) == 1
    assert here() == []


def started(folder, **pipes):
    return subprocess.Popen([sys.executable, "-P", "-m", ENTRY, str(folder)], text=True, **pipes)


def test_it_judges_the_days_of_a_project_and_ends_when_its_standard_input_does(project):
    failing_day(project)
    with started(project.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        (page,) = wait_for(lambda: project.stores.pages.pages(MODEL), process=process)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
        among_sessions = Path(f"/proc/{process.pid}/autogroup")
        if among_sessions.exists():
            assert among_sessions.read_text().split()[1:] == ["nice", str(NICENESS)]
        process.stdin.close()
        assert process.wait(60) == 0
        assert f"PAGE {MODEL}:1" in process.stderr.read()
    assert isinstance(page, Page)
    assert page.time_us == REPLAY_FROM_US + 4 * DAY_US


def test_a_fault_is_one_line_and_wrong_arguments_are_a_usage_error(tmp_path):
    with started(tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(60) == 1
        assert process.stderr.read().startswith(f"upkeep: error: cannot read {tmp_path}")
    assert upkeep.main([]) == 2
