"""What a connection may take: time, bytes that wait, and frames that ask for nothing."""

import dataclasses

import hpack
import pytest
from tests.http2 import CHAT, ECHO, LATER, LIMITS, Peer, Server, data, envelope

from seakeep.serving.grpc import frames
from seakeep.serving.grpc.connection import ANSWER_S, KEEPALIVE_S, PARTING_S
from seakeep.serving.grpc.frames import (
    ACK,
    END_HEADERS,
    PREFACE,
    WINDOW_MOST,
    Code,
    frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from seakeep.serving.grpc.heads import REMEMBERED, REMEMBERED_BYTES
from seakeep.serving.grpc.session import ALLOWANCE, REFILL, RESET_COST
from seakeep.serving.grpc.stream import PIPELINED

PING = frame(frames.PING, 0, 0, bytes(8))


def goaways(heard):
    return [
        (int.from_bytes(one.payload[:4]), Code(int.from_bytes(one.payload[4:8])))
        for one in heard
        if one.kind == frames.GOAWAY
    ]


# Time


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE + b"\0\0"])
def test_a_client_that_does_not_begin_is_let_go(said):
    peer = Peer(settled=False)
    peer.say(said)
    peer.sweep(LIMITS.header_s - 1)
    assert peer.end() is None
    peer.sweep(2)
    assert peer.end() == Code.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("said", [b"\0\x40\0\0", frame(frames.HEADERS, 0, 1, b"\x83")])
def test_a_frame_or_a_block_that_does_not_end_is_not_waited_for(said):
    peer = Peer()
    peer.say(said)
    for _ in range(29):
        peer.sweep(1)
        peer.say(b"\0" if said[3] == frames.DATA else b"")
    assert peer.end() is None
    peer.sweep(2)
    assert peer.end() == Code.ENHANCE_YOUR_CALM


def test_a_message_that_comes_too_slowly_is_refused():
    peer = Peer()
    peer.say(peer.open(1), data(1, b"\0\0\0\0"))
    for _ in range(29):
        peer.sweep(1)
    peer.say(data(1, b"\x09"))
    assert peer.server.calls == 1
    peer.sweep(2)
    fields, _, ended = peer.told(1)
    assert (fields["grpc-status"], ended) == ("4", True)
    assert "too long to arrive" in fields["grpc-message"]
    assert peer.server.buffered_bytes == 0


def test_a_stream_may_be_silent_between_messages_but_not_within_one():
    peer = Peer()
    peer.say(peer.open(1, CHAT), data(1, envelope(b"a")))
    for _ in range(10):
        peer.sweep(20)
        peer.say(PING)
    assert peer.told(1)[2] is False
    peer.say(data(1, envelope(b"b")[:3]))
    peer.sweep(29)
    peer.say(data(1, envelope(b"b")[3:] + b"\0"))  # this one came, and the next begins
    peer.sweep(29)
    assert peer.told(1)[2] is False
    peer.sweep(2)
    assert peer.told(1)[0]["grpc-status"] == "4"


def test_a_client_that_gives_no_room_for_its_answer_loses_the_call():
    peer = Peer()
    peer.say(settings_frame({frames.INITIAL_WINDOW_SIZE: 0}), peer.call(1))
    peer.sweep(LIMITS.write_s - 1)
    peer.say(window_frame(1, 1))
    peer.sweep(LIMITS.write_s - 1)
    assert peer.resets() == {}
    peer.sweep(2)
    assert peer.resets() == {1: Code.CANCEL}
    assert (peer.server.calls, peer.server.buffered_bytes) == (0, 0)


def test_a_connection_without_calls_is_closed_after_a_while():
    peer = Peer()
    peer.say(peer.call(1, LATER))
    for _ in range(int(LIMITS.idle_s)):
        peer.sweep(2)
        peer.say(PING)
    assert peer.end() is None
    peer.service.answer()
    peer.sweep(LIMITS.idle_s - 1)
    assert peer.end() is None
    peer.sweep(2)
    assert peer.end() == Code.NO_ERROR
    peer.sweep(LIMITS.linger_s + 1)
    assert peer.transport.aborted


def test_a_client_with_calls_is_asked_whether_it_is_there():
    peer = Peer()
    peer.say(peer.call(1, LATER))
    peer.sweep(KEEPALIVE_S + 1)
    (ping,) = peer.hear()
    assert (ping.kind, ping.flags) == (frames.PING, 0)
    peer.say(frame(frames.PING, ACK, 0, ping.payload))
    peer.sweep(KEEPALIVE_S + 1)
    assert [one.kind for one in peer.hear()] == [frames.PING]
    peer.sweep(ANSWER_S - 1)
    assert not peer.transport.aborted
    peer.sweep(2)
    assert peer.transport.aborted


# The client does not read


