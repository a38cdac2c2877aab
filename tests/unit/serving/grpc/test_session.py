"""What RFC 9113 asks of a server, section by section, and what a client may not do."""

import gzip
import zlib

import pytest

pytest.importorskip("hpack")

from tests.http2 import CHAT, ECHO, GUARDED, LATER, LIMITS, Peer, Server, data, envelope

from seakeep.serving.grpc import frames
from seakeep.serving.grpc.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    PADDED,
    PREFACE,
    WEIGHTED,
    WINDOW_MOST,
    Code,
    frame,
    goaway_frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from seakeep.serving.grpc.session import BLOCK_FRAMES, CONNECTION_BYTES, STREAM_BYTES, STREAMS

OPEN, HALF_CLOSED, ENDED, RESET = 1, 3, 5, 7
"""Streams that :func:`told` brings into that state."""


def words(*fields):
    """Frames of type, flags, stream and payload."""
    return b"".join(frame(*one) for one in fields)


def in_states():
    peer = Peer()
    peer.say(
        peer.open(OPEN, CHAT),
        peer.call(HALF_CLOSED, LATER),
        peer.call(ENDED),
        peer.open(RESET),
        reset_frame(RESET, Code.CANCEL),
    )
    peer.hear()
    return peer


def literal(name, value, flag=0x00):
    return bytes([flag, len(name)]) + name + bytes([len(value)]) + value


# The connection's beginning (3.4) and frames (4, 6)


def test_a_connection_begins_with_settings_and_room():
    sent = Peer(settled=False).hear()
    assert [one.kind for one in sent] == [frames.SETTINGS, frames.WINDOW_UPDATE]
    told = dict(frames.read_settings(sent[0].payload))
    assert told[frames.MAX_CONCURRENT_STREAMS] == STREAMS
    assert told[frames.INITIAL_WINDOW_SIZE] == STREAM_BYTES
    assert told[frames.MAX_HEADER_LIST_SIZE] == LIMITS.header_bytes


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", PREFACE[:-1] + b"x", b"\x16\x03\x01\x02\x00"])
def test_what_is_not_http2_is_told_so(said):
    peer = Peer(settled=False)
    peer.say(said)
    assert peer.end() == Code.PROTOCOL_ERROR


