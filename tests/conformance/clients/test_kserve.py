"""The unmodified client of ``kserve``, over HTTP and over gRPC, in a process of its own.

Its message classes have the names of ``tritonclient``'s, and a process can hold only one of the two.
"""

import importlib.util
import json
import subprocess
import sys

import pytest
from tests.conformance.clients.asked import expected

pytestmark = pytest.mark.slow

if not importlib.util.find_spec("kserve"):
    pytest.skip("kserve is not installed", allow_module_level=True)

SCRIPT = """
import asyncio, json, math, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tests.conformance.clients.asked import columns

http, grpc, told = sys.argv[1], sys.argv[2], {}


def asked(binary, outputs=False):
    made = []
    for name, datatype, values in columns():
        tensor = InferInput(name, list(values.shape), datatype)
        cells = values if binary or datatype == "BYTES" else np.nan_to_num(values)
        tensor.set_data_from_numpy(cells, binary_data=binary)
        made.append(tensor)
    wanted = [RequestedOutput("score", parameters={"binary_data": binary})] if outputs else None
    return InferRequest("late", made, request_id="r1", request_outputs=wanted)


def read(response):
    return {
        "id": response.id,
        "version": response.model_version,
        "outputs": {one.name: np.ravel(one.as_numpy()).tolist() for one in response.outputs},
    }


async def main():
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    base = f"http://{http}"
    told["rest ready"] = [
        await rest.is_server_live(base), await rest.is_server_ready(base), await rest.is_model_ready(base, "late")
    ]
    for binary in (True, False):
        for outputs in (True, False):
            answer = await rest.infer(base, asked(binary, outputs), model_name="late")
            told[f"rest {binary} {outputs}"] = read(answer)
    await rest.close()
    if grpc:
        async with InferenceGRPCClient(url=grpc) as client:
            told["grpc ready"] = [
                await client.is_server_live(), await client.is_server_ready(), await client.is_model_ready("late")
            ]
            for binary in (True, False):
                told[f"grpc {binary}"] = read(await client.infer(asked(binary)))
    print(json.dumps(told))


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def told(service):
    code = f"import sys; sys.path[:0] = {sys.path!r}\n" + SCRIPT
    done = subprocess.run(
        [sys.executable, "-c", code, service.http, service.grpc], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_server_and_model_are_live_and_ready(told, service, transport):
    if transport == "grpc" and not service.grpc:
        pytest.skip("gRPC is not installed")
    assert told[f"{transport} ready"] == [True, True, True]


@pytest.mark.parametrize("how", ["rest True True", "rest True False", "rest False True", "rest False False"])
def test_tensors_travel_over_http_in_json_and_in_binary_form(told, how):
    check(told[how])


@pytest.mark.parametrize("how", ["grpc True", "grpc False"])
def test_tensors_travel_over_grpc_typed_and_raw(told, service, how):
    if not service.grpc:
        pytest.skip("gRPC is not installed")
    check(told[how])


def check(answer):
    assert answer["id"] == "r1"
    assert answer["version"] in {"3", None}  # over HTTP this client drops it
    assert answer["outputs"]["score"] == pytest.approx(expected(), rel=1e-14)
