import asyncio
import errno
import os
import pydoc
import signal
import socket
import struct
import subprocess
import sys

import pytest
from tests.serving_rig import ListSink
from tests.serving_runs import PREDICT, body, request, row, run, statuses, until

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError, RecorderError
from seakeep.serving.metrics import read
from seakeep.serving.supervisor import reserve
from seakeep.serving.worker import Worker, cannot_listen, is_loopback, listen, loopback_names, run_worker


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
        ("192.168.0.1", False), ("localhost.evil.example", False), ("", False), ("127.0.0.1.evil.example", False),
    ],
)  # fmt: skip
def test_only_loopback_is_loopback(host, loopback):
    assert is_loopback(host) is loopback
    names = loopback_names(host)
    assert bool(names) is loopback
    assert not loopback or {b"localhost", b"127.0.0.1", b"[::1]", host.encode()} <= names


def test_why_an_address_cannot_be_listened_on_is_told_with_what_to_do():
    used = cannot_listen("127.0.0.1", 80, OSError(errno.EADDRINUSE, "x"))
    assert used.message == "port 80 of 127.0.0.1 is in use"
    assert "SEAKEEP_SERVING__PORT" in used.hint
    other = cannot_listen("127.0.0.1", 80, PermissionError(errno.EACCES, "Permission denied"))
    assert other.message == "cannot listen on port 80 of 127.0.0.1: Permission denied"
    assert "above 1023" in other.hint


def test_a_worker_does_not_listen_where_a_stranger_does():
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port} of 127.0.0.1 is in use"):
            listen("127.0.0.1", port)


def test_a_worker_that_cannot_listen_says_so(rig):
    rig.releases.put(rig.put(1))
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        settings = ServingSettings(port=stranger.getsockname()[1])
        with pytest.raises(PlatformError, match="is in use"):
            run_worker(rig.context(0, settings))


def test_ending_closes_the_recorder_s_pens_and_says_that_it_has_stopped(rig, serve, on_loop):
    rig.releases.put(rig.put(1))
    states = []

    async def scenario():
        async with serve() as service:
            states.append(read(rig.metrics).workers[0].state)
            assert not service.context.predictions.closed
            return service.context

    context = on_loop(scenario())
    states.append(read(rig.metrics).workers[0].state)
    assert states == ["ready", "stopped"]
    assert (context.predictions.closed, context.events.closed) == (True, True)


def test_a_pen_that_cannot_be_closed_does_not_keep_the_other_open(rig, serve, on_loop, caplog):
    class Stuck(ListSink):
        def close(self):
            raise RecorderError("the disk is full")

    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve(predictions=Stuck()) as service:
            await service.predict()
            return service.context

    context = on_loop(scenario())
    assert context.events.closed
    assert read(rig.metrics).workers[0].state == "stopped"