def test_settings_come_first_and_are_acknowledged():
    peer = Peer(settled=False)
    for byte in PREFACE + settings_frame({frames.MAX_FRAME_SIZE: FRAME_BYTES, 0x99: 7}):
        peer.say(bytes([byte]))
    assert [(one.kind, one.flags) for one in peer.hear()][-1] == (frames.SETTINGS, ACK)
    other = Peer(settled=False)
    other.say(PREFACE, frame(frames.PING, 0, 0, bytes(8)))
    assert other.end() == Code.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("section", "said", "code"),
    [
        ("4.2 larger than allowed", words((frames.DATA, 0, OPEN, bytes(FRAME_BYTES + 1))), Code.FRAME_SIZE_ERROR),
        ("4.3 not HPACK: an index of none", words((frames.HEADERS, 5, 9, b"\xff\xff\x7f")), Code.COMPRESSION_ERROR),
        ("4.3 not HPACK: cut off", words((frames.HEADERS, 5, 9, b"\x00\x05ab")), Code.COMPRESSION_ERROR),
        ("4.3 table larger than allowed", words((frames.HEADERS, 5, 9, b"\x3f\xe2\x1f\x82")), Code.COMPRESSION_ERROR),
        ("6.1 DATA on stream 0", words((frames.DATA, 0, 0, b"x")), Code.PROTOCOL_ERROR),
        ("6.1 padding longer than the frame", words((frames.DATA, PADDED, OPEN, b"\x05xx")), Code.PROTOCOL_ERROR),
        ("6.1 no length of padding", words((frames.DATA, PADDED, OPEN, b"")), Code.FRAME_SIZE_ERROR),
        ("6.2 HEADERS on stream 0", words((frames.HEADERS, END_HEADERS, 0, b"\x82")), Code.PROTOCOL_ERROR),
        ("6.2 padding longer than the frame", words((frames.HEADERS, PADDED | 5, 9, b"\x09xx")), Code.PROTOCOL_ERROR),
        ("6.2 a priority cut off", words((frames.HEADERS, WEIGHTED | 5, 9, b"xx")), Code.FRAME_SIZE_ERROR),
        ("6.3 PRIORITY on stream 0", words((frames.PRIORITY, 0, 0, bytes(5))), Code.PROTOCOL_ERROR),
        ("6.4 RST_STREAM on stream 0", words((frames.RST_STREAM, 0, 0, bytes(4))), Code.PROTOCOL_ERROR),
        ("6.4 of an idle stream", words((frames.RST_STREAM, 0, 99, bytes(4))), Code.PROTOCOL_ERROR),
        ("6.4 of a wrong length", words((frames.RST_STREAM, 0, OPEN, bytes(3))), Code.FRAME_SIZE_ERROR),
        ("6.5 SETTINGS on a stream", words((frames.SETTINGS, 0, OPEN, b"")), Code.PROTOCOL_ERROR),
        ("6.5 of a wrong length", words((frames.SETTINGS, 0, 0, bytes(5))), Code.FRAME_SIZE_ERROR),
        ("6.5 an ACK with settings", words((frames.SETTINGS, ACK, 0, bytes(6))), Code.FRAME_SIZE_ERROR),
        ("6.5.2 ENABLE_PUSH 2", settings_frame({frames.ENABLE_PUSH: 2}), Code.PROTOCOL_ERROR),
        ("6.5.2 a window too large", settings_frame({frames.INITIAL_WINDOW_SIZE: 2**31}), Code.FLOW_CONTROL_ERROR),
        ("6.5.2 frames too small", settings_frame({frames.MAX_FRAME_SIZE: FRAME_BYTES - 1}), Code.PROTOCOL_ERROR),
        ("6.5.2 frames too large", settings_frame({frames.MAX_FRAME_SIZE: 2**24}), Code.PROTOCOL_ERROR),
        ("6.6 a client pushes", words((frames.PUSH_PROMISE, END_HEADERS, OPEN, bytes(4))), Code.PROTOCOL_ERROR),
        ("6.7 PING on a stream", words((frames.PING, 0, OPEN, bytes(8))), Code.PROTOCOL_ERROR),
        ("6.7 of a wrong length", words((frames.PING, 0, 0, bytes(7))), Code.FRAME_SIZE_ERROR),
        ("6.8 GOAWAY on a stream", words((frames.GOAWAY, 0, OPEN, bytes(8))), Code.PROTOCOL_ERROR),
        ("6.8 of a wrong length", words((frames.GOAWAY, 0, 0, bytes(7))), Code.FRAME_SIZE_ERROR),
        ("6.9 WINDOW_UPDATE of nothing", window_frame(0, 0), Code.PROTOCOL_ERROR),
        ("6.9 of a wrong length", words((frames.WINDOW_UPDATE, 0, 0, bytes(3))), Code.FRAME_SIZE_ERROR),
        ("6.9 of an idle stream", window_frame(99, 1), Code.PROTOCOL_ERROR),
        ("6.9.1 beyond the largest window", window_frame(0, WINDOW_MOST), Code.FLOW_CONTROL_ERROR),
        ("6.9.2 settings make a window too large",
         window_frame(OPEN, 1000) + settings_frame({frames.INITIAL_WINDOW_SIZE: WINDOW_MOST}), Code.FLOW_CONTROL_ERROR),
        ("6.10 CONTINUATION of nothing", words((frames.CONTINUATION, END_HEADERS, OPEN, b"")), Code.PROTOCOL_ERROR),
        ("6.10 on stream 0", words((frames.CONTINUATION, END_HEADERS, 0, b"")), Code.PROTOCOL_ERROR),
        ("6.10 on another stream",
         words((frames.HEADERS, 0, 9, b"\x82"), (frames.CONTINUATION, END_HEADERS, 11, b"")), Code.PROTOCOL_ERROR),
        ("6.10 another frame between", words((frames.HEADERS, 0, 9, b"\x82"), (frames.PING, 0, 0, bytes(8))), Code.PROTOCOL_ERROR),
        ("6.10 HEADERS between", words((frames.HEADERS, 0, 9, b"\x82"), (frames.HEADERS, 5, 11, b"\x82")), Code.PROTOCOL_ERROR),
        ("5.5 an unknown frame between", words((frames.HEADERS, 0, 9, b"\x82"), (0x77, 0, 9, b"")), Code.PROTOCOL_ERROR),
        ("5.1 idle: DATA", data(99, b"x"), Code.PROTOCOL_ERROR),
        ("5.1 closed: DATA", data(ENDED, b"x"), Code.STREAM_CLOSED),
        ("5.1 closed: HEADERS", words((frames.HEADERS, 5, ENDED, b"\x82")), Code.STREAM_CLOSED),
        ("5.1 reset by the client: DATA", data(RESET, b"x"), Code.STREAM_CLOSED),
        ("5.1 reset by the client: HEADERS", words((frames.HEADERS, 5, RESET, b"\x82")), Code.STREAM_CLOSED),
        ("5.1 closed: CONTINUATION", words((frames.CONTINUATION, END_HEADERS, ENDED, b"")), Code.PROTOCOL_ERROR),
        ("5.1.1 an even number", words((frames.HEADERS, 5, 8, b"\x82")), Code.PROTOCOL_ERROR),
    ],
)  # fmt: skip
def test_a_broken_rule_of_the_connection_ends_it_with_its_code(section, said, code):
    peer = in_states()
    peer.say(said)
    assert peer.end() == code
    peer.say(peer.call(101))
    assert peer.hear() == []
    assert (peer.server.calls, peer.server.buffered_bytes) == (0, 0)


