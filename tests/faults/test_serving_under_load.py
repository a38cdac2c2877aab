"""Faults under load, with an account of every request: the supervisor killed, the recorder's thread dead, no descriptors
left, and an end in order with clients of both transports.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from tests.asking import Asker, GrpcAsker, settle
from tests.serving_rig import Rig
from tests.serving_runs import PATIENT_MS, free_port, run, serving, supervised, until
from tests.unit.serving.test_supervisor import RUN, alive

from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings, ServingSettings
from seakeep.recorder.appender import Appender
from seakeep.recorder.query import gaps
from seakeep.recorder.writer import Writer
from seakeep.serving.supervisor import Supervisor


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.releases.put(rig.put(1))
    rig.recorder.mkdir()
    return rig


def begin(askers, over):
    return [asyncio.ensure_future(asker.go_on(over)) for asker in askers]


def asked(askers):
    return sum(asker.asked for asker in askers)


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.slow
def test_a_supervisor_killed_under_load_takes_its_workers_along_in_order_and_nothing_is_lost(rig):
    start = [sys.executable, "-c", RUN.format(path=sys.path), str(rig.folder)]
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True) as supervisor:
        port, *workers = map(int, supervisor.stdout.readline().split())

        async def scenario():
            askers, over = [Asker(f"a{number}", port) for number in range(12)], asyncio.Event()
            load = begin(askers, over)
            await until(lambda: asked(askers) > 300)
            supervisor.kill()
            await until(lambda: not any(map(alive, workers)))
            over.set()
            await asyncio.gather(*load)
            return askers

        askers = run(scenario())
    assert [asker.lost for asker in askers] == [[]] * 12
    account = settle(askers, rig.recorder)
    assert (account.refused, account.missing) == (0, 0)
    assert account.answered == account.recorded > 300


def test_a_worker_whose_recorder_has_died_ends_in_order_and_the_next_pen_counts_what_it_left(rig, monkeypatch, caplog):
    caplog.set_level("CRITICAL", "seakeep.serving")
    monkeypatch.setattr("threading.excepthook", lambda _: None)

    def pen():
        return Writer(rig.recorder, "worker-0", clock=SystemClock(), settings=RecorderSettings(commit_ms=2))

    async def scenario():
        predictions = pen()
        async with serving(rig, predictions=predictions) as service:
            askers, over = [Asker(f"a{number}", service.port) for number in range(4)], asyncio.Event()
            load = begin(askers, over)
            await until(lambda: asked(askers) > 50)
            monkeypatch.setattr(Appender, "write", lambda *_: 1 / 0)
            await until(lambda: not predictions.alive)
            await until(lambda: all(asker.unreachable for asker in askers))
            monkeypatch.undo()
            over.set()
            await asyncio.gather(*load)
        return askers

    askers = run(scenario())
    pen().close()
    assert [asker.lost for asker in askers] == [[]] * 4
    account = settle(askers, rig.recorder)
    assert account.refused == 0
    assert account.missing > 0
    assert [(gap.count, gap.reason) for gap in gaps(rig.recorder)] == [(account.missing, "crash")]


@pytest.mark.slow
def test_the_end_of_a_service_under_load_is_in_order_for_clients_of_both_transports(rig):
    pytest.importorskip("grpc")
    grpc_port = free_port()

    async def scenario(service):
        by_http = [Asker(f"h{number}", service.port) for number in range(8)]
        by_grpc = [GrpcAsker(f"g{number}", grpc_port) for number in range(8)]
        over = asyncio.Event()
        load = begin([*by_http, *by_grpc], over)
        await until(lambda: min(asked(by_http), asked(by_grpc)) > 200)
        ending = threading.Thread(target=service.close)
        ending.start()
        await until(lambda: not ending.is_alive())
        await until(lambda: all(one.refused for one in by_grpc))
        over.set()
        await asyncio.gather(*load)
        return by_http, by_grpc

    chosen = ServingSettings(port=0, grpc_port=grpc_port, queue_ms=PATIENT_MS)
    (rig.folder / "settings.json").write_bytes(msgspec.json.encode(chosen))
    service = Supervisor(rig.command, chosen, rig.metrics)
    service.start()
    try:
        service.wait_ready(60)
        by_http, by_grpc = run(scenario(service))
    finally:
        service.close()
    assert [asker.lost for asker in by_http] == [[]] * 8
    assert {code for asker in by_grpc for code in asker.refused.values()} <= {"UNAVAILABLE", "CANCELLED"}
    account = settle([*by_http, *by_grpc], rig.recorder)
    assert account.missing == 0
    assert account.answered == account.recorded, "what was refused was not executed"


def test_a_worker_without_descriptors_serves_those_it_has_and_takes_others_when_there_are_some_again(rig):
    async def scenario(service):
        (worker,) = service.status()
        held = descriptors(worker.pid)
        askers = [Asker(f"a{number}", service.port) for number in range(4)]
        for asker in askers:
            await asker.connect()
            await asker.ask()
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (held + 12, held + 12))
        over = asyncio.Event()
        with contextlib.ExitStack() as crowd:
            for _ in range(60):
                one = crowd.enter_context(socket.socket())
                one.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    one.connect(("127.0.0.1", service.port))
            load = begin(askers, over)
            await until(lambda: asked(askers) > 400)
        late = Asker("late", service.port)
        await until(lambda: descriptors(worker.pid) < held + 12)
        assert await late.connect()
        await late.ask()
        over.set()
        await asyncio.gather(*load)
        await late.leave()
        assert [one.pid for one in service.status()] == [worker.pid]
        return [*askers, late]

    with supervised(rig, workers=1) as service:
        askers = run(scenario(service))
    account = settle(askers, rig.recorder)
    assert (account.refused, account.lost, account.missing) == (0, 0, 0)
    assert askers[-1].answered


def test_a_stopped_worker_goes_on_where_it_was(rig):
    """A pause shorter than its supervisor's patience: nobody is killed, every request is answered."""

    async def scenario(service):
        (worker,) = service.status()
        askers, over = [Asker(f"a{number}", service.port) for number in range(4)], asyncio.Event()
        load = begin(askers, over)
        await until(lambda: asked(askers) > 100)
        os.kill(worker.pid, signal.SIGSTOP)
        await asyncio.sleep(0.2)
        os.kill(worker.pid, signal.SIGCONT)
        before = asked(askers)
        await until(lambda: asked(askers) > before + 100)
        over.set()
        await asyncio.gather(*load)
        assert [one.pid for one in service.status()] == [worker.pid]
        return askers

    with supervised(rig, workers=1) as service:
        askers = run(scenario(service))
    account = settle(askers, rig.recorder)
    assert (account.refused, account.lost, account.missing) == (0, 0, 0)
