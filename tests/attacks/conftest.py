"""A worker in a process of its own, attacked with raw bytes: what it says, what it takes up, and whether it still serves."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving_rig import Rig
from tests.serving_runs import INFER, PREDICT, body, free_port, request, row, statuses, supervised

MOST_MB = 160
"""What one attack may make a worker take up for a moment, above what it holds: twenty times the largest body."""


class Target:
    """A worker under attack."""

    def __init__(self, port: int, grpc_port: int, pid: int) -> None:
        self.port, self.grpc_port, self.pid = port, grpc_port, pid

    def say(self, *pieces: bytes, until_closed: bool = True) -> bytes:
        """All that the worker says to some bytes; it may stop reading before they are all sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    client.sendall(piece)
            said = b""
            with contextlib.suppress(ConnectionResetError):
                while part := client.recv(65_536):
                    said += part
                    if not until_closed and b"\r\n\r\n" in said:
                        break
            return said

    def post(self, path: str, sent: bytes, *lines: bytes) -> int:
        """The status of the one answer to a body, or 0 if the connection was closed without one."""
        said = self.say(request(path, sent, b"connection: close", *lines))
        found = statuses(said)
        assert len(found) <= 1
        assert found == [200] or len(said) < 2000, "an error repeats little of what was sent"
        return found[0] if found else 0

    @contextlib.contextmanager
    def unhurt(self, most_mb: int = MOST_MB) -> Iterator[None]:
        """What happens inside takes up bounded memory, and afterwards the same process serves as before."""
        proc = Path(f"/proc/{self.pid}")
        (proc / "clear_refs").write_text("5")  # the peak begins anew
        before = self._kb("VmRSS")
        yield
        assert self.post(PREDICT, body(row())) == 200
        assert (self._kb("VmHWM") - before) / 1024 < most_mb

    def _kb(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@pytest.fixture(scope="session")
def target(tmp_path_factory) -> Iterator[Target]:
    """One worker for all attacks of a session: what the first leaves behind, the last would find."""
    rig = Rig(tmp_path_factory.mktemp("target"))
    rig.releases.put(rig.put(1))
    grpc_port = free_port()
    with supervised(rig, workers=1, grpc_port=grpc_port) as service:
        (worker,) = service.status()
        one = Target(service.port, grpc_port, worker.pid)
        assert one.post(PREDICT, body(row())) == one.post(INFER, INFER_BODY) == 200
        yield one
        assert [worker.pid for worker in service.status()] == [one.pid], "it was never replaced"


INFER_BODY = (
    b'{"inputs":[{"name":"carrier_recent.late_1h","datatype":"FP64","shape":[1],"data":[1.0]},'
    b'{"name":"distance","datatype":"FP64","shape":[1],"data":[500.0]},'
    b'{"name":"carrier","datatype":"BYTES","shape":[1],"data":["AA"]}]}'
)
