"""The supervisor with real processes: small ones that are not workers, where it does not matter what they do."""

import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from tests.serving_runs import PREDICT, body, row, run, supervised, wait_until

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError
from seakeep.serving import supervisor as module
from seakeep.serving.client import Client
from seakeep.serving.metrics import Meters, read
from seakeep.serving.supervisor import Supervisor, reserve
from seakeep.serving.worker import listen

READY = """
import os, sys, time, signal
from pathlib import Path
from seakeep.serving.metrics import Meters
from seakeep.serving.vitals import anonymous_bytes
meters = Meters(Path(sys.argv[1]), int(sys.argv[2]))
{before}
meters.settled(anonymous_bytes(os.getpid()))
meters.report("ready", 0, 0)
while os.read(0, 1):
    pass
"""


@pytest.fixture
def supervise(tmp_path):
    started = []

    def make(code: str, workers: int = 2, **settings) -> Supervisor:
        def command(index, _port):
            setup = f"import sys; sys.path[:0] = {sys.path!r}\n"
            return [sys.executable, "-c", setup + textwrap.dedent(code), str(tmp_path / "metrics"), str(index)]

        started.append(Supervisor(command, ServingSettings(port=0, workers=workers, **settings), tmp_path / "metrics"))
        return started[-1]

    yield make
    for one in started:
        one.close()


def pids(supervisor):
    return {seat.index: seat.process.pid for seat in supervisor._seats if seat.process}


class TestReserve:
    def test_port_0_becomes_a_free_port_that_workers_can_share(self):
        with reserve("127.0.0.1", 0) as holder:
            port = holder.getsockname()[1]
            assert port > 0
            with listen("127.0.0.1", port) as one, listen("127.0.0.1", port) as two:
                assert one.getsockname() == two.getsockname()

    def test_a_port_on_which_somebody_listens_is_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(PlatformError, match=f"port {port} of 127.0.0.1 is in use") as caught:
                reserve("127.0.0.1", port)
        assert "serving.port" in caught.value.hint

    def test_a_port_of_another_service_of_ours_is_in_use_from_the_moment_it_is_reserved(self):
        with reserve("127.0.0.1", 0) as holder:
            port = holder.getsockname()[1]
            with pytest.raises(PlatformError, match="is in use"):
                reserve("127.0.0.1", port)
            with listen("127.0.0.1", port), pytest.raises(PlatformError, match="is in use"):
                reserve("127.0.0.1", port)

    def test_a_port_can_be_reserved_again_at_once_after_it_was_let_go(self):
        with reserve("127.0.0.1", 0) as holder:
            port = holder.getsockname()[1]
            with listen("127.0.0.1", port) as listening, socket.create_connection(("127.0.0.1", port)):
                listening.setblocking(True)
                listening.accept()[0].close()
        with reserve("127.0.0.1", port) as again:
            assert again.getsockname()[1] == port

    def test_an_address_that_is_not_ours_cannot_be_listened_on(self):
        with pytest.raises(PlatformError, match=r"cannot listen on port 8080 of 192\.0\.2\.1") as caught:
            reserve("192.0.2.1", 8080)
        assert "serving.host" in caught.value.hint


def test_a_port_in_use_starts_nothing(supervise):
    one = supervise(READY.format(before=""))
    with socket.create_server(("127.0.0.1", 0)) as other:
        one._settings = ServingSettings(port=other.getsockname()[1])
        with pytest.raises(PlatformError, match="is in use"):
            one.start()
    assert pids(one) == {}


def test_all_workers_are_waited_for_and_what_they_counted_before_is_forgotten(supervise, tmp_path):
    Meters(tmp_path / "metrics", 7).server.taken(5)
    one = supervise(READY.format(before=""), workers=3)
    one.start()
    one.wait_ready(60)
    assert one.port > 0
    assert {status.index: status.pid for status in one.status()} == pids(one)
    assert len(pids(one)) == 3
    assert [status.index for status in read(tmp_path / "metrics").workers] == [0, 1, 2]


def test_a_worker_that_dies_is_replaced_and_the_others_are_left_alone(supervise):
    one = supervise(READY.format(before=""))
    one.start()
    one.wait_ready(60)
    before = pids(one)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: one.look() or (one._seats[0].restarts == 1 and len(pids(one)) == 2))
    one.wait_ready(60)
    after = pids(one)
    assert after[0] != before[0]
    assert after[1] == before[1]


