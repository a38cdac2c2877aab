"""Clients of gRPC that attack, stall or leave, on real sockets beside clients that only want their answers."""

import asyncio
import contextlib
import itertools

import pytest
from tests.serving_rig import Rig
from tests.serving_runs import free_port, run, serving, until

grpc = pytest.importorskip("grpc")
pytest.importorskip("hpack")

from seakeep.serving.grpc import frames  # noqa: E402 -- only where it is installed
from seakeep.serving.grpc.frames import PREFACE, Code, frame, reset_frame, settings_frame  # noqa: E402 -- only where it is installed
from seakeep.serving.grpc.heads import block  # noqa: E402 -- only where it is installed
from seakeep.serving.grpc.messages import SERVICE, ModelInferRequest, ModelInferResponse  # noqa: E402 -- only where it is installed

INFER = f"/{SERVICE}/ModelInfer"


def question():
    made = ModelInferRequest(model_name="late")
    for name, field, datatype, value in (
        ("carrier_recent.late_1h", "fp64_contents", "FP64", 1.5),
        ("distance", "fp64_contents", "FP64", 500.0),
        ("carrier", "bytes_contents", "BYTES", b"AA"),
    ):
        getattr(made.inputs.add(name=name, datatype=datatype, shape=[1]).contents, field).append(value)
    return made.SerializeToString()


HEAD = block(
    (":method", "POST"),
    (":scheme", "http"),
    (":path", INFER),
    (":authority", "x"),
    ("content-type", "application/grpc"),
)
BODY = b"\0" + len(question()).to_bytes(4) + question()


def call(number):
    return frame(frames.HEADERS, frames.END_HEADERS, number, HEAD) + frame(frames.DATA, frames.END_STREAM, number, BODY)


def odd():
    return itertools.count(1, 2)


ATTACKS = {
    "rapid reset": lambda: (call(n) + reset_frame(n, Code.CANCEL) for n in odd()),
    "open streams": lambda: (frame(frames.HEADERS, frames.END_HEADERS, n, HEAD) for n in odd()),
    "continuations": lambda: itertools.chain([frame(frames.HEADERS, 0, 1, HEAD)], itertools.repeat(frame(frames.CONTINUATION, 0, 1))),
    "settings": lambda: itertools.repeat(settings_frame({frames.INITIAL_WINDOW_SIZE: 1})),
    "pings": lambda: itertools.repeat(frame(frames.PING, 0, 0, bytes(8))),
    "empty data": lambda: itertools.chain([frame(frames.HEADERS, 4, 1, HEAD)], itertools.repeat(frame(frames.DATA, 0, 1))),
    "no room for answers": lambda: itertools.chain([settings_frame({frames.INITIAL_WINDOW_SIZE: 0})], map(call, odd())),
    "noise": lambda: itertools.repeat(bytes(range(256))),
}  # fmt: skip


@pytest.fixture
def scenario(tmp_path):
    """Runs a coroutine that gets a service and its port."""

    def start(act):
        async def whole():
            rig, port = Rig(tmp_path), free_port()
            rig.releases.put(rig.put(1))
            async with serving(rig, grpc_port=port) as service:
                return await act(service, port)

        return run(whole())

    return start


@contextlib.asynccontextmanager
async def attack(port, frames_, *, most=60_000):
    """Sends without reading until the server has had enough, or so many times; yields the sending task, leaves abruptly."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send():
        with contextlib.suppress(ConnectionError, TimeoutError):
            writer.write(PREFACE + settings_frame({}))
            async with asyncio.timeout(3):
                for batch in _batches(frames_, most):
                    writer.write(b"".join(batch))
                    await writer.drain()
                    if writer.transport.is_closing() or reader.at_eof():
                        break

    sending = asyncio.create_task(send())
    try:
        yield sending
    finally:
        sending.cancel()
        writer.transport.abort()


def _batches(frames_, most):
    for _ in range(most // 200):
        yield list(itertools.islice(frames_, 200))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attacker_takes_nothing_from_the_others(scenario, name):
    async def act(service, port):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask = channel.unary_unary(INFER)
            body = question()
            await ask(body, timeout=20)
            async with attack(port, ATTACKS[name]()) as attacking:
                answers = [await ask(body, timeout=20) for _ in range(30)]
                await attacking
                answers.append(await ask(body, timeout=20))
                server = service.worker._grpc
                held = server.buffered_bytes, server.calls
            await until(lambda: server.calls == 0)
            return answers, held, server

    answers, (held_bytes, held_calls), server = scenario(act)
    assert {ModelInferResponse.FromString(answer).model_version for answer in answers} == {"1"}
    assert held_calls <= server.max_calls
    assert held_bytes < 2 * 2**20
    assert (server.calls, server.buffered_bytes) == (0, 0)


def test_every_call_that_was_sent_is_answered_when_the_worker_ends(scenario):
    async def act(service, port):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask, body = channel.unary_unary(INFER), question()
            await ask(body, timeout=20)
            service.worker._dataplane._defer = lambda turn: asyncio.get_running_loop().call_later(0.3, turn)
            calls = [asyncio.ensure_future(ask(body, timeout=20)) for _ in range(50)]
            await until(lambda: service.worker._dataplane.in_flight)
            service.worker.stop()
            return await asyncio.gather(*calls)

    assert len(scenario(act)) == 50


def test_a_client_that_is_gone_is_noticed_and_one_that_stalls_is_let_go(scenario):
    async def act(service, port):
        server = service.worker._grpc
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE + settings_frame({}) + frame(frames.HEADERS, frames.END_HEADERS, 1, HEAD))
        await until(lambda: server.calls)
        writer.transport.abort()
        await until(lambda: not server.connections)
        calls = server.calls
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE[:5])
        await until(lambda: server.connections)
        (connection,) = server.connections
        connection._session.framed_s -= 60
        told = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return calls, told

    calls, told = scenario(act)
    assert calls == 0
    assert b"the rest of a frame did not come" in told
