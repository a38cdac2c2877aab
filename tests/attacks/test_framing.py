"""Attacks by framing: where one request ends and the next begins must be read by us as by any strict reader before us.

The strict reader is h11, which shares no line of code with llhttp: what our server executes, h11 must have read as the
same request with the same body. Where h11 refuses and we do not, or the other way round, a proxy in front could be led
to see other requests than we do (request smuggling).

References
----------
RFC 9112, 6 and 11.2; the corpus of variants follows Linhart et al. (2005) and Kettle (2019).
"""

import contextlib
import socket

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.property.serving.test_http_fragments import Wire
from tests.serving_runs import PREDICT, body, request, row, statuses

from seakeep.clock import FixedClock
from seakeep.serving.exchange import Limits
from seakeep.serving.http import Connection, HttpServer

HARMLESS = (
    "illegal request line",  # more than one space: the same three parts
    "no request line received",  # empty lines before a request
    "illegal chunk header: bytearray(b'0",  # more than 20 digits: zeros, and the same size
)
"""Why h11 refuses what we may take: none of it is about where a request ends."""


class Executed:
    """An application that keeps what it is given."""

    def __init__(self):
        self.requests = []

    def admit(self, exchange):
        pass

    def handle(self, exchange):
        self.requests.append((exchange.method, exchange.path, exchange.body))
        exchange.respond(200, b"")

    def refused(self, error):
        pass


def ours(data):
    application = Executed()
    server = HttpServer(application, Limits(body_bytes=1000), FixedClock(0))
    connection, wire = Connection(server), Wire()
    connection.connection_made(wire)
    connection.data_received(data)
    connection.connection_lost(None)
    assert server.buffered_bytes == 0
    assert all(status == 200 or 400 <= status < 500 or status in {501, 505} for status in statuses(wire.said))
    return application.requests


