"""What clients may do wrong, or on purpose: each gets its error, and nobody else notices."""

import asyncio
import contextlib
import functools
import json
import math
import random
import socket
import struct

import pytest
from tests.serving_rig import Rig, expected_score
from tests.serving_runs import INFER, PREDICT, body, events_body, request, row, run, serving, statuses, until

from seakeep.serving.exchange import Limits
from seakeep.serving.http import Connection

EVENTS = "/v1/events/arrivals"
EVENT = {"flight_id": "x", "landed": 5, "carrier": "AA", "arr_delay": 4.0}
TENSORS = [
    {"name": "carrier_recent.late_1h", "datatype": "FP64", "shape": [1], "data": [1.0]},
    {"name": "distance", "datatype": "FP64", "shape": [1], "data": [500.0]},
    {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["AA"]},
]
GOOD = {PREDICT: body(row()), INFER: json.dumps({"inputs": TENSORS}).encode(), EVENTS: events_body(EVENT)}


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.releases.put(rig.put(1))
    return rig


def limits(monkeypatch, **changes):
    monkeypatch.setattr("seakeep.serving.worker.Limits", functools.partial(Limits, **changes))


async def good(service, paths=tuple(GOOD)):
    """All routes answer, and nothing is left of what went wrong."""
    found = [(await service.client.post(path, GOOD[path]))[0] for path in paths]
    assert found == [200] * len(paths)
    assert service.worker._http.buffered_bytes == 0
    assert service.worker._dataplane.in_flight == 0


