"""A gRPC server on the worker's event loop and on a port that it shares with the other workers."""

from __future__ import annotations

import grpc

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError
from seakeep.serving.grpc.service import InferenceService

IDLE_S = 300
"""How long a connection may be silent, in seconds."""


class GrpcServer:
    """Serves the protocol until it is closed; to be made inside the event loop.

    Parameters
    ----------
    settings
        Where to listen, and what a client may send.
    """

    def __init__(self, service: InferenceService, settings: ServingSettings) -> None:
        self._service, self._settings = service, settings
        self._server = grpc.aio.server(
            handlers=[service.handler()],
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", settings.max_in_flight),
                ("grpc.max_connection_idle_ms", IDLE_S * 1000),
            ],
            maximum_concurrent_rpcs=settings.max_in_flight,
        )

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        PlatformError
            The address cannot be used.
        """
        host, port = self._settings.host, self._settings.grpc_port
        try:
            self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError as error:
            message = f"cannot listen on port {port} of {host} for gRPC"
            raise PlatformError(message, hint="stop what listens there, or set another serving.grpc_port") from error
        await self._server.start()

    async def close(self, grace_s: float) -> None:
        """Take no more calls; answer what is on its way, for at most ``grace_s`` seconds."""
        self._service.end_streams()
        await self._server.stop(grace_s)
