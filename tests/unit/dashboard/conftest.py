from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any
from urllib.parse import unquote

import pytest
from tests.unit.dashboard.simulated import SimulatedSource

from seakeep.dashboard.app import create_app


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: Any, address: str, *, method: str = "GET", raises: bool = True, **headers: str) -> Answer:
    """One request, given to the application as a server would give it."""
    path, _, query = address.partition("?")
    sent = {"host": "127.0.0.1:8081", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value],
        "server": ("127.0.0.1", 8081),
        "client": ("127.0.0.1", 50_000),
    }
    messages: list[Any] = []
    pending = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if not pending:
            await asyncio.Event().wait()  # the client stays: a server says nothing until it goes
        return pending.pop()

    async def send(message: Any) -> None:
        messages.append(message)

    async def run() -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            if raises:
                raise

    asyncio.run(run())
    start = messages[0]
    return Answer(
        status=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        body=b"".join(message.get("body", b"") for message in messages[1:]),
    )


@pytest.fixture(scope="session")
def source() -> SimulatedSource:
    return SimulatedSource()


@pytest.fixture
def app(source: SimulatedSource) -> Any:
    return create_app(source, name="flights (simulated)")
