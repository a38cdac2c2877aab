"""The protocol on real sockets, before an application that only echoes."""

import asyncio
import contextlib
import gzip
import math
import socket
import struct

import pytest
from tests.serving_runs import request, run, statuses, until

from seakeep.clock import FixedClock
from seakeep.errors import NotFoundError
from seakeep.serving.exchange import Limits
from seakeep.serving.http import Connection, HttpServer

CLOSE = b"connection: close"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\nconnection: close\r\n\r\n"


class Echo:
    """Answers a body with itself, or holds the answers back until they are released."""

    def __init__(self) -> None:
        self.admitted, self.handled, self.refusals, self.hold = [], [], [], False

    def admit(self, exchange) -> None:
        self.admitted.append(exchange.path)
        if exchange.path == b"/refused":
            raise NotFoundError("not here")
        if exchange.path == b"/broken-door":
            raise ZeroDivisionError("secret")

    def handle(self, exchange) -> None:
        self.handled.append(exchange)
        if exchange.path == b"/broken":
            raise ZeroDivisionError("secret")
        if exchange.path == b"/fault":
            raise NotFoundError("not in here")
        if not self.hold:
            self.answer(exchange)

    @staticmethod
    def answer(exchange) -> None:
        exchange.respond(200, exchange.body or exchange.path, b"text/plain")

    def refused(self, error) -> None:
        self.refusals.append(error.code)


class Served:
    def __init__(self, server: HttpServer, echo: Echo, port: int) -> None:
        self.server, self.echo, self.port = server, echo, port

    @contextlib.asynccontextmanager
    async def connect(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def raw(self, *pieces: bytes) -> bytes:
        """All that is answered to some bytes; pieces are sent apart."""
        async with self.connect() as (reader, writer), asyncio.timeout(20):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if len(pieces) > 1:
                    await asyncio.sleep(0.005)
            return await reader.read()


@contextlib.asynccontextmanager
async def served(**limits):
    echo = Echo()
    server = HttpServer(echo, Limits(**({"body_bytes": 1000} | limits)), FixedClock(0))
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)

    async def sweep():
        while True:
            server.sweep()
            await asyncio.sleep(0.01)

    sweeper = asyncio.create_task(sweep())
    try:
        yield Served(server, echo, listener.sockets[0].getsockname()[1])
        await until(lambda: not server.connections)
        assert server.buffered_bytes == 0
    finally:
        sweeper.cancel()
        listener.close()


def ask(*pieces: bytes, **limits) -> bytes:
    """What a server says to one connection."""

    async def scenario():
        async with served(**limits) as one:
            return await one.raw(*pieces)

    return run(scenario())


