"""The calls on a real server, asked with bare bytes, as any client may send them."""

import time

import pytest
from tests.serving_rig import KeyTable, candidate, expected_score, onnx_model
from tests.serving_runs import free_port, until

from seakeep.config import ObserveSettings
from seakeep.serving.metrics import read

grpc = pytest.importorskip("grpc")

from seakeep.serving.grpc.messages import SERVICE, ModelInferRequest, message  # noqa: E402 -- only where it is installed
from seakeep.serving.grpc.stream import PIPELINED  # noqa: E402 -- only where it is installed

LATE, DISTANCE, CARRIER = "carrier_recent.late_1h", "distance", "carrier"


def infer(distance=500.0, model="late", version="", **more):
    made = ModelInferRequest(model_name=model, model_version=version, **more)
    for name, field, datatype, value in (
        (LATE, "fp64_contents", "FP64", 1.5), (DISTANCE, "fp64_contents", "FP64", distance), (CARRIER, "bytes_contents", "BYTES", b"AA"),
    ):  # fmt: skip
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[1])
        getattr(tensor.contents, field).append(value)
    return made


class Asker:
    def __init__(self, channel):
        self._channel = channel

    async def call(self, name, sent=None, **more):
        body = sent if isinstance(sent, bytes) else (sent or message(f"{name}Request")()).SerializeToString()
        answer = await self._channel.unary_unary(f"/{SERVICE}/{name}")(body, **({"timeout": 20} | more))
        return message(f"{name}Response").FromString(answer)

    async def refused(self, name, sent=None, **more):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(name, sent, **more)
        return caught.value

    def stream(self, **more):
        return self._channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(**({"timeout": 20} | more))


def streamed(body):
    return message("ModelStreamInferResponse").FromString(body)


@pytest.fixture
def ask(rig, serve, on_loop):
    """Runs a scenario, which gets the service and someone who asks it."""

    def run(scenario, **changes):
        async def whole():
            port = free_port()
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            async with serve(grpc_port=port, **changes) as service, channel:
                return await scenario(service, Asker(channel))

        rig.releases.put(rig.put(3), candidate(rig.put(4), 0.0))
        return on_loop(whole())

    return run


def test_a_server_and_its_models_tell_what_they_are(ask):
    async def scenario(_service, asker):
        named = message("ModelMetadataRequest")(name="late")
        return (
            (await asker.call("ServerLive")).live,
            (await asker.call("ServerReady")).ready,
            (await asker.call("ModelReady", message("ModelReadyRequest")(name="late", version="4"))).ready,
            await asker.call("ServerMetadata"),
            await asker.call("ModelMetadata", named),
        )

    *ready, server, model = ask(scenario)
    assert ready == [True, True, True]
    assert (server.name, server.version, [*server.extensions]) == ("seakeep", "test", ["binary_tensor_data"])
    assert (model.name, [*model.versions], model.platform) == ("late", ["3", "4"], "onnxruntime_onnx")
    assert [(one.name, one.datatype, [*one.shape]) for one in model.inputs] == [
        (LATE, "FP64", [-1]), (DISTANCE, "FP64", [-1]), (CARRIER, "BYTES", [-1]),
    ]  # fmt: skip


def test_a_model_answers_and_the_answer_is_recorded(ask):
    async def scenario(service, asker):
        told = [await asker.call("ModelInfer", infer(version=version)) for version in ("", "3", "4")]
        return told, list(service.predictions)

    told, records = ask(scenario)
    assert [one.model_version for one in told] == ["3", "3", "4"]
    scores = [one.outputs[0].contents.fp64_contents[0] for one in told]
    assert scores == pytest.approx([expected_score(1.5, 500.0, "AA", bias=n / 8) for n in (3, 3, 4)], rel=1e-14)
    assert [record.id for record in records if record.role != "shadow"] == [
        one.parameters["prediction_ids"].string_param for one in told
    ]


