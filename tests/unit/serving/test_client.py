"""The client against small servers that behave, or do not."""

import asyncio
import contextlib

import pytest
from tests.serving_runs import run, until

from seakeep.serving.client import Client

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Server:
    """Answers each request with what a script says; None closes without an answer."""

    def __init__(self, *script: bytes | None) -> None:
        self.script, self.requests, self.connections = list(script), [], 0
        self.busy, self.most_busy = 0, 0
        self.close_after = False

    async def serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                self.busy += 1
                self.most_busy = max(self.most_busy, self.busy)
                await asyncio.sleep(0.001)
                self.busy -= 1
                answer = self.script.pop(0) if self.script else OK + b"ok"
                if answer is None:
                    break
                writer.write(answer)
                if self.close_after:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def between(server: Server, host: str = "127.0.0.1", connections: int = 1, timeout_s: float = 20):
    listener = await asyncio.start_server(server.serve, host, 0)
    client = Client(host, listener.sockets[0].getsockname()[1], connections, timeout_s=timeout_s)
    try:
        yield client
    finally:
        await client.close()
        listener.close()
        await listener.wait_closed()
        await asyncio.sleep(0.01)


def test_requests_go_one_after_the_other_over_one_connection():
    server = Server(OK + b"aa", OK + b"bb")

    async def scenario():
        async with between(server) as client:
            return await client.post("/a", b"{}"), await client.get("/b", {"x": "y"})

    assert run(scenario()) == ((200, b"aa"), (200, b"bb"))
    assert server.connections == 1
    first, second = server.requests
    assert first.startswith(b"POST /a HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\ncontent-type: application/json\r\n" in first
    assert first.endswith(b"\r\n\r\n{}")
    assert second.startswith(b"GET /b HTTP/1.1\r\n")
    assert b"\r\nx: y\r\n" in second


def test_no_more_connections_are_used_than_allowed():
    server = Server()

    async def scenario():
        async with between(server, connections=3) as client:
            return await asyncio.gather(*(client.post("/", b"{}") for _ in range(30)))

    assert run(scenario()) == [(200, b"ok")] * 30
    assert server.connections == server.most_busy == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"ok",
    ],
)
def test_answers_may_come_in_parts(answer):
    async def scenario():
        async with between(Server(answer, OK + b"no")) as client:
            return await client.get("/"), await client.get("/")

    assert run(scenario()) == ((200, b"ok"), (200, b"no"))


def test_a_status_is_an_answer_whatever_it_says():
    async def scenario():
        async with between(Server(b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n")) as client:
            return await client.get("/")

    assert run(scenario()) == (503, b"")


def test_a_request_on_a_connection_that_was_closed_meanwhile_is_sent_once_more():
    server = Server(OK + b"aa", None, OK + b"bb")

    async def scenario():
        async with between(server) as client:
            return await client.get("/"), await client.get("/")

    assert run(scenario()) == ((200, b"aa"), (200, b"bb"))
    assert (server.connections, len(server.requests)) == (2, 3)


def test_a_connection_that_the_server_says_it_closes_is_not_used_again():
    server = Server(*[b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"] * 2)
    server.close_after = True

    async def scenario():
        async with between(server) as client:
            await client.get("/")
            await client.get("/")

    run(scenario())
    assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_that_was_closed_while_nobody_asked_is_not_tried():
    server = Server()
    server.close_after = True

    async def scenario():
        async with between(server) as client:
            await client.get("/")
            await until(lambda: not client._free[0].open)
            return await client.get("/")

    assert run(scenario()) == (200, b"ok")
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("answer", [None, OK + b"o", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH\r\n\r\n"])
def test_a_fresh_connection_without_a_whole_answer_is_an_error_and_nothing_is_sent_twice(answer):
    server = Server(answer)
    server.close_after = True

    async def scenario():
        async with between(server) as client:
            with pytest.raises(ConnectionError):
                await client.post("/", b"{}")
            server.close_after = False
            return await client.post("/", b"{}")

    assert run(scenario()) == (200, b"ok")
    assert len(server.requests) == 2


def test_an_answer_that_was_begun_is_not_asked_for_again():
    server = Server(OK + b"aa", OK + b"b")

    async def scenario():
        async with between(server) as client:
            await client.get("/")
            server.close_after = True
            with pytest.raises(ConnectionResetError):
                await client.get("/")

    run(scenario())
    assert len(server.requests) == 2


def test_an_answer_that_takes_too_long_is_an_error_and_its_connection_is_given_up():
    server = Server(b"HTTP/1.1 200", OK + b"ok")

    async def scenario():
        async with between(server, timeout_s=0.2) as client:
            with pytest.raises(TimeoutError):
                await client.get("/")
            client._timeout_s = 20
            return await client.get("/")

    assert run(scenario()) == (200, b"ok")
    assert server.connections == 2


def test_nobody_there_is_an_error():
    async def scenario():
        listener = await asyncio.start_server(Server().serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        listener.close()
        await listener.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await Client("127.0.0.1", port).get("/")

    run(scenario())


def test_an_address_of_ip_6_is_named_in_brackets():
    server = Server()

    async def scenario():
        async with between(server, host="::1") as client:
            await client.get("/")

    try:
        run(scenario())
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    assert b"\r\nhost: [::1]:" in server.requests[0]