def test_a_client_that_does_not_read_is_not_read_either():
    peer = Peer()
    peer.connection.pause_writing()
    assert not peer.transport.reading
    peer.say(peer.call(1), peer.call(3))
    assert [one.kind for one in peer.hear()] == [frames.HEADERS] * 2
    assert peer.server.buffered_bytes > 0
    peer.connection.resume_writing()
    assert peer.transport.reading
    assert [one.kind for one in peer.hear()] == [frames.DATA, frames.HEADERS] * 2
    assert peer.server.buffered_bytes == 0
    peer.connection.pause_writing()
    peer.sweep(LIMITS.write_s + 1)
    assert peer.transport.aborted


def test_bodies_and_answers_together_are_bounded():
    server = Server(dataclasses.replace(LIMITS, buffered_bytes=150_000))
    one, other = Peer(server), Peer(server)
    one.say(one.open(1), data(1, envelope(bytes(90_000))[:-1]))
    other.say(other.open(1), data(1, envelope(bytes(90_000)), end=True))
    assert other.told(1)[0]["grpc-status"] == "14"
    one.say(reset_frame(1, Code.CANCEL))
    assert server.buffered_bytes == 0
    other.say(other.open(3), data(3, envelope(bytes(90_000)), end=True))
    assert len(other.told(3)[1]) > 0


def test_a_lost_connection_leaves_nothing_behind():
    peer = Peer()
    peer.say(peer.call(1, LATER), peer.open(3, CHAT), data(3, b"\0\0"), peer.open(5), data(5, envelope(b"x")[:-1]))
    peer.connection.connection_lost(None)
    peer.service.answer()
    peer.server.turn()
    assert (peer.server.calls, peer.server.buffered_bytes, peer.server.connections) == (0, 0, set())


def test_more_connections_than_are_allowed_are_told_so():
    server = Server(dataclasses.replace(LIMITS, connections=1))
    Peer(server)
    assert Peer(server, settled=False).end() == Code.ENHANCE_YOUR_CALM


# Draining


def test_a_draining_connection_answers_what_was_on_its_way():
    peer = Peer()
    peer.say(peer.call(1, LATER))
    peer.server.draining = True
    peer.connection.part()
    first, ping = peer.hear()
    assert goaways([first]) == [(WINDOW_MOST, Code.NO_ERROR)]
    peer.say(peer.call(3, LATER), frame(frames.PING, ACK, 0, ping.payload), peer.call(5))
    assert goaways(peer.hear()) == [(3, Code.NO_ERROR)]
    peer.service.answer()
    answered = {one.number for one in peer.hear() if one.kind == frames.DATA}
    assert answered == {1, 3}
    assert peer.transport.ended


def test_a_client_that_does_not_answer_is_parted_with_all_the_same():
    peer = Peer()
    peer.server.draining = True
    peer.connection.part()
    assert not peer.transport.ended
    peer.sweep(PARTING_S + 1)
    assert peer.end() == Code.NO_ERROR


def test_a_stream_of_messages_ends_when_the_worker_does():
    peer = Peer()
    method = dataclasses.replace(peer.service.methods[CHAT], act=peer.service._later)
    peer.service.methods[CHAT] = method
    peer.say(peer.open(1, CHAT), data(1, envelope(b"x")), peer.open(3, CHAT))
    peer.server.draining = True
    peer.connection.part()
    assert sorted(peer.connection._session.streams) == [1]
    peer.say(data(1, envelope(b"y")), peer.open(5, CHAT))
    assert peer.service.asked == [b"x"]
    peer.service.answer()
    fields, body, ended = peer.told(1)
    assert (fields["grpc-status"], body, ended) == ("14", envelope(b"x"), True)
    assert peer.server.calls == 0


def test_who_comes_while_the_worker_ends_is_answered_once_more():
    server = Server()
    server.draining = True
    peer = Peer(server, settled=False)
    assert goaways(peer.hear()) == [(WINDOW_MOST, Code.NO_ERROR)]
    peer.say(PREFACE + settings_frame({}), peer.call(1))
    assert peer.told(1)[0]["grpc-status"] == "0"


# Attacks


def flood(peer, said, times):
    """How many of these were taken before the connection ended."""
    for count in range(times):
        peer.say(said(count))
        if peer.transport.ended:
            return count
    return times


@pytest.mark.parametrize(
    "said",
    [
        PING,
        settings_frame({frames.INITIAL_WINDOW_SIZE: 5}),
        frame(frames.SETTINGS, ACK, 0),
        frame(frames.PRIORITY, 0, 1, bytes(5)),
        frame(0x99, 0, 1),
        data(1),
        frame(frames.DATA, frames.PADDED, 1, b"\x03\0\0\0"),
        reset_frame(1, Code.CANCEL),
    ],
    ids=["ping", "settings", "acks", "priority", "unknown", "empty data", "padding", "resets"],
)
def test_frames_that_ask_for_nothing_end_the_connection_when_they_are_too_many(said):
    peer = Peer()
    peer.say(peer.call(1) if said[3] == frames.RST_STREAM else peer.open(1, CHAT))
    taken = flood(peer, lambda _: said * 100, 1000) * 100
    assert ALLOWANCE - 200 <= taken <= ALLOWANCE
    assert goaways(peer.hear())[-1][1] == Code.ENHANCE_YOUR_CALM
    slow = Peer()
    slow.say(slow.open(1, CHAT))
    for _ in range(20):
        slow.say(PING * (REFILL - 10))
        slow.sweep(0.5)
    assert not slow.transport.ended


