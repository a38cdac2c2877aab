"""Our HTTP/2 and that of ``h2``: as a client it judges what we send, as a server it reads what we read."""

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

pytest.importorskip("h2", reason="h2 is not installed")

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from h2.settings import SettingCodes
from tests.http2 import CHAT, ECHO, LATER, Peer, envelope

from seakeep.serving.grpc import frames
from seakeep.serving.grpc.frames import Code, frame

HEAD = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "x"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


DIFFERENT = {
    ("HEADERS", Code.PROTOCOL_ERROR, "reset"): "8.1.1: what is malformed is a stream's error; h2 ends the connection",
    ("PRIORITY", Code.FRAME_SIZE_ERROR, "reset"): "6.3: a wrong length is a stream's error; h2 ends the connection",
    ("CONTINUATION", Code.STREAM_CLOSED, Code.PROTOCOL_ERROR): "6.10: without a block it is a PROTOCOL_ERROR",
    (
        "WINDOW_UPDATE",
        Code.PROTOCOL_ERROR,
        "reset",
    ): "6.9: a stream's window that grows by nothing is that stream's error",
    ("WINDOW_UPDATE", Code.PROTOCOL_ERROR, ""): "5.1.1: what was passed over is closed, not idle",
    ("DATA", "reset", Code.STREAM_CLOSED): "5.1: on a closed stream it may be the connection's error",
    ("HEADERS", "reset", Code.STREAM_CLOSED): "5.1: likewise",
    ("HEADERS", "reset", ""): "5.1: what comes after our RST_STREAM is ignored; h2 resets again",
    ("DATA", "reset", ""): "5.1: likewise",
    ("RST_STREAM", "", Code.PROTOCOL_ERROR): "6.4: of an idle stream it is the connection's error",
    ("RST_STREAM", Code.PROTOCOL_ERROR, ""): "5.1.1: what was passed over is closed, not idle",
}
"""Frame, what h2 makes of it, what we make of it: why."""


class Judge:
    """A client of ``h2``, which raises where we break a rule."""

    def __init__(self):
        self.peer = Peer(settled=False)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.answers, self.statuses, self.unread, self.ended, self.pings = {}, {}, {}, set(), 0
        self.h2.initiate_connection()

    def exchange(self, cuts=()):
        """Carry bytes both ways until nobody has any; ``cuts`` are places where ours are cut in two."""
        while True:
            self.peer.server.turn()
            sent, heard = self.h2.data_to_send(), self.peer.transport.take()
            if not sent and not heard:
                return
            at = 0
            for cut in [*sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]:
                if sent[at:cut]:
                    self.peer.connection.data_received(sent[at:cut])
                at = max(at, cut)
            for one in self.h2.receive_data(heard):
                self.take(one)

    def take(self, one):
        if isinstance(one, h2.events.DataReceived):
            self.answers[one.stream_id] = self.answers.get(one.stream_id, b"") + one.data
            self.unread[one.stream_id] = self.unread.get(one.stream_id, 0) + one.flow_controlled_length
        elif isinstance(one, (h2.events.TrailersReceived, h2.events.ResponseReceived)):
            self.statuses[one.stream_id] = {**self.statuses.get(one.stream_id, {}), **dict(one.headers)}
        elif isinstance(one, h2.events.StreamEnded):
            self.ended.add(one.stream_id)
        elif isinstance(one, h2.events.PingAckReceived):
            self.pings += 1
        assert not isinstance(one, (h2.events.ConnectionTerminated, h2.events.StreamReset)), one

    def read(self, number):
        """Give back the room for what was read of a stream."""
        size = self.unread.pop(number, 0)
        if size:
            self.h2.acknowledge_received_data(size, number)


chunks = st.lists(st.integers(1, 40_000), max_size=8)
calls = st.tuples(st.sampled_from([ECHO, CHAT, LATER]), st.binary(max_size=20), st.integers(0, 5000), chunks)
changes = st.dictionaries(
    st.sampled_from([SettingCodes.INITIAL_WINDOW_SIZE, SettingCodes.MAX_FRAME_SIZE, SettingCodes.HEADER_TABLE_SIZE]),
    st.sampled_from([0, 500, 5000, 40_000]),
    max_size=3,
)


