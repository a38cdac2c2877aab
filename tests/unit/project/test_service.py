"""A running service in this process: what it settles before, and what it leaves behind."""

import errno
import os
import signal
import socket
import threading

import pytest
from tests.flights import MODEL, children, opened, wait_for
from tests.recording import start

from seakeep.errors import IntegrityError, PlatformError
from seakeep.project.service import LOCK
from seakeep.recorder import query
from seakeep.recorder.layout import parts

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def free_port(monkeypatch):
    monkeypatch.setenv("SEAKEEP_SERVING__PORT", "0")
    monkeypatch.setenv("SEAKEEP_SERVING__WORKERS", "1")


@pytest.fixture
def project(flights_at):
    with opened(flights_at("promoted")) as project:
        yield project


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_runs_until_it_is_stopped_and_keeps_its_workers_alive(project):
    before = set(children(os.getpid()))
    with project.service() as service:
        (worker,) = set(children(os.getpid())) - before
        assert listens(service.port)

        def watch():
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: set(children(os.getpid())) - before - {worker} and listens(service.port))
            service.stop()

        watcher = threading.Thread(target=watch)
        watcher.start()
        service.run()
        watcher.join()
        port = service.port
    assert set(children(os.getpid())) == before
    assert not listens(port)


def test_a_job_that_fails_stops_no_other(project, monkeypatch, caplog):
    with project.service() as service:
        looks = []

        def fail():
            looks.append("failed")
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(service._supervisor, "look", fail)
        monkeypatch.setattr(service, "_lead", lambda: len(looks) < 3 or service.stop())
        service.run()
        assert listens(service.port)
    assert looks == ["failed"] * 3
    assert "a job of the service failed" in caplog.text


def test_a_signal_ends_it_and_the_handlers_before_are_put_back(project):
    """Ctrl-C; that SIGTERM does the same, the tests of `up` show."""

    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    before = handlers()

    def end():
        wait_for(lambda: all(now is not old for now, old in zip(handlers(), before, strict=True)))
        os.kill(os.getpid(), signal.SIGINT)

    with project.service() as service:
        ender = threading.Thread(target=end)
        ender.start()
        service.run()
        ender.join()
        assert handlers() == before
        service.close()
        service.close()  # and once more at the end of the block


def test_only_one_serves_a_home_and_the_next_may_once_it_is_gone(project, flights_at):
    with project.service(), pytest.raises(PlatformError, match="is being served already") as caught, project.service():
        pytest.fail("two services ran on one home")
    assert "seakeep up" in caught.value.hint
    with project.service() as service:
        assert listens(service.port)


def test_a_service_that_could_not_start_leaves_the_home_free(project):
    digest = project.resolve(MODEL).bundle
    model = project.home.bundles / digest / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(content + b" ")
    with pytest.raises(IntegrityError, match=f"model.onnx of {digest[:12]} was changed"), project.service():
        pytest.fail("it served a changed model")
    assert (project.home.root / LOCK).exists()
    model.write_bytes(content)
    with project.service() as service:
        assert listens(service.port)


def test_a_port_in_use_leaves_the_home_free(project, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as held:
        monkeypatch.setenv("SEAKEEP_SERVING__PORT", str(held.getsockname()[1]))
        with opened(project.folder) as again, pytest.raises(PlatformError, match="is in use"), again.service():
            pytest.fail("it served on a port in use")
    with project.service():
        pass


KILLED = """
import os, sys
from pathlib import Path
from tests.recording import record, writer

pen = writer(Path(sys.argv[1]), "worker-7", commit_ms=50)
record(pen, 3)
pen.commit()
record(pen, 2)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_service_left_is_sealed_and_counted_before_the_next_one_starts(project):
    folder = project.home.predictions
    assert start(KILLED, folder).wait(60) == -signal.SIGKILL
    abandoned = project.home.root / "profile-left"
    abandoned.mkdir()
    assert [part.state for part in parts(folder)[0]] == ["open"]
    with project.service():
        assert not abandoned.exists()
        left = [part.state for part in parts(folder)[0] if part.writer == "worker-7"]
    assert set(left) == {"seg"}
    recorded = len(query.load(folder, query.Query(model=MODEL)))
    assert recorded >= 3
    assert recorded + sum(gap.count for gap in query.gaps(folder)) == 5