def no_room(*_, **__):
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_a_worker_that_cannot_be_started_is_tried_again_and_the_others_are_left_alone(supervise, monkeypatch, caplog):
    one = supervise(READY.format(before=""))
    one.start()
    one.wait_ready(60)
    before = pids(one)
    with monkeypatch.context() as patched:
        patched.setattr(module.subprocess, "Popen", no_room)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: one.look() or one._seats[0].restarts == 3)
        assert pids(one) == {1: before[1]}
        assert one._seats[0].delay_s > module.FIRST_DELAY_S
    assert "worker 0 cannot be started" in caplog.text
    wait_until(lambda: one.look() or len(pids(one)) == 2)
    assert pids(one)[1] == before[1]


def test_workers_of_which_nothing_can_be_read_are_left_alone_and_that_is_told_once(supervise, monkeypatch, caplog):
    one = supervise(READY.format(before=""), hang_s=0.01)
    one.start()
    one.wait_ready(60)
    before = pids(one)

    def statuses(_folder):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module.metrics, "statuses", statuses)
    for _ in range(5):
        one.look()
        assert one.status() == []
    assert pids(one) == before
    assert caplog.text.count("cannot be read") == 1


BEATS = """
import itertools
for beat in itertools.count():
    meters.report("ready", 0, beat)
    time.sleep(0.05)
"""


def test_a_worker_that_does_not_move_is_killed_and_replaced_and_one_that_does_is_left_alone(supervise):
    one = supervise(READY.format(before=BEATS), hang_s=60)
    one.start()
    one.wait_ready(60)
    before = pids(one)
    os.kill(before[0], signal.SIGSTOP)

    def replaced():
        one.look()
        seen = one._watchdog._seen
        if before[0] in seen:
            seen[before[0]] = seen[before[0]][0], 60.0  # all but a moment of the time in which it may be silent
        return one._seats[0].restarts == 1

    wait_until(replaced)
    one.wait_ready(60)
    after = pids(one)
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_worker_that_ends_again_and_again_is_started_more_and_more_rarely_and_is_told(supervise, monkeypatch):
    one = supervise("raise SystemExit(3)", workers=1)
    one.start()
    with pytest.raises(PlatformError, match="worker 0 ends as soon as it is started"):
        one.wait_ready(60)
    (seat,) = one._seats
    delays = []
    for _ in range(12):
        if seat.process:
            seat.process.wait()
            one.look()
        else:
            seat.due_s = 0.0
            one.look()
        delays.append(seat.delay_s)
    assert delays == sorted(delays)
    assert delays[-1] > delays[0] >= module.FIRST_DELAY_S
    assert max(delays) <= module.LONGEST_DELAY_S


def test_workers_that_do_not_become_ready_are_told(supervise):
    one = supervise(READY.format(before="os.read(0, 1)"), workers=1)
    one.start()
    with pytest.raises(PlatformError, match=r"not ready after 0\.2 s") as caught:
        one.wait_ready(0.2)
    assert "/v2/health/ready" in caught.value.hint


def test_a_worker_that_does_not_end_in_time_is_killed(supervise, monkeypatch):
    monkeypatch.setattr(module, "DRAIN_S", -4.9)
    one = supervise(READY.format(before="signal.signal(signal.SIGTERM, signal.SIG_IGN)"), workers=1)
    one.start()
    one.wait_ready(60)
    (process,) = [seat.process for seat in one._seats]
    one.close()
    assert process.returncode == -signal.SIGKILL


RUN = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from tests.serving_rig import Rig
from seakeep.config import ServingSettings
from seakeep.serving.supervisor import Supervisor
rig = Rig(Path(sys.argv[1]))
one = Supervisor(rig.command, ServingSettings(port=0), rig.metrics)
one.start()
one.wait_ready(60)
print(one.port, *(status.pid for status in one.status()), flush=True)
while True:
    one.look()
    time.sleep(0.05)
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def service(rig):
    """A supervisor in a process of its own: the process, its port, and its workers."""
    rig.releases.put(rig.put(1))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN.format(path=sys.path), str(rig.folder)], stdout=subprocess.PIPE, text=True
    )
    port, *workers = map(int, process.stdout.readline().split())
    yield process, port, workers
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.slow
def test_workers_whose_supervisor_was_killed_end_by_themselves(service):
    process, port, workers = service
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(alive, workers)))
    with reserve("127.0.0.1", port):
        pass