def test_a_stream_that_was_passed_over_cannot_be_opened():
    peer = Peer()
    peer.say(peer.call(9), peer.call(7))
    assert peer.end() == Code.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("section", "number", "said", "code"),
    [
        ("5.1 half-closed: DATA", HALF_CLOSED, data(HALF_CLOSED, b"x"), Code.STREAM_CLOSED),
        ("6.9 WINDOW_UPDATE of nothing", OPEN, window_frame(OPEN, 0), Code.PROTOCOL_ERROR),
        ("6.9.1 beyond the largest window", OPEN, window_frame(OPEN, WINDOW_MOST), Code.FLOW_CONTROL_ERROR),
        ("6.3 PRIORITY of a wrong length", OPEN, frame(frames.PRIORITY, 0, OPEN, bytes(4)), Code.FRAME_SIZE_ERROR),
        ("8.1 headers in the middle", OPEN, frame(frames.HEADERS, END_HEADERS, OPEN, literal(b"a", b"b")), Code.PROTOCOL_ERROR),
        ("8.1 a pseudo-header among trailers", OPEN, frame(frames.HEADERS, 5, OPEN, b"\x83"), Code.PROTOCOL_ERROR),
        ("5.1 half-closed: HEADERS", HALF_CLOSED, frame(frames.HEADERS, 5, HALF_CLOSED, literal(b"a", b"b")), Code.STREAM_CLOSED),
    ],
)  # fmt: skip
def test_a_broken_rule_of_a_stream_ends_that_stream(section, number, said, code):
    peer = in_states()
    peer.say(said)
    assert peer.resets() == {number: code}
    peer.say(peer.call(101))
    assert peer.told(101)[0]["grpc-status"] == "0"


