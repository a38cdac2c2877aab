"""Runs the rig's service: one worker in this process, or several processes under a supervisor; and what to ask them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any
from unittest import mock

import msgspec
from tests.serving_rig import Rig

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError
from seakeep.serving.client import Client
from seakeep.serving.supervisor import Supervisor, reserve
from seakeep.serving.worker import Worker, WorkerContext

PREDICT = "/v1/models/late/predict"
INFER = "/v2/models/late/infer"

PATIENT_MS = 60_000
"""How long rows may wait where nothing else is said: on a slow machine nobody is refused, unless a test is about that."""
PATIENCE_S = 60.0
"""Longest wait for something that a quiet machine does at once."""


def row(key: str = "f1", distance: Any = 500.0, carrier: Any = "AA", **more: Any) -> dict[str, Any]:
    return {"flight_id": key, "distance": distance, "carrier": carrier, **more}


def body(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"rows": rows}).encode()


def events_body(*events: dict[str, Any]) -> bytes:
    return json.dumps({"events": events}).encode()


def request(path: str, sent: bytes = b"", *lines: bytes, method: bytes = b"POST") -> bytes:
    """The bytes of a request; ``lines`` are further headers."""
    head = b"".join(line + b"\r\n" for line in (b"host: localhost", *lines, b"content-length: %d" % len(sent)))
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, path.encode("latin-1"), head, sent)


def statuses(answers: bytes) -> list[int]:
    """Statuses of the answers in what a server said."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]


class Service:
    """One worker in this process, on a real socket."""

    def __init__(self, worker: Worker, context: WorkerContext, client: Client, port: int) -> None:
        self.worker, self.context, self.client, self.port = worker, context, client, port

    @property
    def predictions(self) -> list[Any]:
        return self.context.predictions.records

    @property
    def events(self) -> list[Any]:
        return self.context.events.records

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def raw(self, data: bytes, *, timeout_s: float = PATIENCE_S) -> bytes:
        """Everything the server says to some bytes until it closes."""
        async with self.connect() as (reader, writer), asyncio.timeout(timeout_s):
            writer.write(data)
            await writer.drain()
            return await reader.read()

    async def predict(self, *rows: dict[str, Any]) -> dict[str, Any]:
        """A prediction that must succeed."""
        status, answer = await self.client.post(PREDICT, body(*rows or (row(),)))
        assert status == 200, answer
        return json.loads(answer)


@contextlib.asynccontextmanager
async def serving(rig: Rig, *, ready: bool = True, **changes: Any) -> AsyncIterator[Service]:
    """Keyword arguments are settings, or parts of the context; ``ready=False`` does not wait for all to be loaded."""
    known = ServingSettings.__struct_fields__
    changes = {"queue_ms": PATIENT_MS, **changes}
    # To look through all that a process of tests holds takes longer than the test.
    with mock.patch("seakeep.serving.worker.gc"), reserve("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        settings = ServingSettings(port=port, **{key: changes.pop(key) for key in list(changes) if key in known})
        context = rig.context(0, settings, **changes)
        worker = Worker(context)
        task = asyncio.create_task(worker.run())
        client = Client("127.0.0.1", port, connections=8, timeout_s=PATIENCE_S)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    assert not task.done(), task.exception()
                    with contextlib.suppress(OSError):
                        status, _ = await client.get("/v2/health/ready")
                        if status == 200 or not ready:
                            break
                    await asyncio.sleep(0.01)
            yield Service(worker, context, client, port)
        finally:
            await client.close()
            worker.stop()
            await asyncio.wait_for(task, PATIENCE_S)


def free_port() -> int:
    """A port nobody uses, of those that the system does not hand out by itself: nobody gets it by accident."""
    for port in range(20_000 + os.getpid() % 9_000, 32_000):
        with contextlib.suppress(PlatformError), reserve("127.0.0.1", port):
            return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def supervised(rig: Rig, **settings: Any) -> Iterator[Supervisor]:
    """Workers in processes of their own, ready, and looked after until the end."""
    chosen = ServingSettings(port=0, **{"queue_ms": PATIENT_MS, **settings})
    (rig.folder / "settings.json").write_bytes(msgspec.json.encode(chosen))
    supervisor = Supervisor(rig.command, chosen, rig.metrics)
    supervisor.start()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            supervisor.look()

    looking = threading.Thread(target=look)
    try:
        supervisor.wait_ready(PATIENCE_S)
        looking.start()
        yield supervisor
    finally:
        over.set()
        if looking.is_alive():
            looking.join()
        supervisor.close()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the event loop that workers use."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


async def until(condition: Callable[[], Any], limit_s: float = PATIENCE_S) -> Any:
    """The first true value of a condition that is looked at again and again."""
    async with asyncio.timeout(limit_s):
        while not (found := condition()):  # noqa: ASYNC110 -- what is waited for knows no event
            await asyncio.sleep(0.005)
    return found


def wait_until(condition: Callable[[], Any], limit_s: float = PATIENCE_S) -> Any:
    """As :func:`until`, without an event loop."""
    deadline_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, "it did not come true in time"
        time.sleep(0.01)
    return found