@pytest.mark.parametrize(
    ("name", "sent", "code", "told"),
    [
        ("ModelInfer", infer(model="nobody"), "NOT_FOUND", "there is no model 'nobody'"),
        ("ModelInfer", infer(model="NO BODY"), "NOT_FOUND", "no model or source has such a name"),
        ("ModelInfer", infer(version="9"), "NOT_FOUND", "version 9 of 'late' is not loaded"),
        ("ModelInfer", infer(version="latest"), "NOT_FOUND", "no version has such a number"),
        ("ModelInfer", ModelInferRequest(model_name="late"), "INVALID_ARGUMENT", "is missing"),
        ("ModelInfer", b"\xff\xff", "INVALID_ARGUMENT", "is no ModelInferRequest"),
        ("ModelInfer", infer(float("inf")), "INVALID_ARGUMENT", "'distance' has an infinite number"),
        ("ModelReady", b"\xff", "INVALID_ARGUMENT", "is no ModelReadyRequest"),
        ("ModelReady", message("ModelReadyRequest")(name="nobody"), "NOT_FOUND", "'nobody'"),
        ("ModelMetadata", message("ModelMetadataRequest")(name="late", version="9"), "NOT_FOUND", "version 9"),
        ("ModelConfig", b"", "UNIMPLEMENTED", ""),
    ],
)
def test_what_cannot_be_answered_has_a_clear_code_and_is_counted(ask, rig, name, sent, code, told):
    async def scenario(_service, asker):
        return await asker.refused(name, sent), await asker.call("ModelInfer", infer())

    error, after = ask(scenario)
    assert error.code().name == code
    assert told in error.details()
    assert after.model_version == "3"
    counted = {one.model: one.errors for one in read(rig.metrics).versions}
    assert sum(counted.get("", {}).values()) == 1


def test_a_fault_of_the_model_is_ours_and_counted_once(rig, ask):
    rig.releases.put = lambda *_routes, put=rig.releases.put: put(rig.put(1, model=onnx_model(nan_below=50.0)))

    async def scenario(_service, asker):
        return await asker.refused("ModelInfer", infer(5.0))

    error = ask(scenario)
    assert (error.code().name, dict(error.trailing_metadata())["seakeep-code"]) == ("INTERNAL", "serving")
    counted = {one.model: one.errors for one in read(rig.metrics).versions}
    assert counted["late"]["serving"] == 1
    assert not any(counted.get("", {}).values())


def test_a_key_is_sent_as_metadata_and_health_is_open(ask):
    async def scenario(_service, asker):
        health = (await asker.call("ServerLive")).live, (await asker.call("ServerReady")).ready
        key, other = ("authorization", "Bearer asker"), ("authorization", "Bearer viewer")
        fine = await asker.call("ModelInfer", infer(), metadata=[key])
        refused = [await asker.refused("ModelInfer", infer(), metadata=sent) for sent in ([], [other], [key, other])]
        refused += [await asker.refused(name) for name in ("ServerMetadata", "ModelMetadata", "ModelReady")]
        call = asker.stream()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        return health, fine, refused, caught.value

    health, fine, refused, stream = ask(
        scenario, authenticator=KeyTable({b"asker": ("predict",), b"viewer": ("metrics",)})
    )
    assert health == (True, True)
    assert fine.model_version == "3"
    codes = [error.code().name for error in refused]
    assert codes == ["UNAUTHENTICATED", "UNAUTHENTICATED", "INVALID_ARGUMENT", *["UNAUTHENTICATED"] * 3]
    assert stream.code().name == "UNAUTHENTICATED"


def test_sizes_are_limited(ask):
    async def scenario(_service, asker):
        large = ModelInferRequest(model_name="late", raw_input_contents=[bytes(10_001)])
        rows = infer()
        for tensor in rows.inputs:
            tensor.shape[0] = 9
        return [
            await asker.refused("ModelInfer", large),
            await asker.refused("ModelInfer", large, compression=grpc.Compression.Gzip),
            await asker.refused("ModelInfer", rows),
        ]

    refused = ask(scenario, max_body_bytes=10_000, max_rows=8)
    assert {error.code().name for error in refused} == {"RESOURCE_EXHAUSTED"}