def test_rapid_resets_are_bounded_whoever_makes_them():
    """CVE-2023-44487; and of malformed calls, so that it is the server that resets (CVE-2025-8671)."""
    peer = Peer()
    rapid = flood(peer, lambda n: peer.call(2 * n + 1, LATER) + reset_frame(2 * n + 1, Code.CANCEL), 5000)
    assert rapid <= ALLOWANCE // RESET_COST
    assert len(peer.service.asked) <= ALLOWANCE // RESET_COST + 1
    assert (peer.server.calls, peer.server.buffered_bytes) == (0, 0)
    peer = Peer()
    made = flood(peer, lambda n: peer.open(2 * n + 1, LATER) + window_frame(2 * n + 1, 0), 5000)
    assert made <= ALLOWANCE // RESET_COST


def test_a_flood_of_continuations_is_cut_short():
    peer = Peer()
    peer.say(frame(frames.HEADERS, 0, 1, peer.block()))
    taken = flood(peer, lambda _: frame(frames.CONTINUATION, 0, 1, b""), 1000)
    assert taken < 20


def test_a_small_block_that_means_a_large_one_is_not_unpacked():
    peer = Peer()
    bomb = b"\x40\x01a\x7f\x81\x1e" + b"x" * 4000 + b"\xbe" * 12_000  # an entry of 4 kB, told 12,000 times
    peer.say(*(frame(*one) for one in ((frames.HEADERS, END_HEADERS, 1, bomb),)))
    assert peer.end() == Code.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "block", [b"\xff" + b"\xff" * 16_000, b"\x00\x7f" + b"\xff" * 16_000, b"\x3f" + b"\xff" * 16_000, b"\x20" * 16_000]
)
def test_whole_numbers_without_end_open_no_call(block):
    peer = Peer()
    peer.say(frame(frames.HEADERS, END_HEADERS, 1, block))
    assert peer.server.calls == 0
    assert peer.end() or peer.connection._session.highest == 1


def test_what_is_remembered_of_heads_is_bounded():
    peer = Peer()
    never = hpack.NeverIndexedHeaderTuple
    for number in range(3 * REMEMBERED):
        for size in (1, REMEMBERED_BYTES):
            fields = [never(b"x", b"%0*d" % (size, number)), *peer.head(ECHO)]
            block = peer.encoder.encode(sorted(fields, key=lambda one: str(one[0]).lstrip("b'")[:1] != ":"))
            peer.say(
                frame(frames.HEADERS, END_HEADERS | frames.END_STREAM, 4 * number + (1 if size == 1 else 3), block)
            )
    known = peer.connection._session._heads._known
    assert 0 < len(known) <= REMEMBERED
    assert max(map(len, known)) <= REMEMBERED_BYTES


def test_a_keys_head_is_not_another_clients():
    peer, other = Peer(), Peer(Server())
    path = "/test/Guarded"
    key = hpack.NeverIndexedHeaderTuple("authorization", "Bearer key")
    block = peer.encoder.encode([*peer.head(path), key])
    peer.say(frame(frames.HEADERS, END_HEADERS, 1, block), data(1, envelope(b"x"), end=True))
    assert peer.told(1)[0]["grpc-status"] == "0"
    other.say(other.call(1, path))
    assert other.told(1)[0]["grpc-status"] == "16"


def test_many_tiny_messages_do_not_hold_the_loop_for_long():
    peer = Peer()
    turns = []
    peer.server.later = turns.append
    peer.connection.data_received(peer.open(1, CHAT) + data(1, envelope(b"") * 3000))
    assert len(peer.service.asked) == PIPELINED
    while turns:
        before = len(peer.service.asked)
        turns.pop(0)()
        assert len(peer.service.asked) - before <= PIPELINED
    assert len(peer.service.asked) == 3000


def test_windows_that_grow_by_one_byte_cost_as_much_as_they_bring():
    peer = Peer()
    peer.say(settings_frame({frames.INITIAL_WINDOW_SIZE: 0}), *(peer.call(2 * n + 1) for n in range(100)))
    pumped = []
    outlet = peer.connection._session.outlet
    outlet.pump = lambda pump=outlet.pump: pumped.append(1) or pump()
    peer.say(window_frame(1, 1) * 5000)
    assert len(pumped) == 1