@quick
@given(
    st.lists(calls, min_size=1, max_size=6),
    changes,
    st.lists(st.integers(0, 10_000), max_size=5),
    st.randoms(use_true_random=False),
)
def test_a_client_of_h2_gets_every_answer_whole(asked, wanted, cuts, random):
    judge = Judge()
    judge.exchange(cuts)
    if SettingCodes.MAX_FRAME_SIZE in wanted:
        wanted[SettingCodes.MAX_FRAME_SIZE] += 16_384
    judge.h2.update_settings(wanted)
    left, expected = {}, {}
    for path, seed, times, sizes in asked:
        number = judge.h2.get_next_available_stream_id()
        judge.h2.send_headers(number, [(":path", path), *HEAD])
        expected[number] = envelope(seed * times)
        left[number] = (expected[number], list(sizes))
        judge.exchange(cuts)
    for _ in range(500):
        if len(judge.ended) == len(expected):
            break
        for number in random.sample(list(left), len(left)):
            body, sizes = left[number]
            most = min(judge.h2.local_flow_control_window(number), judge.h2.max_outbound_frame_size)
            size = min(sizes.pop() if sizes else len(body), most, len(body))
            rest = body[size:]
            judge.h2.send_data(number, body[:size], end_stream=not rest)
            left[number] = (rest, sizes)
            if not rest:
                del left[number]
        judge.h2.ping(bytes(8))
        judge.exchange(cuts)
        judge.peer.service.answer()
        judge.exchange(cuts)
        for number in random.sample(list(judge.unread), len(judge.unread)):
            judge.read(number)
        if wanted.get(SettingCodes.INITIAL_WINDOW_SIZE) == 0:
            wanted = {}
            judge.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        judge.exchange(cuts)
    assert judge.answers == expected
    assert {status[b"grpc-status"] for status in judge.statuses.values()} == {b"0"}
    assert judge.pings
    assert (judge.peer.server.calls, judge.peer.server.buffered_bytes) == (0, 0)


# As servers, side by side


class Theirs:
    """What ``h2`` makes of frames: what happened, or the code with which it ends the connection."""

    def __init__(self):
        config = h2.config.H2Configuration(client_side=False, header_encoding=False)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings.initial_window_size = 2**20
        self.h2.initiate_connection()
        self.h2.data_to_send()

    def say(self, data):
        try:
            found = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            return Code(int(error.error_code))
        told, sent = [], self.h2.data_to_send()
        for one in found:
            number = getattr(one, "stream_id", 0)
            if isinstance(one, h2.events.RequestReceived):
                told.append(("head", number, dict(one.headers)[b":path"].decode()))
            elif isinstance(one, h2.events.DataReceived) and one.data:
                told.append(("data", number, one.data))
            elif isinstance(one, h2.events.StreamEnded):
                told.append(("end", number))
            elif isinstance(one, h2.events.PingReceived):
                told.append(("ping", one.ping_data))
            elif isinstance(one, h2.events.RemoteSettingsChanged):
                told.append(("settings",))
        return told + [("reset", number, code) for number, code in resets(sent)]


class Ours:
    """The same of ours."""

    def __init__(self):
        self.peer = Peer(settled=False)
        self.peer.hear()
        state = self.peer.connection._session
        self.told = []
        state._open = lambda number, head, ended, opened=state._open: (
            self.told.append(("head", number, head.path)), opened(number, head, ended=ended)
        )  # fmt: skip
        state._receive = self._receive

    def _receive(self, stream, data, *, ended):
        if data:
            self.told.append(("data", stream.number, data))
        if ended:
            self.told.append(("end", stream.number))
        stream.ended = ended

    def say(self, data):
        self.told.clear()
        self.peer.say(data)
        told = list(self.told)
        for one in self.peer.hear():
            if one.kind == frames.GOAWAY and self.peer.transport.ended:
                return Code(int.from_bytes(one.payload[4:8]))
            if one.kind == frames.RST_STREAM:
                told.append(("reset", one.number, Code(int.from_bytes(one.payload))))
            elif one.kind == frames.PING:
                told.append(("ping", one.payload))
            elif one.kind == frames.SETTINGS and one.flags == frames.ACK:
                told.append(("settings",))
        return told


