import socket
import sys

import pytest
from tests.serving_runs import free_port

from seakeep.config import ServingSettings
from seakeep.errors import PlatformError
from seakeep.serving.supervisor import Supervisor
from seakeep.serving.worker import Worker, listen

pytest.importorskip("grpc")

from seakeep.serving.grpc.server import GrpcServer
from seakeep.serving.grpc.service import InferenceService


@pytest.fixture
def server(on_loop):
    """Starts a server on each port, and closes them."""

    def start(*ports, host="127.0.0.1"):
        async def whole():
            service = InferenceService(None, authenticator=None, meters=None)
            servers = [GrpcServer(service, ServingSettings(host=host, grpc_port=port)) for port in ports]
            for one, port in zip(servers, ports, strict=True):
                await one.start(listen(host, port, "serving.grpc_port"), 8)
            for one in servers:
                await one.close(0)

        on_loop(whole())

    return start


def test_workers_share_the_port(server):
    port = free_port()
    server(port, port)


def test_an_address_of_the_sixth_version_is_one_too(server):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server(free_port(), host="::1")


def test_a_port_that_cannot_be_used_is_named(server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port} of 127.0.0.1 is in use") as caught:
            server(port)
    assert "serving.grpc_port" in caught.value.hint


def test_a_supervisor_holds_the_port_for_its_workers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        supervisor = Supervisor(lambda *_: [], ServingSettings(port=0, grpc_port=port), tmp_path)
        with pytest.raises(PlatformError, match=f"port {port} of 127.0.0.1 is in use") as caught:
            supervisor.start()
        supervisor.close()
    assert "serving.grpc_port" in caught.value.hint


def test_without_the_extra_the_setting_is_refused_with_what_to_install(rig, on_loop, monkeypatch):
    monkeypatch.setitem(sys.modules, "seakeep.serving.grpc.server", None)
    rig.releases.put(rig.put(1))

    async def scenario():
        await Worker(rig.context(0, ServingSettings(port=0, grpc_port=1))).run()

    with pytest.raises(PlatformError, match="gRPC is not installed") as caught:
        on_loop(scenario())
    assert "seakeep[grpc]" in caught.value.hint
