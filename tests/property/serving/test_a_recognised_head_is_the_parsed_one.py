"""Whether a request is parsed, or recognised by its head, nobody can tell from what is answered or done."""

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from seakeep.clock import FixedClock
from seakeep.errors import NotFoundError
from seakeep.serving.exchange import Limits
from seakeep.serving.http import Connection, HttpServer

LINES = (
    b"POST /a HTTP/1.1", b"POST /refused HTTP/1.1", b"GET /a?b=c HTTP/1.1", b"POST /a HTTP/1.0", b"PUT /a HTTP/1.1",
    b"\r\nPOST /a HTTP/1.1", b"post /a HTTP/1.1", b"POST  /a HTTP/1.1",
)  # fmt: skip
MORE = (
    b"x-one: 1", b"x-one:2", b"authorization: Bearer me", b"connection: close", b"connection: upgrade\r\nupgrade: h2c",
    b"expect: 100-continue", b"transfer-encoding: chunked", b"content-length: 3", b"host: b", b" folded", b"",
)  # fmt: skip


@st.composite
def requests(draw):
    body = draw(
        st.sampled_from([b"", b"abc", b"abcd", b"a\r\n\r\nb", b"GET / HTTP/1.1\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"])
    )
    lines = [
        draw(st.sampled_from(LINES) | st.just(LINES[0])),
        b"host: a",
        *draw(st.lists(st.sampled_from(MORE[:3]) | st.sampled_from(MORE), max_size=2)),
    ]
    if draw(st.integers(0, 9)):
        lines.append(b"content-length: %d" % (len(body) + draw(st.sampled_from([0] * 8 + [1, -1]))))
    end = draw(st.sampled_from([b"\r\n"] * 8 + [b"\n"]))
    return end.join([*lines, b"", b""]) + body


class Pipe:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data

    def close(self):
        self.written += b"|closed"

    abort = write_eof = pause_reading = resume_reading = lambda _: None


class Told:
    """An application that keeps what it is told, and answers at once."""

    def __init__(self):
        self.told = []

    def admit(self, exchange):
        self.told.append(("admit", exchange.method, exchange.path, dict(exchange.headers)))
        if exchange.path == b"/refused":
            raise NotFoundError("not here")

    def handle(self, exchange):
        self.told.append(("handle", exchange.path, exchange.body, exchange.close))
        exchange.respond(200, exchange.body)

    def refused(self, error):
        self.told.append(("refused", error.code, error.message))


def answered(connections, *, recognise):
    """What is written and told; each connection is given its pieces one after another."""
    told = Told()
    server = HttpServer(told, Limits(body_bytes=100), FixedClock(0))
    if not recognise:
        server.heads.find = lambda _: None

    async def feed():
        written = []
        for pieces in connections:
            connection, pipe = Connection(server), Pipe()
            connection.connection_made(pipe)
            for piece in pieces:
                connection.data_received(piece)
                await asyncio.sleep(0)
            connection.connection_lost(None)
            written.append(pipe.written)
        return written

    return asyncio.run(feed()), told.told, server.buffered_bytes


@settings(max_examples=150, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3).flatmap(lambda few: st.lists(st.lists(st.sampled_from(few), max_size=5), min_size=2, max_size=4)), st.data())  # fmt: skip
def test_nobody_can_tell(connections, data):
    pieces = []
    for sent in connections:
        whole = b"".join(sent)
        if data.draw(st.booleans()):
            pieces.append(sent)  # as a client sends them: one at a time
        else:
            cuts = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=3))})
            pieces.append([whole[start:stop] for start, stop in itertools.pairwise(cuts)])
    assert answered(pieces, recognise=True) == answered(pieces, recognise=False)
    assert answered(pieces, recognise=True)[2] == 0


def test_and_the_second_request_of_a_client_is_not_parsed():
    request = b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"
    server = HttpServer(Told(), Limits(body_bytes=100), FixedClock(0))
    connection = Connection(server)
    connection.connection_made(Pipe())
    connection.data_received(request)
    connection._parser = None
    connection.data_received(request)
    assert [one[0] for one in server.application.told] == ["admit", "handle"] * 2