@pytest.mark.parametrize(
    "said",
    [
        frame(frames.PRIORITY, 0, 99, bytes(5)),
        frame(frames.PRIORITY, 0, ENDED, bytes(5)),
        frame(0x77, 0xFF, OPEN, b"what is this"),
        frame(frames.SETTINGS, ACK, 0),
        frame(frames.PING, ACK, 0, bytes(8)),
        window_frame(ENDED, 10),
        window_frame(RESET, 10),
        reset_frame(ENDED, Code.NO_ERROR),
        settings_frame({0x1234: 5}),
        frame(frames.DATA, PADDED, OPEN, b"\x03\x00\x00\x00"),
        frame(frames.DATA, 0, OPEN | 0x8000_0000, b""),
    ],
)
def test_what_is_allowed_disturbs_nobody(said):
    peer = in_states()
    peer.say(said, peer.call(101))
    assert not peer.transport.ended
    assert peer.told(101)[0]["grpc-status"] == "0"


def test_a_ping_is_answered_with_its_payload():
    peer = Peer()
    peer.say(frame(frames.PING, 0, 0, b"12345678"))
    assert [(one.kind, one.flags, one.payload) for one in peer.hear()] == [(frames.PING, ACK, b"12345678")]


# Header blocks (8.2, 8.3)


@pytest.mark.parametrize(
    "changes",
    [
        {"path": None}, {"path": ""}, {"method": None}, {"scheme": None}, {"te": "gzip"}, {"connection": "close"},
        {"transfer_encoding": "chunked"}, {"upgrade": "h2c"}, {"keep_alive": "5"}, {"proxy_connection": "x"},
        {"Upper": "x"}, {"a b": "x"}, {"": "x"}, {":status": "200"}, {":unknown": "x"}, {"x": "a\r\nb: c"}, {"x": "a\0"},
        {"x": " a"}, {"x": "a "}, {"content_length": "x"}, {"content_length": "-1"}, {"content_length": "9"},
        {"content_length": "11"}, {"content_length": "9" * 20}, {"host": "y"},
    ],
)  # fmt: skip
def test_a_malformed_head_ends_its_stream(changes):
    peer = Peer()
    path = changes.get("path", ECHO)
    peer.say(peer.call(1, **({"path": path} | changes)))
    assert peer.resets() == {1: Code.PROTOCOL_ERROR}
    assert peer.service.asked == []
    peer.say(peer.call(3))
    assert peer.told(3)[0]["grpc-status"] == "0"


@pytest.mark.parametrize(
    "fields",
    [
        [(":method", "POST"), (":scheme", "http"), ("te", "trailers"), (":path", ECHO)],
        [(":method", "POST"), (":method", "POST"), (":scheme", "http"), (":path", ECHO)],
        [(":method", "POST"), (":scheme", "http"), (":path", ECHO), (":path", GUARDED)],
        [(":method", "POST"), (":scheme", "http"), (":path", ECHO), ("content-length", "10"), ("content-length", "10")],
        [(":method", "POST"), (":scheme", "http"), (":path", ECHO), ("grpc-timeout", "1S"), ("grpc-timeout", "1H")],
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", ECHO),
            ("content-type", "application/grpc"),
            ("content-type", "x"),
        ],
    ],
)
def test_fields_that_another_reader_could_read_in_another_way_are_refused(fields):
    peer = Peer()
    peer.say(frame(frames.HEADERS, 5, 1, peer.encoder.encode(fields)))
    assert peer.resets() == {1: Code.PROTOCOL_ERROR}


def test_a_length_that_fits_and_a_host_that_is_the_authority_are_fine():
    peer = Peer()
    peer.say(peer.call(1, content_length="10", host="x"))
    assert peer.told(1)[1] == envelope(b"hello")


