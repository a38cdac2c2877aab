"""More than can be answered in time: what clients see of deadlines, classes, shedding, the ladder and the cache."""

import asyncio
import contextlib
import json

import pytest
from tests.serving_rig import Rig
from tests.serving_runs import INFER, PREDICT, body, request, row, run, serving, statuses, until

from seakeep.config import ModelSettings

TENSORS = [
    {"name": "carrier_recent.late_1h", "datatype": "FP64", "shape": [1], "data": [1.0]},
    {"name": "distance", "datatype": "FP64", "shape": [1], "data": [500.0]},
    {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["AA"]},
]
TIMEOUT = "x-envoy-expected-rq-timeout-ms"


def infer(**parameters):
    return json.dumps({"inputs": TENSORS, "parameters": parameters}).encode()


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.releases.put(rig.put(1))
    return rig


def hold(service):
    """Let calls wait until the function returned is called."""
    dataplane, turns = service.worker._dataplane, []
    defer, dataplane._defer = dataplane._defer, turns.append

    def go():
        dataplane._defer = defer
        for turn in turns:
            turn()

    return go


class TestDeadlines:
    @pytest.mark.parametrize(
        ("path", "sent", "lines"),
        [
            (PREDICT, body(row()), [TIMEOUT.encode() + b": 1"]),
            (INFER, infer(), [TIMEOUT.encode() + b": 1"]),
            (INFER, infer(timeout=1000), []),
            (INFER, infer(timeout=1000), [TIMEOUT.encode() + b": 60000"]),
        ],
        ids=["rows", "tensors", "parameter", "the shorter of two"],
    )
    def test_a_request_whose_time_is_over_is_not_executed(self, rig, path, sent, lines):
        async def scenario():
            async with serving(rig) as service, service.connect() as (reader, writer):
                go = hold(service)
                writer.write(request(path, sent, *lines))
                await until(lambda: service.worker._dataplane.in_flight == 1)
                await asyncio.sleep(0.005)
                go()
                head = await reader.readuntil(b"\r\n\r\n")
                told = json.loads(await reader.readuntil(b"}"))
                fine = await service.predict()
                return head, told, fine, service.predictions

        head, told, fine, records = run(scenario())
        assert statuses(head) == [504]
        assert told["code"] == "deadline"
        assert [record.id for record in records] == [fine["predictions"][0]["id"]]

    @pytest.mark.parametrize("time", ["0", "60000"])
    def test_a_request_with_time_left_is_answered(self, rig, time):
        async def scenario():
            async with serving(rig) as service:
                rows = await service.client.post(PREDICT, body(row()), {TIMEOUT: time})
                return rows, await service.client.post(INFER, infer(timeout=int(time) * 1000), {TIMEOUT: time})

        assert [status for status, _ in run(scenario())] == [200, 200]

    @pytest.mark.parametrize("sent", ["soon", "-5", "1.5"])
    def test_a_time_that_is_none_is_the_client_s_fault(self, rig, sent):
        async def scenario():
            async with serving(rig) as service:
                rows = await service.client.post(PREDICT, body(row()), {TIMEOUT: sent})
                tensors = infer(timeout=sent if sent == "soon" else float(sent))
                return rows, await service.client.post(INFER, tensors)

        assert [status for status, _ in run(scenario())] == [400, 400]

    def test_a_second_deadline_is_refused(self, rig):
        async def scenario():
            async with serving(rig) as service:
                line = TIMEOUT.encode() + b": 5"
                twice = infer(timeout=5).replace(b'"timeout"', b'"timeout": 9, "timeout"')
                return await service.raw(request(PREDICT, body(row()), line, line)), await service.client.post(
                    INFER, twice
                )

        by_header, (by_parameter, told) = run(scenario())
        assert statuses(by_header) == [400]
        assert by_parameter == 400
        assert "is there twice" in json.loads(told)["error"]

    def test_a_model_s_default_holds_where_a_client_names_none(self, rig):
        rig.releases.put(rig.put(1), rig.put(1, name="patient"))

        async def scenario():
            models = {"late": ModelSettings(deadline_ms=1)}
            async with serving(rig, models=models) as service, contextlib.AsyncExitStack() as stack:
                go, answers = hold(service), []
                for model in ("late", "patient"):
                    reader, writer = await stack.enter_async_context(service.connect())
                    writer.write(request(f"/v1/models/{model}/predict", body(row()), b"connection: close"))
                    answers.append(reader)
                await until(lambda: service.worker._dataplane.in_flight == 2)
                await asyncio.sleep(0.005)
                go()
                return [statuses(await reader.read()) for reader in answers]

        assert run(scenario()) == [[504], [200]]