@pytest.mark.parametrize("how", ["lifeline", signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_when_it_is_told_to_or_its_starter_is_gone(rig, how):
    rig.releases.put(rig.put(1))
    end, starter = os.pipe()

    async def scenario():
        with reserve("127.0.0.1", 0) as holder:
            settings = ServingSettings(port=holder.getsockname()[1])
            worker = Worker(rig.context(0, settings, lifeline=end))
            task = asyncio.create_task(worker.run())
            await until(lambda: read(rig.metrics).workers[0].state == "ready")
            if how == "lifeline":
                os.close(starter)
            else:
                os.kill(os.getpid(), how)
            await asyncio.wait_for(task, 20)

    run(scenario())
    assert read(rig.metrics).workers[0].state == "stopped"
    os.close(end)
    if how != "lifeline":
        os.close(starter)


def test_a_worker_that_is_stopped_while_it_loads_ends(rig):
    rig.releases.put(rig.put(1))

    async def scenario():
        worker = Worker(rig.context(0, ServingSettings(port=0)))
        worker.stop()
        await asyncio.wait_for(worker.run(), 20)

    run(scenario())


HANGS = """
import sys, threading
sys.path[:0] = {path!r}
from pathlib import Path
from tests.serving_rig import FileBundles, Rig
from seakeep.config import ServingSettings
from seakeep.serving import apart, worker

apart.LEAVE_S = 0.1

def hang(*_):
    print("hangs", flush=True)
    threading.Event().wait()

FileBundles.open = hang
rig = Rig(Path(sys.argv[1]))
context = rig.context(0, ServingSettings(port=0), lifeline=0)
worker.run_worker(context)
print("closed" if context.predictions.closed and context.events.closed else "open", flush=True)
"""


def test_a_worker_whose_load_hangs_ends_when_its_starter_is_gone(rig):
    rig.releases.put(rig.put(1))
    command = [sys.executable, "-c", HANGS.format(path=sys.path), str(rig.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"hangs\n"
            told, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, told) == (0, b"closed\n")


def test_requests_on_their_way_are_answered_and_recorded_when_it_ends(rig, serve, on_loop, monkeypatch):
    monkeypatch.setattr("seakeep.serving.worker._QUIET_S", 0.1)
    rig.releases.put(rig.put(1))
    head, _, sent = request(PREDICT, body(row("late"))).partition(b"\r\n\r\n")

    async def scenario():
        async with serve() as service, service.connect() as (reader, writer), service.connect() as silent:
            writer.write(head + b"\r\n\r\n" + sent[:-1])
            await until(lambda: len(service.worker._http.connections) == 3)
            await until(lambda: any(one._exchange for one in service.worker._http.connections))
            service.worker.stop()
            await until(lambda: service.worker._protocol.draining)
            writer.write(sent[-1:])
            async with asyncio.timeout(20):
                return await reader.read(), await silent[0].read(), service.predictions

    answer, silence, records = on_loop(scenario())
    assert statuses(answer) == [200]
    assert b"\r\nconnection: close\r\n" in answer
    assert silence == b""
    assert [record.key for record in records] == ["late"]


def test_a_connection_made_at_the_last_moment_is_answered(rig, serve, on_loop, monkeypatch):
    """It is in the kernel's queue when the worker begins to drain: nobody has accepted it yet."""
    rig.releases.put(rig.put(1))
    late = socket.socket()

    async def scenario():
        async with serve() as service:
            report = service.worker._report

            def connect_and_report(state=None):
                if state == "draining":
                    late.connect(("127.0.0.1", service.port))
                    late.sendall(request(PREDICT, body(row("late"))))
                    late.setblocking(False)
                report(state)

            monkeypatch.setattr(service.worker, "_report", connect_and_report)
            service.worker.stop()
            await until(lambda: service.predictions)
            return await asyncio.get_running_loop().sock_recv(late, 4096)

    with late:
        answer = on_loop(scenario())
    assert statuses(answer) == [200]
    assert b"\r\nconnection: close\r\n" in answer


def test_a_client_that_never_ends_its_request_does_not_keep_the_worker(rig, serve, on_loop, monkeypatch):
    monkeypatch.setattr("seakeep.serving.worker.DRAIN_S", 0.05)
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service, service.connect() as (reader, writer):
            writer.write(request(PREDICT, body(row()))[:-1])
            await until(lambda: any(one._exchange for one in service.worker._http.connections))
            service.worker.stop()
            return await reader.read()

    assert statuses(on_loop(scenario())) == [408]
    assert read(rig.metrics).workers[0].state == "stopped"


def test_an_answer_whose_client_has_left_is_recorded_before_it_ends(rig, serve, on_loop, monkeypatch):
    monkeypatch.setattr("seakeep.serving.worker._QUIET_S", 0.05)
    rig.releases.put(rig.put(1))
    held = []

    async def scenario():
        async with serve() as service:
            dataplane = service.worker._dataplane
            monkeypatch.setattr(dataplane, "_defer", held.append)
            async with service.connect() as (_, writer):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.write(request(PREDICT, body(row("left"))))
                await until(lambda: held)
                writer.transport.abort()
            await until(lambda: len(service.worker._http.connections) == 1)  # the fixture's own
            service.worker.stop()
            await until(lambda: not service.worker._http.connections)
            await asyncio.sleep(0.1)
            assert not service.context.predictions.closed
            dataplane._defer = asyncio.get_running_loop().call_soon
            held.pop()()
            await until(lambda: service.context.predictions.closed)
            return service.context.predictions.records

    assert [record.key for record in on_loop(scenario())] == ["left"]


def test_what_waits_for_its_shadow_is_scored_before_it_ends(rig, serve, on_loop):
    from tests.serving_rig import candidate

    rig.releases.put(rig.put(1), candidate(rig.put(2), 0.0))

    async def scenario():
        async with serve() as service:
            await service.predict(*[row(f"k{n}") for n in range(3000)])
            return service.context

    records = on_loop(scenario()).predictions.records
    assert [record.role for record in records].count("shadow") == 3000


LOOKS = {"seakeep.serving.http.HttpServer": "sweep", "seakeep.serving.worker.Worker": "_report"}


@pytest.mark.parametrize("owner", LOOKS)
@pytest.mark.parametrize("ends", ["recorder", "hang"])
def test_a_look_that_fails_every_time_is_told_and_the_others_go_on(
    rig, serve, on_loop, monkeypatch, caplog, owner, ends
):
    monkeypatch.setattr("seakeep.serving.worker.SWEEP_S", 0.01)
    rig.releases.put(rig.put(1))
    whole, name = getattr(pydoc.locate(owner), LOOKS[owner]), LOOKS[owner]
    broken = []

    def flawed(self, *state):
        if broken and not state:
            raise OSError("a fault of ours")
        return whole(self, *state)

    monkeypatch.setattr(f"{owner}.{name}", flawed)

    async def scenario():
        async with serve() as service:
            broken.append(owner)
            await until(lambda: caplog.text.count("a fault of ours") > 1)
            await service.predict()
            assert not service.worker._stop.is_set()
            if ends == "recorder":
                service.context.predictions.alive = False
            else:
                monkeypatch.setattr(service.worker._dataplane.execution, "end_hanging", lambda _: ["late:1"])
                monkeypatch.setattr("faulthandler.dump_traceback", lambda **_: None)
            await until(service.worker._stop.is_set)
            return service.context

    context = on_loop(scenario())
    assert (context.predictions.closed, context.events.closed) == (True, True)
    assert read(rig.metrics).workers[0].state == "stopped"


def test_a_worker_whose_end_fails_loses_no_record(rig, serve, on_loop, monkeypatch):
    rig.releases.put(rig.put(1))
    contexts = []

    async def scenario():
        async with serve() as service:
            contexts.append(service.context)
            monkeypatch.setattr(service.worker._pulse, "stop", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        on_loop(scenario())
    (context,) = contexts
    assert (context.predictions.closed, context.events.closed) == (True, True)
    assert read(rig.metrics).workers[0].state == "stopped"