def test_supervised_workers_answer(rig):
    rig.releases.put(rig.put(1))

    async def scenario(port):
        client = Client("127.0.0.1", port)
        try:
            return await client.post(PREDICT, body(row()))
        finally:
            await client.close()

    with supervised(rig) as one:
        status, _ = run(scenario(one.port))
    assert status == 200


GROWING = """
import os, sys
from pathlib import Path
from seakeep.serving.metrics import Meters
from seakeep.serving.vitals import anonymous_bytes
number = int(sys.argv[2])
meters = Meters(Path(sys.argv[1]), number)
meters.settled(anonymous_bytes(os.getpid()))
meters.report("ready", 0, 0)
if number == 0:
    while not (Path(sys.argv[1]) / "grow").exists():
        pass
    held = b"x" * (150 << 20)
while os.read(0, 1):
    pass
"""


class TestCeiling:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch):
        monkeypatch.setattr(module, "_WEIGH_S", 0.01)

    def begin(self, one, folder):
        """Start, and let the worker grow when it is ready."""
        one.start()
        one.wait_ready(60)
        (folder / "metrics" / "grow").touch()

    def test_a_worker_that_has_grown_is_replaced_by_one_with_another_number_that_was_ready_before(
        self, supervise, tmp_path, caplog
    ):
        one = supervise(GROWING, worker_memory_mb=128)
        self.begin(one, tmp_path)
        before = pids(one)
        seen = []

        def replaced():
            one.look()
            seen.append({worker.state for worker in one.status()})
            return sorted(pids(one)) == [1, 2] and not one._leaving

        wait_until(replaced)
        assert pids(one)[1] == before[1]
        assert not alive(before[0])
        assert all(states == {"ready"} for states in seen)
        assert "worker 0 has grown to " in caplog.text
        for _ in range(20):
            one.look()
        assert sorted(pids(one)) == [1, 2]

    def test_a_worker_that_is_large_from_the_start_is_kept_and_that_is_told_once(self, supervise, caplog):
        one = supervise(READY.format(before="held = b'x' * (50 << 20)"), worker_memory_mb=32)
        one.start()
        one.wait_ready(60)
        before = pids(one)
        wait_until(lambda: one.look() or "from the start" in caplog.text)
        for _ in range(20):
            time.sleep(0.01)
            one.look()
        assert pids(one) == before
        (said,) = [record.getMessage() for record in caplog.records if "from the start" in record.getMessage()]
        assert said.endswith("MiB from the start: serving.worker_memory_mb = 32 is no ceiling for it")

    def test_a_successor_that_fails_leaves_the_worker_in_its_place(self, supervise, tmp_path, caplog):
        code = "import sys\nif int(sys.argv[2]) == 1: raise SystemExit(5)\n" + GROWING.replace("150 <<", "130 <<")
        one = supervise(code, workers=1, worker_memory_mb=150)
        self.begin(one, tmp_path)
        before = pids(one)
        wait_until(lambda: one.look() or "did not become ready" in caplog.text)
        one.look()
        assert pids(one) == before
        assert one._seats[0].successor is None

    def test_a_successor_that_cannot_be_started_leaves_the_worker_in_its_place(
        self, supervise, tmp_path, monkeypatch, caplog
    ):
        one = supervise(GROWING.replace("150 <<", "130 <<"), workers=1, worker_memory_mb=150)
        self.begin(one, tmp_path)
        before = pids(one)
        monkeypatch.setattr(module.subprocess, "Popen", no_room)
        wait_until(lambda: one.look() or "worker 1 cannot be started" in caplog.text)
        for _ in range(5):
            one.look()
        assert pids(one) == before
        assert caplog.text.count("cannot be started") == 1

    def test_a_worker_that_is_killed_while_its_successor_starts_is_succeeded_by_it(self, supervise, tmp_path):
        one = supervise(GROWING, workers=1, worker_memory_mb=128)
        self.begin(one, tmp_path)
        before = pids(one)
        wait_until(lambda: one.look() or one._seats[0].successor or 0 not in pids(one))
        if 0 in pids(one):
            os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: one.look() or list(pids(one)) == [1])
        one.wait_ready(60)
        assert one._seats[0].successor is None
        assert alive(pids(one)[1])

    def test_no_ceiling_is_never_weighed(self, supervise, monkeypatch):
        one = supervise(READY.format(before=""), worker_memory_mb=0)
        monkeypatch.setattr(one, "_weigh", lambda *_: pytest.fail("it was weighed"))
        one.start()
        one.wait_ready(60)
        one.look()