def test_a_compressed_message_is_read(ask):
    async def scenario(_service, asker):
        return await asker.call("ModelInfer", infer(), compression=grpc.Compression.Gzip)

    assert ask(scenario).model_version == "3"


def test_a_call_that_nobody_waits_for_is_not_executed(ask, rig):
    async def scenario(service, asker):
        dataplane, turns = service.worker._dataplane, []
        dataplane._defer = turns.append
        error = await asker.refused("ModelInfer", infer(), timeout=1)
        (call,) = dataplane._queues["late"]._lanes[1]
        await until(lambda: time.perf_counter() > call.deadline_s)
        turns.pop()()
        return error, list(service.predictions), dataplane.in_flight

    error, records, in_flight = ask(scenario)
    assert in_flight == 0
    assert error.code().name == "DEADLINE_EXCEEDED"
    assert records == []
    assert {one.model: one.errors for one in read(rig.metrics).versions}[""]["deadline"] == 1


def test_a_stream_answers_in_order_and_goes_on_after_a_fault(ask):
    count = 3 * PIPELINED

    async def scenario(_service, asker):
        call = asker.stream()
        for number in range(count):
            sent = infer(id=str(number), version="9" if number == 7 else "")
            await call.write(sent.SerializeToString())
        await call.write(b"\xff")
        await call.done_writing()
        return [streamed(body) async for body in call], await call.code()

    told, code = ask(scenario)
    assert code.name == "OK"
    assert [one.infer_response.id for one in told[:-1]] == [str(number) for number in range(count)]
    assert [place for place, one in enumerate(told) if one.error_message] == [7, count]
    assert "version 9" in told[7].error_message
    assert told[8].infer_response.outputs[0].contents.fp64_contents


def test_a_client_that_leaves_its_stream_disturbs_nobody(ask):
    async def scenario(service, asker):
        call = asker.stream()
        await call.write(infer(id="1").SerializeToString())
        first = streamed(await call.read())
        call.cancel()
        await until(lambda: not service.worker._grpc.calls)
        return first, await asker.call("ModelInfer", infer())

    first, after = ask(scenario)
    assert (first.infer_response.id, after.model_version) == ("1", "3")


def test_a_worker_that_ends_closes_its_streams_and_says_so(ask):
    async def scenario(service, asker):
        call = asker.stream()
        await call.write(infer(id="1").SerializeToString())
        first = streamed(await call.read())
        service.worker.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        return first, caught.value

    first, error = ask(scenario)
    assert first.infer_response.id == "1"
    assert (error.code().name, "shutting down" in error.details()) == ("UNAVAILABLE", True)


def test_more_than_may_be_in_flight_is_refused(ask):
    async def scenario(service, asker):
        dataplane = service.worker._dataplane
        dataplane.in_flight = dataplane._max_in_flight
        error = await asker.refused("ModelInfer", infer())
        dataplane.in_flight = 0
        return error

    error = ask(scenario)
    assert error.code().name == "UNAVAILABLE"
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"


def test_a_traceparent_in_the_metadata_is_honoured(ask):
    class Spans(list):
        put = list.append

        def close(self):
            pass

    spans = Spans()
    sent = f"00-{'a' * 32}-{'b' * 16}-01"

    async def scenario(_service, asker):
        for given in ([("traceparent", sent)], [("traceparent", sent[:-1] + "0")], []):
            await asker.call("ModelInfer", infer(), metadata=given)

    ask(scenario, spans=spans, observing=ObserveSettings(trace_share=0.0))
    assert [(f"{told.trace_id:x}", f"{told.parent:x}") for told in spans] == [("a" * 32, "b" * 16)]
    assert {"parse", "queue", "model", "record"} < {stage.name for stage in spans[0].stages}