def leave(writer):
    """Go without taking leave: the connection is reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class TestBodies:
    @pytest.mark.parametrize("path", GOOD)
    @pytest.mark.parametrize("how", ["declared", "chunked", "compressed"])
    def test_an_oversized_body_is_refused_though_it_keeps_coming(self, rig, path, how):
        import gzip

        size = 20 * 1024 * 1024

        async def scenario():
            async with serving(rig, max_body_bytes=100_000) as service, service.connect() as (reader, writer):
                if how == "declared":
                    writer.write(request(path, bytes(size)))
                elif how == "chunked":
                    head = request(path).replace(b"content-length: 0", b"transfer-encoding: chunked")
                    writer.write(head + b"%x\r\n" % size + bytes(size))
                else:
                    writer.write(request(path, gzip.compress(bytes(size), 1), b"content-encoding: gzip"))
                await good(service)
                return await (reader.readuntil(b"}") if how == "compressed" else reader.read())

        answer = run(scenario())
        assert statuses(answer) == [413]
        assert b"larger than 100000 bytes" in answer

    @pytest.mark.parametrize("path", GOOD)
    def test_a_body_shorter_than_declared_is_waited_for_only_so_long(self, rig, path, monkeypatch):
        limits(monkeypatch, body_s=0.05)
        sent = GOOD[path]

        async def scenario():
            async with serving(rig) as service:
                answer = await service.raw(request(path, sent + b" ")[:-1])
                await good(service)
                return answer

        assert statuses(run(scenario())) == [408]

    @pytest.mark.parametrize("path", GOOD)
    def test_a_body_longer_than_declared_is_no_second_request(self, rig, path):
        sent = GOOD[path]

        async def scenario():
            async with serving(rig) as service:
                whole = request(path, sent)
                lied = whole.replace(b"content-length: %d" % len(sent), b"content-length: %d" % (len(sent) - 4))
                answer = await service.raw(lied)
                rest = await service.raw(whole + b"and more\r\n\r\n")
                await good(service)
                return answer, rest

        answer, rest = run(scenario())
        assert statuses(answer) == [400, 400]
        assert statuses(rest) == [200, 400]

    def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(self, rig):
        async def scenario():
            async with serving(rig) as service:
                for path, sent in GOOD.items():
                    for part in (1, len(sent) // 2, len(sent) - 1):
                        async with service.connect() as (_, writer):
                            writer.write(request(path, sent)[: part - len(sent)])
                            await until(lambda: service.worker._http.buffered_bytes > 0)
                            leave(writer)
                        await until(lambda: service.worker._http.buffered_bytes == 0)
                await good(service)
                return service.predictions, service.events

        predictions, events = run(scenario())
        assert (len(predictions), len(events)) == (2, 1)


class TestSlowClients:
    @pytest.mark.parametrize("cut", ["header", "body"])
    def test_many_that_send_a_byte_at_a_time_are_let_go_and_the_others_are_served(self, rig, monkeypatch, cut):
        limits(monkeypatch, header_s=0.3, body_s=0.3)
        whole = request(PREDICT, body(row("slow")), b"x-filler: " + b"v" * 5000)
        whole = whole if cut == "header" else request(PREDICT, body(row("slow"), row("y" * 5000)))
        start = 40 if cut == "header" else whole.index(b"\r\n\r\n") + 4

        async def drip(service):
            async with service.connect() as (reader, writer):
                writer.write(whole[:start])
                reading = asyncio.ensure_future(reader.read())
                with contextlib.suppress(OSError):
                    for at in range(start, start + 1000):
                        if reading.done():
                            break
                        writer.write(whole[at : at + 1])
                        await asyncio.sleep(0.005)
                with contextlib.suppress(ConnectionResetError):
                    return await reading
            return b""

        async def scenario():
            async with serving(rig) as service:
                slow = [asyncio.ensure_future(drip(service)) for _ in range(60)]
                await until(lambda: len(service.worker._http.connections) > 60)
                for _ in range(100):
                    await service.predict(row("quick"))
                return await asyncio.gather(*slow), service.predictions

        answers, records = run(scenario())
        assert {status for answer in answers for status in statuses(answer)} == {408}
        assert {record.key for record in records} == {"quick"}

    def test_one_that_does_not_read_its_answers_is_let_go_and_the_others_are_served(self, rig, monkeypatch):
        limits(monkeypatch, write_s=0.2)
        many = request(PREDICT, body(*[row(f"slow-{n}") for n in range(500)]))
        blocked, pause = [], Connection.pause_writing

        def paused(connection):
            blocked.append(connection)
            pause(connection)

        monkeypatch.setattr(Connection, "pause_writing", paused)

        async def scenario():
            async with serving(rig) as service:
                with socket.socket() as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    client.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", service.port))
                    sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(client, many * 200))
                    await until(lambda: blocked)
                    await service.predict(row("quick"))
                    await until(lambda: blocked[0] not in service.worker._http.connections)
                    with contextlib.suppress(OSError):
                        await sending
                await good(service, [PREDICT])

        run(scenario())


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize(
    "value",
    [
        "[" * 100_000,
        "[" * 500 + "]" * 500,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "NaN",
        "-Infinity",
        "1e999",
        "1" * 5000,
        '"far"',
        "true",
        "[500.0]",
        "{}",
        '"\\ud800"',
        '"\x00"',
        "",
    ],
    ids=lambda value: value[:12] + f"({len(value)})",
)
def test_a_value_that_is_none_is_the_client_s_fault_on_every_route(rig, path, value):
    """Deep nesting, numbers that are not JSON or too large, and wrong types, in the place of a number."""
    sent = GOOD[path].replace(b"500.0", value.encode()).replace(b"4.0", value.encode())

    async def scenario():
        async with serving(rig) as service:
            refused = await service.client.post(path, sent)
            await good(service)
            return refused, service.events

    (status, told), events = run(scenario())
    assert sent != GOOD[path]
    assert status == 400
    assert json.loads(told)["code"] in {"request", "row"}
    assert len(told) < 1000
    assert len(events) == 1


@pytest.mark.parametrize(
    ("carrier", "unknown"),
    [("AA", []), ("ZZ", ["carrier_recent"]), ("", ["carrier_recent"]), (None, ["carrier_recent"])],
)
def test_an_entity_nobody_has_heard_of_is_answered_with_its_features_missing(rig, carrier, unknown):
    async def scenario():
        async with serving(rig) as service:
            assert (await service.client.post(EVENTS, events_body(EVENT)))[0] == 200
            answer = await service.predict(row("known"), row("asked", carrier=carrier))
            return answer["predictions"][1], service.predictions[1], await service.client.get("/metrics")

    answer, record, (_, metrics) = run(scenario())
    late = math.nan if unknown else 4.0
    assert answer["unknown"] == unknown
    assert answer["score"] == pytest.approx(expected_score(late, 500, carrier or "", 1 / 8), rel=1e-14)
    assert math.isnan(record.numbers[0]) is bool(unknown)
    assert record.error == ""
    assert b'seakeep_unknown_entities_total{model="late",version="1"} %d' % len(unknown) in metrics


def test_clients_that_leave_before_their_answer_do_not_hurt_those_they_were_batched_with(rig):
    """All requests are in the sockets before the worker looks; every second client is gone by the time of the answer."""

    async def scenario():
        async with serving(rig) as service, contextlib.AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(service.connect()) for _ in range(40)]
            await until(lambda: len(service.worker._http.connections) == 41)
            submit = service.worker._dataplane.submit

            def submit_and_lose(call):
                submit(call)
                if not lost:
                    lost.extend(streams[1::2])
                    for _, writer in lost:
                        leave(writer)

            lost = []
            service.worker._dataplane.submit = submit_and_lose
            for number, (_, writer) in enumerate(streams):
                writer.write(request(PREDICT, body(row(f"k{number}", float(number))), b"connection: close"))
            answers = [await reader.read() for reader, _ in streams[::2]]
            await good(service, [PREDICT])
            return answers, [record for record in service.predictions if record.key != "f1"]

    answers, records = run(scenario())
    for number, answer in zip(range(0, 40, 2), answers, strict=True):
        (found,) = json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]
        assert found["key"] == f"k{number}"
        assert found["score"] == pytest.approx(expected_score(math.nan, number, "AA", 1 / 8), rel=1e-14)
    assert {record.key for record in records} >= {f"k{number}" for number in range(0, 40, 2)}
    assert all(record.error == "" for record in records)


@pytest.mark.slow
def test_any_bytes_at_all_leave_the_worker_as_it_was(rig):
    """Requests bent at random places, and noise, on many connections; seeded."""
    draw = random.Random(20130701)

    def bent():
        path = draw.choice(list(GOOD))
        whole = bytearray(request(path, GOOD[path]) * draw.randint(1, 3))
        for _ in range(draw.randint(0, 6)):
            at = draw.randrange(len(whole))
            match draw.randrange(4):
                case 0:
                    whole[at] = draw.randrange(256)
                case 1:
                    del whole[at : at + draw.randint(1, 20)]
                case 2:
                    whole[at:at] = draw.randbytes(draw.randint(1, 20))
                case _:
                    whole[at:at] = whole[draw.randrange(len(whole)) :][: draw.randint(1, 200)]
        return bytes(whole) if draw.random() < 0.9 else draw.randbytes(200)

    async def send(service, data):
        async with service.connect() as (reader, writer):
            writer.write(data)
            with contextlib.suppress(OSError):
                writer.write_eof()
                return await reader.read()
        return b""

    async def scenario():
        async with serving(rig) as service:
            answers = []
            for _ in range(40):
                answers += await asyncio.gather(*(send(service, bent()) for _ in range(25)))
            await good(service)
            return answers

    answers = run(scenario())
    found = [status for answer in answers for status in statuses(answer)]
    assert {200, 400} <= set(found)
    assert all(status in {200, 431} or 400 <= status < 500 or status in {501, 505} for status in found)
