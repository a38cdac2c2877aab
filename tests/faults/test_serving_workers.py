"""Workers that are killed or stopped under load: what was promised is kept, and the service heals."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import msgspec
import pytest
from tests.asking import Asker, settle
from tests.serving_rig import Rig
from tests.serving_runs import PATIENT_MS, PREDICT, body, row, run, supervised, until, wait_until

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError
from seakeep.serving.client import Client
from seakeep.serving.metrics import read
from seakeep.serving.supervisor import Supervisor


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.releases.put(rig.put(1))
    rig.recorder.mkdir()
    return rig


def owner(local_port: int, pids: list[int], port: int) -> int:
    """The process that holds the server's end of a connection."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ends = [int(end.partition(":")[2], 16) for end in fields[1:3]]
        if ends == [port, local_port]:
            for pid in pids:
                for file in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        if file.readlink().name == f"socket:[{fields[9]}]":
                            return pid
    return 0


@pytest.mark.slow
def test_a_worker_killed_under_load_is_replaced_and_requests_of_the_others_go_on(rig):
    async def scenario(service):
        pids = {worker.index: worker.pid for worker in service.status()}
        askers = [Asker(f"a{number}", service.port) for number in range(24)]
        over = asyncio.Event()
        for asker in askers:
            await asker.connect()
            await asker.ask()
        owners = {asker.name: owner(asker.local_port, list(pids.values()), service.port) for asker in askers}
        assert set(owners.values()) == set(pids.values())
        load = [asyncio.ensure_future(asker.go_on(over)) for asker in askers]
        await until(lambda: sum(asker.asked for asker in askers) > 500)
        victim = pids[0]
        os.kill(victim, signal.SIGKILL)
        counts = {asker.name: asker.asked for asker in askers}
        await until(lambda: all(asker.asked > counts[asker.name] + 50 for asker in askers))
        await until(lambda: {one.state for one in service.status() if one.pid not in pids.values()} == {"ready"})
        over.set()
        await asyncio.gather(*load)
        return askers, owners, victim, pids, {worker.index: worker.pid for worker in service.status()}

    with supervised(rig) as service:
        askers, owners, victim, before, after = run(scenario(service))
        requests = sum(one.counters["requests"] for one in read(rig.metrics).versions)
    for asker in askers:
        hit = owners[asker.name] == victim
        assert len(asker.lost) <= hit
        assert hit or not asker.lost_fresh
        assert len(asker.answered) + len(asker.lost) + len(asker.lost_fresh) == asker.asked
    assert after[1] == before[1]
    assert after[0] != before[0]
    account = settle(askers, rig.recorder)
    assert account.refused == 0
    # The dead worker's counters outlive it; the requests it had answered and not yet counted are all that may be missing.
    answered = sum(len(asker.answered) for asker in askers)
    assert answered - 24 <= requests <= answered + 24


@pytest.mark.slow
def test_ending_the_service_under_load_loses_no_request_on_its_way_and_no_record_of_an_answer(rig):
    async def scenario(service):
        askers = [Asker(f"a{number}", service.port) for number in range(16)]
        over = asyncio.Event()
        for asker in askers:
            await asker.connect()
            await asker.ask()
        load = [asyncio.ensure_future(asker.go_on(over)) for asker in askers]
        await until(lambda: sum(asker.asked for asker in askers) > 300)
        ending = threading.Thread(target=service.close)
        ending.start()
        await until(lambda: not ending.is_alive())
        over.set()
        await asyncio.gather(*load)
        return askers

    chosen = ServingSettings(port=0, queue_ms=PATIENT_MS)
    (rig.folder / "settings.json").write_bytes(msgspec.json.encode(chosen))
    service = Supervisor(rig.command, chosen, rig.metrics)
    service.start()
    try:
        service.wait_ready(60)
        askers = run(scenario(service))
    finally:
        service.close()
    account = settle(askers, rig.recorder)
    assert account.answered > 300
    assert (account.refused, account.missing) == (0, 0)
    assert [asker.lost for asker in askers] == [[]] * 16
    assert all(asker.unreachable for asker in askers)
    assert {worker.state for worker in read(rig.metrics).workers} == {"stopped"}


def test_a_second_service_on_the_port_is_told_so_and_the_first_goes_on(rig, tmp_path):
    other = Rig(tmp_path / "other")
    other.releases.put(other.put(9))

    async def version(port):
        client = Client("127.0.0.1", port, timeout_s=20)
        try:
            status, answer = await client.post(PREDICT, body(row()))
        finally:
            await client.close()
        assert status == 200
        return json.loads(answer)["model_version"]

    with supervised(rig, workers=1) as service:
        second = Supervisor(other.command, ServingSettings(port=service.port), other.metrics)
        with pytest.raises(PlatformError, match=f"port {service.port} of 127.0.0.1 is in use") as caught:
            second.start()
        assert "stop what listens there" in caught.value.hint
        assert {run(version(service.port)) for _ in range(10)} == {"1"}
    assert not other.metrics.exists()


def test_a_worker_that_finds_its_port_taken_ends_with_a_clear_error(rig):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        worker = subprocess.Popen(rig.command(0, port), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        told = worker.stderr.read()
        assert worker.wait(60) == 1
        worker.stdin.close()
        worker.stderr.close()
    assert f"port {port} of 127.0.0.1 is in use" in told


@pytest.mark.slow
def test_workers_that_are_killed_again_and_again_never_take_the_service_down(rig):
    async def scenario(service):
        over = asyncio.Event()
        askers = [Asker(f"a{number}", service.port) for number in range(8)]
        load = [asyncio.ensure_future(asker.go_on(over)) for asker in askers]
        for index in (0, 1, 0, 1):
            await until(lambda: [one.state for one in service.status()] == ["ready"] * 2)
            answered = sum(len(asker.answered) for asker in askers)
            os.kill(next(one.pid for one in service.status() if one.index == index), signal.SIGKILL)
            await until(lambda before=answered: sum(len(asker.answered) for asker in askers) > before + 100)
        over.set()
        await asyncio.gather(*load)
        return askers

    with supervised(rig) as service:
        askers = run(scenario(service))
        wait_until(lambda: [one.state for one in service.status()] == ["ready"] * 2)
    assert settle(askers, rig.recorder).refused == 0
    assert all(len(asker.lost) <= 4 for asker in askers)
    assert sum(len(asker.lost) for asker in askers) > 0


@pytest.mark.slow
def test_a_model_that_leaks_is_survived_under_load_and_no_request_is_lost(rig):
    """Every request is answered once and recorded once, by workers of which each is replaced before its ceiling."""
    (rig.folder / "leak").write_text(str(1 << 16))

    async def scenario(service):
        askers = [Asker(f"a{number}", service.port) for number in range(8)]
        over = asyncio.Event()
        load = [asyncio.ensure_future(asker.go_on(over)) for asker in askers]
        seen = set()

        def grown():
            seen.update(worker.pid for worker in service.status())
            return len(seen) >= 4

        await until(grown, 60)
        over.set()
        await asyncio.gather(*load)
        return askers

    with supervised(rig, worker_memory_mb=256) as service:
        askers = run(scenario(service))
        assert len(service.status()) == 2
    assert not any(asker.lost for asker in askers)
    account = settle(askers, rig.recorder)
    assert account.answered == account.recorded
    assert (account.refused, account.missing) == (0, 0)