def test_a_block_in_many_frames_is_one_block():
    peer = Peer()
    block = peer.block()
    parts = [block[at : at + 20] for at in range(0, len(block), 20)]
    said = [frame(frames.HEADERS, 0, 1, parts[0])]
    said += [frame(frames.CONTINUATION, 0, 1, part) for part in parts[1:]]
    peer.say(*said, frame(frames.CONTINUATION, END_HEADERS, 1), data(1, envelope(b"x"), end=True))
    assert peer.told(1)[1] == envelope(b"x")


def test_padding_and_priority_are_taken_off():
    peer = Peer()
    padded = b"\x04" + bytes(5) + peer.block() + bytes(4)
    peer.say(
        frame(frames.HEADERS, END_HEADERS | PADDED | WEIGHTED, 1, padded),
        frame(frames.DATA, PADDED | END_STREAM, 1, b"\x02" + envelope(b"x") + bytes(2)),
    )
    assert peer.told(1)[1] == envelope(b"x")


def test_heads_that_are_the_same_bytes_are_read_once_until_the_table_moves():
    peer = Peer()
    peer.say(peer.call(1), peer.call(3))
    reader = peer.connection._session._heads
    reads = []
    reader._decompress = lambda block, read=reader._decompress: reads.append(block) or read(block)
    peer.say(peer.call(5), peer.call(7))
    assert reads == []
    peer.say(peer.call(9, x="new"), peer.call(11), peer.call(13, path=CHAT), peer.call(15), peer.call(17, path=CHAT))
    assert len(reads) >= 3
    answers = peer.hear()
    bodies = {
        number: b"".join(one.payload for one in answers if one.number == number and one.kind == frames.DATA)
        for number in range(5, 19, 2)
    }
    assert set(bodies.values()) == {envelope(b"hello")}


# Calls of gRPC


def test_an_answer_is_a_head_a_message_and_a_status():
    peer = Peer()
    peer.say(peer.call(1))
    sent = peer.hear()
    assert [(one.kind, one.flags) for one in sent] == [
        (frames.HEADERS, END_HEADERS), (frames.DATA, 0), (frames.HEADERS, END_HEADERS | END_STREAM),
    ]  # fmt: skip
    head, trailers = (peer.decoder.decode(sent[at].payload) for at in (0, 2))
    assert head == [(":status", "200"), ("content-type", "application/grpc")]
    assert trailers == [("grpc-status", "0")]
    assert (peer.server.calls, peer.server.buffered_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"path": "/test/Nothing"}, "12", "there is no such method"),
        ({"path": GUARDED}, "16", "no key"),
        ({"grpc_encoding": "snappy"}, "12", "known: identity, gzip, deflate"),
        ({"grpc_timeout": "soon"}, "3", "is no time"),
        ({"grpc_timeout": "123456789S"}, "3", "is no time"),
    ],
)
def test_a_call_that_is_refused_has_its_status_and_needs_send_no_more(changes, status, text):
    peer = Peer()
    peer.say(peer.open(1, **({"path": ECHO} | changes)))
    sent = peer.hear()
    assert [one.kind for one in sent] == [frames.HEADERS, frames.RST_STREAM]
    told = dict(peer.decoder.decode(sent[0].payload))
    assert (told[":status"], told["grpc-status"]) == ("200", status)
    assert text in told["grpc-message"]
    peer.say(data(1, envelope(b"late"), end=True))  # it was on its way
    assert peer.hear() == []
    assert peer.service.asked == []
    assert len(peer.service.faults) == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"content_type": "application/json"}, "415"), ({"content_type": "application/grpcx"}, "415"),
     ({"content_type": None}, "415"), ({"method": "GET"}, "405")],
)  # fmt: skip
def test_what_is_no_call_of_grpc_is_answered_as_http(changes, status):
    peer = Peer()
    peer.say(peer.call(1, **changes))
    fields, body, ended = peer.told(1)
    assert (fields[":status"], body, ended) == (status, b"", True)


