"""How a network cuts the bytes of a connection into packets changes nothing of what is answered."""

import asyncio
import itertools

from hypothesis import given
from hypothesis import strategies as st
from tests.serving_runs import request, statuses

from seakeep.clock import FixedClock
from seakeep.errors import NotFoundError
from seakeep.serving.exchange import Limits
from seakeep.serving.http import Connection, HttpServer


class Echo:
    """Answers at once, with the path and the body."""

    def admit(self, exchange):
        if exchange.path == b"/refused":
            raise NotFoundError("not here")

    def handle(self, exchange):
        exchange.respond(200, exchange.path + exchange.body)

    def refused(self, error):
        pass


class Wire(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self):
        super().__init__()
        self.said = b""

    def write(self, data):
        self.said += data

    def write_eof(self):
        pass

    def close(self):
        pass


def answers(*packets):
    server = HttpServer(Echo(), Limits(body_bytes=60, header_bytes=300, header_count=8), FixedClock(0))
    connection, wire = Connection(server), Wire()
    connection.connection_made(wire)
    for packet in packets:
        connection.data_received(packet)
    connection.connection_lost(None)
    assert server.buffered_bytes == 0
    return wire.said


CHUNKED = (
    b"POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: 1\r\n\r\n"
)
LAWFUL = [
    request("/a", method=b"GET"), request("/b?c=d", b"body"), CHUNKED, request("/h", method=b"HEAD"), b"\r\n" + request("/e"),
    request("/long", bytes(60), *[b"x-%d: %b" % (n, b"v" * 20) for n in range(5)]),
]  # fmt: skip
UNLAWFUL = [
    request("/refused"), request("/big", bytes(61)), request("/many", b"", *[b"x: y"] * 8), b"nonsense\r\n\r\n",
    request("/wide", b"", *[b"x-%d: %b" % (n, b"v" * 60) for n in range(5)]), request("/put", method=b"PUT"),
    request("/twice", b"", b"host: b"), request("/last", b"", b"connection: close"), CHUNKED.replace(b"3\r\n", b"z\r\n"),
]  # fmt: skip


@given(
    lawful=st.lists(st.sampled_from(LAWFUL), max_size=6),
    unlawful=st.sampled_from([b"", *UNLAWFUL]),
    cuts=st.lists(st.integers(0, 2500), max_size=12),
)
def test_any_cut_of_the_bytes_gives_the_same_answers(lawful, unlawful, cuts):
    whole = b"".join(lawful) + unlawful
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:stop] for start, stop in itertools.pairwise(edges)]
    together = answers(whole)
    assert answers(*pieces) == together
    assert answers(*[whole[at : at + 1] for at in range(len(whole))]) == together
    found = statuses(together)
    assert found[: len(lawful)] == [200] * len(lawful)
    assert len(found) == len(lawful) + bool(unlawful)
