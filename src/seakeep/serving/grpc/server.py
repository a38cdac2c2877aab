"""A gRPC server on the worker's event loop: what its connections share, how they begin, and how they end."""

from __future__ import annotations

import asyncio
import functools
import socket
import time

from seakeep.config import ServingSettings
from seakeep.serving.exchange import Limits
from seakeep.serving.grpc.connection import Connection
from seakeep.serving.grpc.service import InferenceService

IDLE_S = 300.0
"""How long a connection without calls is kept, in seconds."""


class GrpcServer:
    """Serves the protocol until it is closed; to be made inside the event loop.

    Parameters
    ----------
    settings
        What a client may send.

    Attributes
    ----------
    max_calls
        Calls of all connections at once.
    calls, buffered_bytes
        Open calls, and the bytes of messages that are on their way in or out.
    now_s
        ``time.monotonic()`` at the last sweep.
    """

    def __init__(self, service: InferenceService, settings: ServingSettings) -> None:
        self.service = service
        self.limits = Limits(body_bytes=settings.max_body_bytes, idle_s=IDLE_S)
        self.max_calls = settings.max_in_flight
        self.connections: set[Connection] = set()
        self.calls = self.buffered_bytes = 0
        self.draining = False
        self.now_s = time.monotonic()
        self.later = asyncio.get_running_loop().call_soon
        self._listening: asyncio.Server | None = None

    async def start(self, listening: socket.socket, backlog: int) -> None:
        """Accept connections on a socket."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self.connection, sock=listening, backlog=backlog)

    @property
    def connection(self) -> functools.partial[Connection]:
        """Makes the protocol of a new connection."""
        return functools.partial(Connection, self)

    def sweep(self) -> None:
        """Close what is past its time; to be called every half second."""
        self.now_s = time.monotonic()
        for connection in list(self.connections):
            connection.look()

    async def close(self, grace_s: float) -> None:
        """Take no more connections and calls; answer what is on its way, for at most ``grace_s`` seconds."""
        if self._listening:
            self._listening.close()
        self.draining = True
        for connection in list(self.connections):
            connection.part()
        until_s = time.monotonic() + grace_s
        while self.connections and time.monotonic() < until_s:
            await asyncio.sleep(0.02)
            self.sweep()
        for connection in list(self.connections):
            connection.abort()
