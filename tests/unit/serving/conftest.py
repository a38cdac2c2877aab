from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.serving_rig import Rig

from seakeep.config import ServingSettings
from seakeep.serving.client import Client
from seakeep.serving.worker import Worker


class Service:
    """One worker in this process, on a real socket."""

    def __init__(self, worker: Worker, context, client: Client) -> None:
        self.worker, self.context, self.client = worker, context, client
        self.port = context.settings.port

    @property
    def predictions(self):
        return self.context.predictions.records

    @property
    def events(self):
        return self.context.events.records

    async def raw(self, data: bytes, *, timeout_s: float = 5) -> bytes:
        """Everything the server says to some bytes until it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(timeout_s):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
def serve(rig: Rig, monkeypatch):
    """``async with serve(...) as service``: keyword arguments are settings, or parts of the context."""

    @contextlib.asynccontextmanager
    async def start(*, ready: bool = True, **changes) -> AsyncIterator[Service]:
        known = ServingSettings.__struct_fields__
        settings = ServingSettings(port=free_port(), **{key: changes.pop(key) for key in list(changes) if key in known})
        context = rig.context(0, settings, **changes)
        worker = Worker(context)
        monkeypatch.setattr("gc.freeze", lambda: None)
        task = asyncio.create_task(worker.run())
        client = Client("127.0.0.1", settings.port, connections=8, timeout_s=10)
        try:
            async with asyncio.timeout(10):
                while True:
                    assert not task.done(), task.exception()
                    with contextlib.suppress(OSError):
                        status, _ = await client.get("/v2/health/ready")
                        if status == 200 or not ready:
                            break
                    await asyncio.sleep(0.01)
            yield Service(worker, context, client)
        finally:
            await client.close()
            worker.stop()
            await asyncio.wait_for(task, 15)

    return start


def run(coroutine):
    """Run a coroutine on the event loop that workers use."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


@pytest.fixture
def on_loop():
    return run