@pytest.mark.parametrize("kind", ["application/grpc+proto", "application/grpc;charset=utf-8", "Application/GRPC"])
def test_content_types_of_grpc_are_understood(kind):
    peer = Peer()
    peer.say(peer.call(1, content_type=kind))
    assert peer.told(1)[0]["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", "12"), (envelope(b"a") + envelope(b"b"), "12"), (envelope(b"abc")[:-1], "3"), (b"\0\0", "3"),
        (envelope(b"x", 1), "3"), (envelope(b"x", 2), "3"), (b"\0" + (2**32 - 1).to_bytes(4), "8"),
    ],
)  # fmt: skip
def test_a_call_of_one_message_has_exactly_one(sent, status):
    peer = Peer()
    peer.say(peer.open(1), data(1, sent, end=True))
    assert peer.told(1)[0]["grpc-status"] == status
    assert peer.service.asked == []
    assert (peer.server.calls, peer.server.buffered_bytes) == (0, 0)


def test_a_call_may_end_with_its_head_or_with_trailers():
    peer = Peer()
    peer.say(peer.open(1, CHAT, end=True))
    assert peer.told(1)[0]["grpc-status"] == "0"
    peer.say(peer.open(3), data(3, envelope(b"x")), frame(frames.HEADERS, 5, 3, literal(b"a", b"b")))
    assert peer.told(3)[1:] == (envelope(b"x"), True)


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_messages_may_be_compressed(encoding, compress):
    peer = Peer()
    peer.say(
        peer.open(1, grpc_encoding=encoding), data(1, envelope(compress(b"a" * 999), encoding != "identity"), end=True)
    )
    assert peer.told(1)[1] == envelope(b"a" * 999)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(bytes(LIMITS.body_bytes + 1)), "8"),
        (gzip.compress(bytes(50_000_000)), "8"),
        (b"not gzip", "3"),
        (gzip.compress(b"x", mtime=0)[:-1], "3"),
        (gzip.compress(b"x", mtime=0) + b"more", "3"),
        (gzip.compress(b"x", mtime=0) + gzip.compress(b"y", mtime=0), "3"),
    ],
)
def test_what_decompresses_to_too_much_or_not_at_all_is_refused(body, status):
    peer = Peer()
    peer.say(peer.open(1, grpc_encoding="gzip"), data(1, envelope(body, 1), end=True))
    assert peer.told(1)[0]["grpc-status"] == status


def test_a_deadline_is_carried_along_and_kept():
    peer = Peer()
    peer.say(peer.call(1, LATER, grpc_timeout="1H"), peer.call(3, LATER, grpc_timeout="1n"), peer.call(5, LATER))
    deadlines = [place.deadline_s for place, _ in peer.service.places]
    assert deadlines[0] - deadlines[1] == pytest.approx(3600, abs=60)
    assert deadlines[2] is None
    peer.sweep()
    assert peer.told(3)[0]["grpc-status"] == "4"
    assert sorted(peer.connection._session.streams) == [1, 5]
    peer.service.answer()
    assert peer.told(5)[0]["grpc-status"] == "0"


def test_an_answer_for_a_client_that_cancelled_is_for_nobody():
    peer = Peer()
    peer.say(peer.call(1, LATER), reset_frame(1, Code.CANCEL))
    assert peer.server.calls == 0
    peer.service.answer()
    assert peer.hear() == []


def test_more_calls_of_a_connection_than_are_allowed_are_refused():
    peer = Peer(Server(max_calls=1000))
    peer.say(*(peer.call(2 * number + 1, LATER) for number in range(STREAMS + 1)))
    assert peer.resets() == {2 * STREAMS + 1: Code.REFUSED_STREAM}


