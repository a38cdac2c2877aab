"""A running service of real workers, for clients that were written by others and are used as they are."""

import importlib.util
from types import SimpleNamespace

import pytest
from tests.serving_rig import Rig, candidate
from tests.serving_runs import free_port, supervised


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Two workers; ``grpc`` is "" where gRPC is not installed."""
    rig = Rig(tmp_path_factory.mktemp("rig"))
    rig.releases.put(rig.put(3), candidate(rig.put(4), 0.0), rig.put(1, name="other"))
    grpc_port = free_port() if importlib.util.find_spec("grpc") else 0
    with supervised(rig, grpc_port=grpc_port) as running:
        yield SimpleNamespace(
            http=f"127.0.0.1:{running.port}", grpc=f"127.0.0.1:{grpc_port}" if grpc_port else "", rig=rig
        )
