"""The open-loop generator against a small real server that can be told to hold its answers."""

import asyncio
import contextlib

import numpy as np

from seakeep.replay.openloop import arrivals, offer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"
REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


class Stub:
    """Answers requests on a free port, each with what ``answer`` gives for its number; b"" closes the connection."""

    def __init__(self, answer):
        self.answer, self.seen, self.connections = answer, 0, 0
        self.serving = set()

    async def serve(self, reader, writer):
        self.connections += 1
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.seen += 1
                said = await self.answer(self.seen)
                if not said:
                    break
                writer.write(said)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def offer(self, due_s, **options):
        async def work():
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            async with server:
                address = server.sockets[0].getsockname()[:2]
                found = await offer([REQUEST], np.array(due_s), address, **({"connections": 4} | options))
                await asyncio.wait(self.serving)
                return found

        return asyncio.run(work())


async def at_once(_number):
    return OK


def test_every_request_is_sent_when_it_is_due_and_its_answer_counts_from_then():
    stub = Stub(at_once)
    found = stub.offer([0.0, 0.01, 0.02, 0.02])
    assert found.status.tolist() == [200] * 4
    assert (stub.seen, stub.connections) == (4, 4)
    assert (found.late_s >= 0).all()
    assert (found.latency_s >= found.late_s).all()


def test_requests_that_no_connection_is_free_for_have_waited_since_they_were_due():
    release = []

    async def hold_the_first(number):
        if number == 1:
            release.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.2)
        return OK

    found = Stub(hold_the_first).offer([0.0, 0.001, 0.002, 0.003], connections=1)
    assert found.status.tolist() == [200] * 4
    assert (found.latency_s >= 0.19).all()
    assert np.isnan(found.late_s[1:]).all()


def test_what_is_not_answered_with_success_has_its_status_and_the_first_is_told():
    async def alternating(number):
        return OK if number % 2 else BUSY

    found = Stub(alternating).offer([0.0, 0.005, 0.01, 0.015], connections=1)
    assert sorted(found.status.tolist()) == [200, 200, 503, 503]
    assert found.first_failure == "busy"


def test_a_server_that_closes_every_connection_ends_it():
    async def close(_number):
        return b""

    found = Stub(close).offer([0.0, 0.0, 0.0, 0.0], connections=2)
    assert found.status.tolist() == [0, 0, -1, -1]
    assert np.isnan(found.latency_s).all()


def test_after_its_time_nothing_more_is_sent():
    found = Stub(at_once).offer([0.0] * 100_000, until_s=0.05)
    assert (found.status == 200).any()
    assert (found.status == -1).any()
    assert not (found.status == 0).any()


def test_arrivals_are_as_many_as_the_rate_asks_for_independent_and_the_same_each_time():
    due_s = arrivals(1000, 20, seed=3)
    gaps = np.diff(due_s)
    assert len(due_s) == 20_000
    assert (gaps > 0).all()
    assert abs(gaps.mean() * 1000 - 1) < 0.05
    assert abs(gaps.std() * 1000 - 1) < 0.05
    assert (arrivals(1000, 20, seed=3) == due_s).all()
    assert len(arrivals(0.001, 1, seed=1)) == 1