def test_more_calls_of_all_together_than_are_allowed_are_refused():
    peer = Peer(Server(max_calls=2))
    peer.say(*(peer.call(number, LATER) for number in (1, 3)))
    other = Peer(peer.server)
    other.say(other.call(1))
    assert other.told(1)[0]["grpc-status"] == "8"
    peer.service.answer()
    other.say(other.call(3))
    assert other.told(3)[0]["grpc-status"] == "0"


# Flow control (5.2, 6.9)


def test_an_answer_keeps_within_the_windows_of_the_client():
    peer = Peer()
    message = bytes(range(256)) * 300  # 76,800 bytes: beyond both windows
    peer.say(settings_frame({frames.INITIAL_WINDOW_SIZE: 100}), peer.call(1, message=message))
    fields, body, ended = peer.told(1)
    assert (len(body), ended, "grpc-status" in fields) == (100, False, False)
    peer.say(window_frame(1, 200))
    more = peer.told(1)[1]
    assert len(more) == 200
    peer.say(settings_frame({frames.INITIAL_WINDOW_SIZE: 0}))  # the window is below nothing now
    peer.say(window_frame(1, 100), window_frame(0, 2**20))
    assert peer.told(1)[1] == b""
    peer.say(window_frame(1, 2**20))
    fields, rest, ended = peer.told(1)
    assert (body + more + rest, ended, fields["grpc-status"]) == (envelope(message), True, "0")
    assert peer.server.buffered_bytes == 0


def test_streams_share_the_connections_window_in_turn():
    peer = Peer()
    message = bytes(60_000)
    peer.say(*(peer.call(number, message=message) for number in (1, 3, 5)))
    first = {one.number for one in peer.hear() if one.kind == frames.DATA}
    assert len(first) >= 1
    heard = dict.fromkeys((1, 3, 5), 0)
    for _ in range(40):
        peer.say(window_frame(0, 6000))
        for one in peer.hear():
            heard[one.number] += len(one.payload) if one.kind == frames.DATA else 0
    assert peer.server.calls == 0


def test_frames_are_as_large_as_the_client_takes_them():
    peer = Peer()
    peer.say(
        window_frame(0, 2**20), settings_frame({frames.INITIAL_WINDOW_SIZE: 2**20}), peer.call(1, message=bytes(50_000))
    )
    assert max(len(one.payload) for one in peer.hear()) == FRAME_BYTES


def test_a_client_that_uses_no_table_is_told_that_ours_is_empty():
    peer = Peer()
    peer.decoder.header_table_size = 4096
    peer.say(settings_frame({frames.HEADER_TABLE_SIZE: 0}))
    peer.decoder.max_allowed_table_size = 0
    peer.say(peer.call(1), peer.call(3))
    sent = peer.hear()
    fields = [peer.decoder.decode(one.payload) for one in sent if one.kind == frames.HEADERS]
    assert len(fields) == 4


def test_room_is_given_back_as_bodies_are_read():
    limits = LIMITS.__class__(body_bytes=8 * 2**20)
    peer = Peer(Server(limits))
    message = bytes(6 * 2**20)
    peer.say(peer.open(1), window_frame(0, 2**24), window_frame(1, 2**24))
    room = {0: CONNECTION_BYTES, 1: STREAM_BYTES}
    body = envelope(message)
    for at in range(0, len(body), FRAME_BYTES):
        part = body[at : at + FRAME_BYTES]
        assert min(room.values()) >= len(part), "a client would wait here for ever"
        peer.say(data(1, part, end=at + FRAME_BYTES >= len(body)))
        room = {number: left - len(part) for number, left in room.items()}
        for one in peer.hear():
            if one.kind == frames.WINDOW_UPDATE:
                room[one.number] += int.from_bytes(one.payload)
    assert peer.service.asked == [message]