def reset(writer) -> None:
    """Leave without taking leave."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def payload(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nhost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n", 400),
        (b"GET / HTTP/1.2\r\nhost: a\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"BREW / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        (b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nabcde", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\nabcde", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\nabcde", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nabcde", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %b5\r\n\r\nabcde" % (b"0" * 9000), 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %b5\r\n\r\nabcde" % (b"0" * 20), 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400),
        (b"GET /refused HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        (b"GET /broken-door HTTP/1.1\r\nhost: a\r\n\r\n", 500),
    ],
)  # fmt: skip
def test_what_is_refused_is_answered_counted_and_ends_the_connection(sent, status):
    async def scenario():
        async with served() as one:
            return await one.raw(sent), one.echo

    answer, echo = run(scenario())
    assert statuses(answer) == [status]
    assert b"\r\nconnection: close\r\n" in answer
    assert b"secret" not in answer
    assert echo.handled == []
    assert len(echo.refusals) == 1


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"GET /a/b?c=d HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"/a/b"),
        (b"GET /a HTTP/1.0\r\n\r\n", b"/a"),
        (b"GET /a HTTP/1.1\r\nhost: a\r\nx-empty:\r\nx-latin: \xe9\r\nconnection: close\r\n\r\n", b"/a"),
        (b"GET /a HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade, close\r\n\r\n", b"/a"),
        (b"\r\nGET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"/a"),
        (b"POST / HTTP/1.1\r\nhost: a\r\nCONTENT-LENGTH: 3 \r\nConnection: Close\r\n\r\nabc", b"abc"),
        (CHUNKED + b"1;x=y\r\na\r\n02\r\nbc\r\n0\r\nauthorization: Bearer z\r\n\r\n", b"abc"),
    ],
)  # fmt: skip
def test_unusual_but_lawful_requests_are_answered(sent, told):
    answer = ask(sent)
    assert statuses(answer) == [200]
    assert payload(answer) == told


def test_a_trailer_is_not_taken_for_a_header():
    async def scenario():
        async with served() as one:
            await one.raw(CHUNKED + b"1\r\na\r\n0\r\nauthorization: Bearer z\r\nhost: b\r\n\r\n")
            return one.echo.handled[0].headers

    assert run(scenario()) == {b"host": b"a", b"transfer-encoding": b"Chunked", b"connection": b"close"}


def test_a_head_is_answered_like_a_get_but_for_the_body():
    whole = ask(request("/a", b"", CLOSE, method=b"GET"))
    assert ask(request("/a", b"", CLOSE, method=b"HEAD")) == whole.removesuffix(b"/a")
    assert b"\r\ncontent-length: 2\r\n" in whole
    assert b"\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n" in whole
    assert b"\r\nx-content-type-options: nosniff\r\n" in whole


def test_answers_come_in_the_order_of_the_requests_whatever_the_order_they_were_found_in():
    async def scenario():
        async with served() as one:
            one.echo.hold = True
            asking = asyncio.create_task(one.raw(*[request(f"/{n}") for n in range(9)], request("/9", b"", CLOSE)))
            await until(lambda: len(one.echo.handled) == 10)
            for exchange in reversed(one.echo.handled):
                one.echo.answer(exchange)
            return await asking

    answers = run(scenario())
    assert [payload(part) for part in answers.split(b"HTTP/1.1 200 OK")[1:]] == [b"/%d" % n for n in range(10)]


def test_a_fault_fails_its_own_request_is_counted_and_the_connection_goes_on():
    async def scenario():
        async with served() as one:
            answers = await one.raw(*map(request, ("/broken", "/fault")), request("/after", b"", CLOSE))
            return answers, one.echo.refusals

    answers, refusals = run(scenario())
    assert statuses(answers) == [500, 404, 200]
    assert b"secret" not in answers
    assert refusals == ["internal", "not-found"]


def test_nothing_is_answered_after_a_refusal_or_the_last_request():
    async def scenario():
        async with served() as one:
            refused = await one.raw(request("/refused") + request("/a") * 3)
            last = await one.raw(request("/a", b"", CLOSE) + request("/b") * 3)
            return refused, last, one.echo

    refused, last, echo = run(scenario())
    assert statuses(refused) == [404]
    assert statuses(last) == [200]
    assert [exchange.path for exchange in echo.handled] == [b"/a"]


def test_a_refusal_comes_after_the_answers_that_are_still_due():
    async def scenario():
        async with served() as one:
            one.echo.hold = True
            asking = asyncio.create_task(one.raw(request("/a") + b"nonsense\r\n\r\n"))
            await until(lambda: one.echo.refusals)
            one.echo.answer(one.echo.handled[0])
            return await asking

    assert statuses(run(scenario())) == [200, 400]


class TestSizes:
    def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(self):
        assert statuses(ask(request("/", bytes(1000), CLOSE))) == [200]
        assert statuses(ask(request("/", bytes(1001), CLOSE))) == [413]

    def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(self):
        assert statuses(ask(request("/", bytes(10_000)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")) == [413]

    def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(self):
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        assert statuses(ask(head + b"258\r\n%b\r\n258\r\n" % bytes(600), bytes(600))) == [413]
        assert statuses(ask(head + b"1\r\na\r\n" * 21, chunks=20)) == [413]

    def test_a_path_has_a_longest_length_however_it_arrives(self):
        assert payload(ask(b"GET /" + b"a" * 1023, b" HTTP/1.0\r\n\r\n")) == b"/" + b"a" * 1023
        assert statuses(ask(b"GET /" + b"a" * 1024 + b" HTTP/1.0\r\n\r\n")) == [414]
        assert statuses(ask(*[b"GET /" + b"a" * 300, *[b"a" * 300] * 3])) == [414]

    @pytest.mark.parametrize("headers", [1, 20])
    def test_headers_have_a_largest_size_however_they_arrive(self, headers):
        def lines(size: int) -> bytes:
            return b"".join(b"x-%02d: %b\r\n" % (n, b"v" * (size // headers - 4)) for n in range(headers))

        most = 2000 - len(b"hosta" + b"connectionclose")
        fitting = b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + lines(most) + b"\r\n"
        pieces = [fitting[at : at + 150] for at in range(0, len(fitting), 150)]
        assert payload(ask(fitting, header_bytes=2000)) == b"/a"
        assert payload(ask(*pieces, header_bytes=2000)) == b"/a"
        above = b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + lines(most + headers)
        assert statuses(ask(above + b"\r\n", header_bytes=2000)) == [431]
        endless = [above[at : at + 150] for at in range(0, len(above), 150)]
        assert statuses(ask(*endless, b"v" * 150, header_bytes=2000)) == [431]

    def test_headers_have_a_largest_number_also_after_the_body(self):
        assert statuses(ask(b"GET / HTTP/1.0\r\n" + b"x: 1\r\n" * 9 + b"\r\n", header_count=8)) == [431]
        chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: 1\r\n" * 9 + b"\r\n"
        assert statuses(ask(chunked, header_count=8)) == [431]

    def test_all_bodies_together_have_a_largest_size_and_it_is_free_again_afterwards(self):
        async def scenario():
            async with served(buffered_bytes=2500) as one:
                one.echo.hold = True
                asking = [asyncio.create_task(one.raw(request("/", bytes(900), CLOSE))) for _ in range(2)]
                await until(lambda: len(one.echo.handled) == 2)
                refused = await one.raw(request("/", bytes(900), CLOSE))
                for exchange in one.echo.handled:
                    one.echo.answer(exchange)
                answers = [await task for task in asking]
                one.echo.hold = False
                return refused, answers, await one.raw(request("/", bytes(900), CLOSE))

        refused, answers, after = run(scenario())
        assert statuses(refused) == [503]
        assert b"\r\nretry-after: 1\r\n" in refused
        assert [statuses(answer) for answer in (*answers, after)] == [[200]] * 3

    def test_small_bodies_that_become_large_ones_are_counted_as_what_they_became(self):
        zipped = request("/", gzip.compress(bytes(900)), b"content-encoding: gzip")

        async def scenario():
            async with served(buffered_bytes=2500) as one:
                one.echo.hold = True
                asking = asyncio.create_task(one.raw(zipped * 4 + request("/", b"", CLOSE)))
                await until(lambda: len(one.echo.handled) == 3)
                for exchange in one.echo.handled:
                    one.echo.answer(exchange)
                return await asking

        assert statuses(run(scenario())) == [200, 200, 503, 503, 200]

    def test_what_comes_beside_a_body_has_a_largest_size_also_in_one_line_that_never_ends(self):
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        piece = b"x" * 300
        for endless in (b"1;", b"0\r\nt: "):
            assert statuses(ask(head, endless, *[piece] * 4, framing_bytes=1000)) == [413]
        fitting = [CHUNKED, b"1;" + piece, piece + b"\r\na\r\n0\r\nt: ", piece + b"\r\n\r\n"]
        assert statuses(ask(*fitting, framing_bytes=1000)) == [200]
        body = [CHUNKED, b"3e8\r\n", *[bytes(100)] * 10, b"\r\n0\r\n\r\n"]
        assert statuses(ask(*body, framing_bytes=100)) == [200]

    def test_bodies_of_clients_that_leave_no_longer_count(self):
        async def scenario():
            async with served() as one:
                one.echo.hold = True
                async with one.connect() as (_, writer):
                    writer.write(request("/", bytes(700)) + request("/", bytes(700))[:-100])
                    await until(lambda: one.server.buffered_bytes == 1300)
                    reset(writer)
                await until(lambda: one.server.buffered_bytes == 0)
                one.echo.answer(one.echo.handled[0])  # into the void
                return one.server.connections

        assert run(scenario()) == set()

    def test_more_connections_than_allowed_are_told_so_and_the_others_go_on(self):
        async def scenario():
            async with served(connections=2) as one, one.connect() as (first, writer), one.connect():
                await until(lambda: len(one.server.connections) == 2)
                refused = await one.raw()
                writer.write(request("/a", b"", CLOSE))
                return refused, await first.read()

        refused, answer = run(scenario())
        assert statuses(refused) == [503]
        assert statuses(answer) == [200]

    def test_a_client_with_many_requests_on_their_way_is_read_no_further_until_some_are_answered(self):
        requests = [request(f"/{n}", bytes(50_000)) for n in range(80)]

        async def scenario():
            async with served(body_bytes=100_000, pipelined=4) as one:
                one.echo.hold = True
                asking = asyncio.create_task(one.raw(b"".join(requests) + request("/last", b"", CLOSE)))
                (connection,) = await until(lambda: one.server.connections)
                await until(lambda: connection._throttled)
                taken = len(one.echo.handled)
                one.echo.hold = False
                for exchange in one.echo.handled:
                    one.echo.answer(exchange)
                return taken, await asking

        taken, answers = run(scenario())
        assert 4 <= taken < 40
        assert statuses(answers) == [200] * 81

    @pytest.mark.parametrize("half", [False, True], ids=["open", "ends"])
    def test_many_requests_in_one_read_are_answered_in_order_and_others_have_their_turn_between_them(self, half):
        wanted = [f"/{n}" for n in range(1500)]

        async def scenario():
            loop = asyncio.get_running_loop()
            async with served() as one:
                with socket.create_connection(("127.0.0.1", one.port)) as other:
                    await until(lambda: one.server.connections)
                    answer, connections = one.echo.answer, []

                    def ask_beside(exchange):
                        if not connections:
                            other.sendall(request("/beside", b"", CLOSE))
                        connections.append(exchange.path)
                        answer(exchange)

                    one.echo.answer = ask_beside
                    with socket.create_connection(("127.0.0.1", one.port)) as many:
                        sent = b"".join(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode() for path in wanted)
                        many.sendall(sent + b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                        if half:
                            many.shutdown(socket.SHUT_WR)
                        many.setblocking(False)
                        answers = b""
                        while piece := await loop.sock_recv(many, 65_536):
                            answers += piece
                        return answers, connections

        answers, order = run(scenario())
        assert [part.partition(b"HTTP/1.1 200")[0].decode() for part in answers.split(b"\r\n\r\n")[1:]] == [
            *wanted,
            "/last",
        ]
        assert order.index(b"/beside") < 300

    def test_what_was_read_waits_while_the_queue_is_full_and_its_deadline_too(self):
        requests = b"".join(request(f"/{n}") for n in range(400))

        async def scenario():
            async with served(header_s=0.02, body_s=0.02) as one:
                one.echo.hold = True
                asking = asyncio.create_task(one.raw(requests + request("/last", b"x" * 900, CLOSE)))
                (connection,) = await until(lambda: one.server.connections)
                await until(lambda: connection._unread)
                taken = len(one.echo.handled)
                await asyncio.sleep(0.06)
                assert len(one.echo.handled) == taken
                one.echo.hold = False
                for exchange in list(one.echo.handled):
                    one.echo.answer(exchange)
                return taken, await asking

        taken, answers = run(scenario())
        assert 32 <= taken < 100
        assert statuses(answers) == [200] * 401


class TestCompression:
    def test_a_compressed_body_is_read_and_an_uncompressed_one_may_say_so(self):
        plain = b"row" * 100
        for encoding, sent in ((b"gzip", gzip.compress(plain)), (b"GZip", gzip.compress(plain)), (b"identity", plain)):
            assert payload(ask(request("/", sent, CLOSE, b"content-encoding: " + encoding))) == plain

    @pytest.mark.parametrize(
        ("sent", "encoding", "status"),
        [
            (gzip.compress(bytes(1001), mtime=0), b"gzip", 413),
            (gzip.compress(bytes(900_000), mtime=0), b"gzip", 413),
            (gzip.compress(b"row", mtime=0)[:-1], b"gzip", 400),
            (gzip.compress(b"row", mtime=0) * 2, b"gzip", 400),
            (gzip.compress(b"row", mtime=0) + b"x", b"gzip", 400),
            (b"row", b"gzip", 400),
            (b"", b"gzip", 400),
            (b"row", b"br", 415),
            (b"row", b"gzip, gzip", 415),
        ],
    )
    def test_a_body_that_is_not_one_whole_stream_within_the_limit_is_refused(self, sent, encoding, status):
        answer = ask(request("/", sent, CLOSE, b"content-encoding: " + encoding))
        assert statuses(answer) == [status]


class TestExpectation:
    def test_a_client_that_asks_first_is_told_to_go_on(self):
        async def scenario():
            async with served() as one, one.connect() as (reader, writer):
                head, _, sent = request("/", b"abc", CLOSE, b"expect: 100-Continue").partition(b"\r\n\r\n")
                writer.write(head + b"\r\n\r\n")
                first = await reader.readuntil(b"\r\n\r\n")
                writer.write(sent)
                return first, await reader.read()

        first, answer = run(scenario())
        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert payload(answer) == b"abc"

    def test_a_client_that_asks_first_is_not_told_to_go_on_with_what_is_refused(self):
        sent = request("/", bytes(2000), b"expect: 100-continue").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        assert statuses(ask(sent)) == [413]

    def test_a_client_of_http_1_0_knows_no_interim_answer(self):
        sent = request("/", b"abc", b"expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
        assert statuses(ask(sent)) == [200]

    def test_other_expectations_cannot_be_met(self):
        assert statuses(ask(request("/", b"abc", b"expect: coffee"))) == [417]


class TestDeadlines:
    @pytest.mark.parametrize(
        "sent", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\nx: ", request("/", bytes(99))[:-1]], ids=len
    )
    def test_a_request_that_does_not_arrive_in_time_is_told_so(self, sent):
        answer = ask(sent, header_s=0.03, body_s=0.03)
        assert statuses(answer) == [408]

    def test_a_silent_connection_is_closed_before_and_between_requests(self):
        assert ask(idle_s=0.03) == b""
        assert statuses(ask(request("/a"), idle_s=0.5)) == [200]

    def test_a_client_has_no_deadline_while_it_waits_for_its_answer(self):
        async def scenario():
            async with served() as one:
                one.echo.hold = True
                asking = asyncio.create_task(one.raw(request("/a", b"", CLOSE)))
                await until(lambda: one.echo.handled)
                deadlines = [connection.deadline_s for connection in one.server.connections]
                one.echo.answer(one.echo.handled[0])
                return deadlines, await asking

        deadlines, answer = run(scenario())
        assert deadlines == [math.inf]
        assert statuses(answer) == [200]

    def test_a_client_that_takes_no_answers_is_let_go(self):
        async def scenario():
            async with served(write_s=0.05, body_bytes=300_000) as one, one.connect() as (_, writer):
                for _ in range(60):
                    writer.write(request("/", bytes(200_000)))
                await until(lambda: one.server.connections)
                await until(lambda: not one.server.connections)
                return one.server.buffered_bytes

        assert run(scenario()) == 0

    def test_a_client_that_takes_its_answers_late_gets_them_all_and_may_go_on(self):
        async def scenario():
            async with served(body_bytes=300_000) as one, one.connect() as (reader, writer):
                for _ in range(60):
                    writer.write(request("/", bytes(200_000)))
                (connection,) = await until(lambda: one.server.connections)
                await until(lambda: connection._blocked)
                taken = len(one.echo.handled)
                async with asyncio.timeout(20):
                    for _ in range(60):
                        await reader.readuntil(b"\r\n\r\n")
                        assert await reader.readexactly(200_000) == bytes(200_000)
                await until(lambda: not connection._blocked)
                deadline = connection.deadline_s
                writer.write(request("/a", b"", CLOSE))
                return taken, deadline - one.server.now_s, await reader.read()

        taken, left, answer = run(scenario())
        assert taken < 60
        assert 0 < left <= Limits(body_bytes=1).idle_s
        assert statuses(answer) == [200]

    def test_a_refused_client_that_goes_on_sending_can_read_its_answer_and_is_then_let_go(self):
        async def scenario():
            async with served(linger_s=0.3) as one, one.connect() as (reader, writer):
                writer.write(request("/refused", bytes(900)))
                answer = await reader.readuntil(b"}")
                with contextlib.suppress(OSError):
                    for _ in range(20):
                        writer.write(request("/a", bytes(900)))
                    await writer.drain()
                await until(lambda: not one.server.connections)
                return answer, one.echo.handled

        answer, handled = run(scenario())
        assert statuses(answer) == [404]
        assert handled == []


class TestDraining:
    def test_what_is_on_its_way_is_answered_and_the_connection_closed_at_once(self):
        head, _, sent = request("/a", b"abc").partition(b"\r\n\r\n")

        async def scenario():
            async with served() as one:
                one.echo.hold = True
                async with one.connect() as handled, one.connect() as in_body, one.connect() as in_head:
                    handled[1].write(request("/a", b"abc"))
                    in_body[1].write(head + b"\r\n\r\na")
                    in_head[1].write(head[:-3])
                    await until(lambda: len(one.echo.admitted) == 2 and len(one.server.connections) == 3)
                    await until(lambda: sum(connection._receiving for connection in one.server.connections) == 2)
                    one.server.drain(60)
                    one.echo.hold = False
                    one.echo.answer(one.echo.handled[0])
                    in_body[1].write(sent[1:])
                    in_head[1].write(head[-3:] + b"\r\n\r\n" + sent)
                    async with asyncio.timeout(20):
                        return [await reader.read() for reader, _ in (handled, in_body, in_head)]

        for answer in run(scenario()):
            assert statuses(answer) == [200]
            assert b"\r\nconnection: close\r\n" in answer
            assert payload(answer) == b"abc"

    def test_a_request_that_follows_one_on_its_way_is_answered_too(self):
        async def scenario():
            async with served() as one, one.connect() as (reader, writer):
                one.echo.hold = True
                writer.write(request("/a") + request("/b", b"abc")[:-1])
                await until(lambda: len(one.echo.admitted) == 2)
                one.server.drain(60)
                one.echo.hold = False
                one.echo.answer(one.echo.handled[0])
                writer.write(b"c")
                async with asyncio.timeout(20):
                    return await reader.read()

        assert statuses(run(scenario())) == [200, 200]

    def test_silent_connections_also_new_ones_are_closed_soon(self):
        async def scenario():
            async with served(idle_s=3600) as one, one.connect() as (old, _):
                await until(lambda: one.server.connections)
                one.server.drain(0.03)
                async with one.connect() as (new, _), asyncio.timeout(20):
                    return await old.read(), await new.read()

        assert run(scenario()) == (b"", b"")

    def test_a_request_on_a_connection_that_was_silent_is_answered_and_is_the_last(self):
        async def scenario():
            async with served() as one, one.connect() as (reader, writer):
                await until(lambda: one.server.connections)
                one.server.drain(60)
                writer.write(request("/a"))
                async with asyncio.timeout(20):
                    return await reader.read()

        assert b"\r\nconnection: close\r\n" in run(scenario())


def test_a_client_that_says_no_more_still_gets_its_answers():
    async def scenario():
        async with served() as one:
            one.echo.hold = True
            async with one.connect() as (reader, writer):
                writer.write(request("/a") + request("/b"))
                writer.write_eof()
                await until(lambda: len(one.echo.handled) == 2)
                for exchange in one.echo.handled:
                    one.echo.answer(exchange)
                async with asyncio.timeout(20):
                    return await reader.read()

    assert statuses(run(scenario())) == [200, 200]


def test_half_a_request_before_the_end_is_no_request():
    async def scenario():
        async with served() as one, one.connect() as (reader, writer):
            writer.write(request("/", b"abc")[:-1])
            writer.write_eof()
            async with asyncio.timeout(20):
                return await reader.read(), one.echo

    answer, echo = run(scenario())
    assert answer == b""
    assert echo.handled == []