def theirs(data):
    """The requests that h11 reads, and why it reads no further."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    requests = []
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return requests, ""
            if event is h11.PAUSED:
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            elif isinstance(event, h11.Request):
                head, found = (bytes(event.method), bytes(event.target).partition(b"?")[0]), b""
            elif isinstance(event, h11.Data):
                found += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests.append((*head, found))
    except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:
        return requests, str(error)


def check_same(data):
    mine = ours(data)
    read, why = theirs(data)
    if not why.startswith(HARMLESS):
        assert mine == read[: len(mine)], why


START = b"POST /a HTTP/1.1\r\nhost: a\r\n"
SECOND = b"GET /b HTTP/1.1\r\nhost: a\r\n\r\n"
FRAMINGS = [
    b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
    b"transfer-encoding: chunked\r\ncontent-length: 5\r\n", b"content-length: 5\r\ncontent-length: 6\r\n", b"content-length: 5, 5\r\n",
    b"content-length: +5\r\n", b"content-length: 5 \r\n", b"content-length : 5\r\n", b"content-length:\t5\r\n", b"content-length: 0x5\r\n",
    b"content-length: 05\r\n", b"content-length: 5\r\n \r\n", b"content-length: 1\r\n 5\r\n", b"content-length: 5;a\r\n", b"content-length: 5.0\r\n",
    b"Transfer-Encoding: Chunked\r\n", b"transfer-encoding: chunked, identity\r\n", b"transfer-encoding: identity, chunked\r\n",
    b"transfer-encoding: identity\r\n", b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", b"transfer-encoding: xchunked\r\n",
    b"transfer-encoding: \x0bchunked\r\n", b"transfer-encoding:\r\n chunked\r\n", b"transfer-encoding : chunked\r\n", b"transfer_encoding: chunked\r\n",
    b'transfer-encoding: "chunked"\r\n', b"transfer-encoding: chunked;q=1\r\n", b"transfer-encoding:chunked\r\n", b"x: a\rtransfer-encoding: chunked\r\n",
    b"x: a\ntransfer-encoding: chunked\r\n", b"x:\r\n\ttransfer-encoding: chunked\r\n", b"connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n",
    b"\x00content-length: 5\r\n", b"x: \x00\r\ncontent-length: 5\r\n", b"content-length: 5\r\x00\n", b"",
]  # fmt: skip
BODIES = [
    b"abcde", b"5\r\nabcde\r\n0\r\n\r\n", b"5\nabcde\n0\n\n", b"5 \r\nabcde\r\n0\r\n\r\n", b"5;a=b\r\nabcde\r\n0\r\n\r\n", b"5;\r\nabcde\r\n0\r\n\r\n",
    b"5;a\nb\r\nabcde\r\n0\r\n\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n", b"+5\r\nabcde\r\n0\r\n\r\n", b"05\r\nabcde\r\n00\r\n\r\n", b"5\r\nabcdef\r\n0\r\n\r\n",
    b"5\r\nabcd\r\n0\r\n\r\n", b"5\r\nabcde0\r\n\r\n", b"5\r\nabcde\r\n0\r\nx: y\r\n\r\n", b"5\r\nabcde\r\n0\r\nx y\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r", b"0\r\n\r\n",
    b"0\r\n", b"ffffffffffffffff5\r\nabcde\r\n0\r\n\r\n", b"5\r\r\nabcde\r\n0\r\n\r\n", b"\r\n5\r\nabcde\r\n0\r\n\r\n", b"5\r\nabcde\r\n0;\r\n\r\n", b"",
]  # fmt: skip
SPECIAL = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\x00",
        b"\x0b",
        b":",
        b";",
        b",",
        b"0",
        b"5",
        b"\xff",
        b"a",
        b"\x85",
        b"\xa0",
    ]
)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_known_variant_is_read_as_a_strict_reader_reads_it_or_refused(framing):
    for sent in BODIES:
        check_same(START + framing + b"\r\n" + sent + SECOND)
        check_same(START.replace(b"1.1", b"1.0") + framing + b"\r\n" + sent + SECOND)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    framing=st.sampled_from(FRAMINGS),
    sent=st.sampled_from(BODIES),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), SPECIAL), max_size=4),
)
@example(b"transfer-encoding: chunked\r\n", b"5\r\nabcde\r\n0\r\n\r\n", [(0.0, 1, b"\r\n")])
def test_no_bytes_make_us_execute_what_a_strict_reader_does_not_read(framing, sent, edits):
    """Lawful and unlawful requests with bytes put in, replaced and cut out anywhere."""
    data = START + framing + b"\r\n" + sent + SECOND
    for place, cut, put in edits:
        at = int(place * len(data))
        data = data[:at] + put + data[at + cut :]
    check_same(data)


class TestOnTheWire:
    """Heads that are none, beside the tests of time in ``tests/faults`` and ``tests/unit/serving/test_http.py``."""

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            (START + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND, [400]),
            (START + b"content-length: 5\r\ncontent-length: 5\r\n\r\nabcde" + SECOND, [400]),
            (START + b"content-length: +3\r\n\r\nabc" + SECOND, [400]),
            (START + b"x: a\r\n b\r\n\r\n" + SECOND, [400]),
            (START + b"x: a\rb\r\n\r\n" + SECOND, [400]),
            (START + b"content-length: " + b"0" * 8000 + b"5\r\n\r\nabcde" + SECOND, [400]),
            (START + b"".join(b"x-%d: y\r\n" % number for number in range(10_000)) + b"\r\n", [431]),
            (START + b"x: " + b"y" * 2**20 + b"\r\n\r\n", [431]),
            (START + b"y" * 2**20, [431]),
            (b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\n", [414]),
            (b"A" * 2**20, [400]),
            (b"\r\n" * 2**19 + SECOND.replace(b"/b", b"/v2/health/live").replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), [200]),
            (b"GET /\r\n\r\n", [505]),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505), [400]),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 1000, [400]),
            (b"GET /v2 HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: close, upgrade\r\n\r\n", [200]),
        ],
        ids=range(16),
    )  # fmt: skip
    def test_what_is_no_lawful_request_ends_the_connection(self, target, sent, expected):
        with target.unhurt(40):
            found = statuses(target.say(sent.replace(b"host: a", b"host: localhost")))
            assert found in (expected, []), "a reset may reach the client before the answer"

    def test_more_connections_than_there_are_requests_to_answer(self, target):
        """Silent ones, and ones cut off in every place, beside clients that are served."""
        whole = request(PREDICT, body(row()))
        with target.unhurt(40), contextlib.ExitStack() as held:
            for number in range(400):
                client = held.enter_context(socket.create_connection(("127.0.0.1", target.port), timeout=20))
                client.sendall(whole[: number % len(whole)])
            assert all(target.post(PREDICT, body(row())) == 200 for _ in range(20))