def test_more_than_there_is_room_for_is_refused():
    peer = Peer()
    full = bytes(FRAME_BYTES)
    peer.say(peer.open(1, CHAT, grpc_timeout="1H"), data(1, b"\0" + (99_000).to_bytes(4)))
    stream = peer.connection._session.streams[1]
    stream.unread = STREAM_BYTES - 10
    peer.say(data(1, full))
    assert peer.resets() == {1: Code.FLOW_CONTROL_ERROR}
    peer.connection._session._unread = CONNECTION_BYTES - 10
    peer.say(data(1, full))
    assert peer.end() == Code.FLOW_CONTROL_ERROR


# Streams of messages


def test_answers_of_a_stream_keep_the_order_of_its_messages():
    peer = Peer()
    peer.service.methods[CHAT] = peer.service.methods[LATER].__class__(
        "Chat", bytes, peer.service._later, streaming=True
    )
    peer.say(peer.open(1, CHAT), data(1, b"".join(envelope(bytes([n])) for n in range(5))))
    places = peer.service.places
    for place, body in reversed(places):
        assert peer.hear() == []
        place.answer(body)
    assert peer.told(1)[1] == b"".join(envelope(bytes([n])) for n in range(5))
    peer.say(data(1, end=True))
    assert peer.told(1)[2]


def test_a_stream_reads_on_only_while_there_is_room():
    peer = Peer()
    peer.service.methods[CHAT] = peer.service.methods[LATER].__class__(
        "Chat", bytes, peer.service._later, streaming=True
    )
    peer.say(peer.open(1, CHAT), data(1, envelope(b"x") * 100))
    assert len(peer.service.asked) == 32
    size = STREAM_BYTES // 2
    for _ in range(size // FRAME_BYTES):
        peer.say(data(1, envelope(bytes(FRAME_BYTES - 5))))
    assert not [one for one in peer.hear() if one.kind == frames.WINDOW_UPDATE and one.number == 1]
    while peer.service.places:
        peer.service.answer()
        peer.server.turn()
    assert len(peer.service.asked) == 100 + size // FRAME_BYTES
    assert [one for one in peer.hear() if one.kind == frames.WINDOW_UPDATE and one.number == 1]


def test_a_stream_whose_client_takes_no_answers_is_not_read():
    peer = Peer()
    peer.say(settings_frame({frames.INITIAL_WINDOW_SIZE: 0}), peer.open(1, CHAT))
    for _ in range(20):
        peer.say(data(1, envelope(b"x" * 100) * 100))
    assert len(peer.service.asked) <= 64
    peer.say(window_frame(0, 2**20), window_frame(1, 2**30))
    peer.say(data(1, end=True))
    fields, body, ended = peer.told(1)
    assert (body, ended, fields["grpc-status"]) == (envelope(b"x" * 100) * 2000, True, "0")
    assert peer.server.buffered_bytes == 0


def test_a_message_of_a_stream_that_cannot_be_read_ends_it_after_the_answers_before():
    peer = Peer()
    peer.say(peer.open(1, CHAT), data(1, envelope(b"x")), data(1, envelope(b"y")[:-1], end=True))
    fields, body, ended = peer.told(1)
    assert (body, ended, fields["grpc-status"]) == (envelope(b"x"), True, "3")


# The end


def test_a_client_that_leaves_gets_its_last_answers():
    peer = Peer()
    peer.say(peer.call(1, LATER), goaway_frame(0, Code.NO_ERROR))
    assert not peer.transport.ended
    peer.say(peer.call(3))
    assert peer.hear() == []
    peer.service.answer()
    sent = peer.hear()
    assert [one.number for one in sent] == [1, 1, 1, 0]
    assert peer.transport.ended


def test_a_block_of_too_many_frames_or_bytes_ends_the_connection():
    for parts in ([b""] * (BLOCK_FRAMES + 1), [bytes(FRAME_BYTES)] * 3):
        peer = Peer()
        peer.say(frame(frames.HEADERS, 0, 1, b""), *(frame(frames.CONTINUATION, 0, 1, part) for part in parts))
        assert peer.end() == Code.ENHANCE_YOUR_CALM