def resets(sent):
    """The streams that are reset by frames, with the code."""
    while sent:
        size = int.from_bytes(sent[:3])
        if sent[3] == frames.RST_STREAM:
            yield int.from_bytes(sent[5:9]), Code(int.from_bytes(sent[9:13]))
        sent = sent[9 + size :]


def block(path):
    fields = [(":path", path), *HEAD]
    return b"".join(b"\x00%c%b%c%b" % (len(name), name.encode(), len(value), value.encode()) for name, value in fields)


numbers = st.sampled_from([1, 3, 5, 7, 9])
ends = st.sampled_from([0, frames.END_STREAM])
pieces = st.one_of(
    st.builds(lambda number, end, path: frame(frames.HEADERS, frames.END_HEADERS | end, number, block(path)), numbers, ends, st.sampled_from([ECHO, CHAT])),
    st.builds(lambda number, end, body: frame(frames.DATA, end, number, body), numbers, ends, st.binary(max_size=30)),
    st.builds(
        lambda number, end, body, pad: frame(frames.DATA, end | frames.PADDED, number, bytes([pad]) + body), numbers, ends,
        st.binary(max_size=30), st.integers(0, 35),
    ),
    st.builds(lambda number: frame(frames.RST_STREAM, 0, number, bytes(4)), st.sampled_from([0, 1, 3, 5])),
    st.builds(lambda size, number: frames.window_frame(number, size), st.sampled_from([0, 1, 1000, 2**31 - 1]), st.sampled_from([0, 1, 3, 5])),
    st.builds(lambda number, size: frame(frames.PING, 0, number, bytes(size)), st.sampled_from([0, 0, 1]), st.sampled_from([8, 8, 8, 7])),
    st.builds(frames.settings_frame, st.dictionaries(st.integers(2, 5), st.sampled_from([0, 1, 2, 16_384, 100_000, 2**31]), max_size=2)),
    st.builds(lambda number, size: frame(frames.PRIORITY, 0, number, b"\0\0\0\x0b" + bytes(size - 4)), numbers, st.sampled_from([5, 5, 6])),
    st.builds(lambda kind, flags, number, body: frame(kind, flags, number, body), st.integers(11, 255), st.integers(0, 255), numbers, st.binary(max_size=9)),
    st.builds(lambda number, end: frame(frames.CONTINUATION, end, number, b""), numbers, st.sampled_from([0, frames.END_HEADERS])),
    st.just(frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, bytes(4))),
)  # fmt: skip


@settings(quick, max_examples=200)
@given(st.lists(pieces, max_size=12))
def test_frames_mean_to_us_what_they_mean_to_h2(sequence):
    theirs, ours = Theirs(), Ours()
    begin = frames.PREFACE + frames.settings_frame({})
    theirs.say(begin)
    ours.say(begin)
    for one in sequence:
        their, our = theirs.say(one), ours.say(one)
        if their == our and isinstance(our, Code):
            event(f"both say {our.name}")
            return
        if isinstance(their, Code) or isinstance(our, Code) or sorted(their) != sorted(our):
            why = DIFFERENT.get((KINDS.get(one[3]), verdict(their), verdict(our)))
            assert why, (one, their, our)
            event(why)
            return


KINDS = {0: "DATA", 1: "HEADERS", 2: "PRIORITY", 3: "RST_STREAM", 4: "SETTINGS", 8: "WINDOW_UPDATE", 9: "CONTINUATION"}


def verdict(told):
    """The code that ended the connection, ``reset`` where a stream was, or nothing."""
    return told if isinstance(told, Code) else "reset" if any(one[0] == "reset" for one in told) else ""
