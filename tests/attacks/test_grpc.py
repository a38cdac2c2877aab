"""Attacks on the gRPC port: sizes, bombs, streams, calls given up, frames that are none; then it serves as before.

Asked by grpcio's client and by raw sockets alone, so that the tests hold for whatever serves the port.

References
----------
RFC 9113 (HTTP/2), 10.5 *Denial-of-Service Considerations*; CVE-2023-44487 (rapid reset), CVE-2024-27316 and its kin
(CONTINUATION flood), CVE-2019-9512 (ping), -9515 (settings), -9518 (empty frames).
"""

import contextlib
import socket
import struct
import threading

import pytest
from tests.asking import infer_message as infer
from tests.serving_runs import wait_until

grpc = pytest.importorskip("grpc")

from seakeep.serving.grpc.messages import SERVICE, ModelInferRequest, message  # noqa: E402 -- only where it is installed

INFER = f"/{SERVICE}/ModelInfer"
STREAM = f"/{SERVICE}/ModelStreamInfer"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MOST_BYTES = 8 * 1024 * 1024
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4


@contextlib.contextmanager
def channel(target, **options):
    # A subchannel pool of its own: no two tests share a connection.
    chosen = {"grpc.use_local_subchannel_pool": 1, "grpc.max_send_message_length": -1, **options}
    with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}", list(chosen.items())) as made:
        yield made


def ask(target, sent=None, path=INFER, **more):
    """The code of one call on a connection of its own."""
    with channel(target) as made:
        return code(made.unary_unary(path), sent or infer(), **more)


def code(call, sent, **more):
    try:
        call(sent, **({"timeout": 60} | more))
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


@pytest.fixture
def unhurt(target):
    """The attack's memory is bounded, and the port serves afterwards as HTTP does; bodies here count twice, in two layers."""

    @contextlib.contextmanager
    def held(most_mb=200):
        with target.unhurt(most_mb):
            yield
            assert ask(target) == "OK"

    return held


class TestMessages:
    def test_one_that_is_larger_than_is_taken(self, target, unhurt):
        with unhurt():
            assert ask(target, bytes(MOST_BYTES + 1)) == "RESOURCE_EXHAUSTED"
            assert ask(target, bytes(64 * 1024 * 1024)) == "RESOURCE_EXHAUSTED"

    @pytest.mark.parametrize("coding", ["Gzip", "Deflate"])
    def test_a_bomb_is_refused_by_what_it_becomes(self, target, unhurt, coding):
        with unhurt():
            assert ask(target, bytes(30_000_000), compression=getattr(grpc.Compression, coding)) == "RESOURCE_EXHAUSTED"

    @pytest.mark.parametrize("field", [b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x00", b"\x7b\x7c"], ids=bytes.hex)
    def test_one_of_millions_of_empty_fields(self, target, unhurt, field):
        with unhurt():
            assert ask(target, field * 4_000_000) == "INVALID_ARGUMENT"

    @pytest.mark.parametrize(
        "sent",
        [
            b"\x2a\x04\x2a\x02" * 50_000, b"\x7b" * 100_000, b"\xff" * 100_000, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x01\xff", b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            infer()[:-1], infer(id="\0" * 100_000)[:-3],
        ],
        ids=len,
    )  # fmt: skip
    def test_one_that_is_none(self, target, unhurt, sent):
        with unhurt(60):
            assert ask(target, sent) in {"INVALID_ARGUMENT", "NOT_FOUND"}

    @pytest.mark.parametrize(
        "shape",
        [[], [0], [-1], [2], [1, 1, 1], [2**63 - 1], [2**32, 2**32], [-(2**63)], [1] * 100_000],
        ids=lambda shape: str(shape[:3]),
    )
    def test_a_shape_that_is_not_that_of_its_data(self, target, unhurt, shape):
        made = ModelInferRequest.FromString(infer())
        made.inputs[1].ClearField("shape")
        made.inputs[1].shape.extend(shape)
        raw = ModelInferRequest(model_name="late")
        for one in made.inputs:
            raw.inputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
            raw.raw_input_contents.append(b"\x02\x00\x00\x00AA" if one.datatype == "BYTES" else struct.pack("<d", 1.0))
        with unhurt(60):
            for sent in (made, raw):
                assert ask(target, sent.SerializeToString()) in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}


class TestMetadata:
    @pytest.mark.parametrize("count", [1, 2_000])
    def test_a_bomb_of_metadata(self, target, unhurt, count):
        bomb = [(f"x-{number}", "v" * (1_000_000 // count)) for number in range(count)]
        with unhurt(60):
            assert ask(target, metadata=bomb) in {
                "RESOURCE_EXHAUSTED",
                "UNAVAILABLE",
                "INTERNAL",
                "INVALID_ARGUMENT",
                "UNKNOWN",
            }

    def test_names_that_refer_to_a_large_one_over_and_over(self, target, unhurt):
        """HPACK lets a byte stand for kilobytes: what counts is what they become."""
        large = literal(b"x-large", b"v" * 3_500, index=True)
        block = head_block(INFER) + large + b"\xbe" * 60_000
        with unhurt(60):
            speak(target, frame(HEADERS, 0, 1, block[:16_000]) + continued(block[16_000:]))


class TestCalls:
    def test_many_that_are_given_up_at_once(self, target, unhurt):
        with unhurt(), channel(target) as made:
            call = made.unary_unary(INFER)
            for _ in range(5):
                given = [call.future(infer(), timeout=60) for _ in range(400)]
                for one in given[::2]:
                    one.cancel()
                assert {one.code().name for one in given[1::2]} == {"OK"}, "those that stay do not notice"
                assert {one.code().name for one in given[::2]} <= {"OK", "CANCELLED"}

    def test_a_client_that_leaves_in_the_middle_of_its_stream(self, target, unhurt):
        with unhurt():
            for _ in range(20):
                with channel(target) as made:
                    answers = made.stream_stream(STREAM)(iter([infer(id="1")] * 50), timeout=60)
                    assert message("ModelStreamInferResponse").FromString(next(answers)).infer_response.id == "1"

    def test_many_streams_that_are_open_and_silent(self, target, unhurt):
        over = threading.Event()

        def silent():
            yield infer(id="1")
            over.wait(60)

        with unhurt(), channel(target) as made:
            open_ones = [made.stream_stream(STREAM)(silent(), timeout=60) for _ in range(60)]
            assert all(next(one) for one in open_ones)
            assert ask(target) == "OK"
            over.set()
            assert all(list(one) == [] for one in open_ones)

    def test_a_stream_that_sends_and_does_not_read(self, target, unhurt):
        """Its answers fill the client's window; then the server reads no more of it."""
        with unhurt(), socket.create_connection(("127.0.0.1", target.grpc_port), timeout=20) as client:
            client.sendall(PREFACE + settings((4, 0)) + frame(HEADERS, END_HEADERS, 1, head_block(STREAM)))
            sent = infer(id="x" * 8_000)
            with contextlib.suppress(OSError):
                client.settimeout(0.3)
                for _ in range(4_000):
                    client.sendall(b"".join(data_frames(1, b"\0" + struct.pack(">I", len(sent)) + sent)))


# Frames by hand


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def data_frames(stream, payload, flags=0):
    cut = [payload[at : at + 16_384] for at in range(0, len(payload), 16_384)]
    return [frame(DATA, flags if one is cut[-1] else 0, stream, one) for one in cut]


def continued(block):
    cut = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    return b"".join(frame(CONTINUATION, END_HEADERS if one is cut[-1] else 0, 1, one) for one in cut)


def number(value, bits, first=0):
    """An integer of HPACK (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    made, value = [first | most], value - most
    while value >= 128:
        made.append(value % 128 | 128)
        value //= 128
    return bytes([*made, value])


def literal(name, value, *, index=False):
    """A header that refers to no table (RFC 7541, 6.2)."""
    return bytes([64 if index else 0]) + number(len(name), 7) + name + number(len(value), 7) + value


def head_block(path, **more):
    heads = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path.encode(),
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    return b"".join(literal(name, value) for name, value in heads.items())


def speak(target, *pieces, preface=True):
    """Send bytes, whatever the server says to them, until it closes or has had its time."""
    with socket.create_connection(("127.0.0.1", target.grpc_port), timeout=20) as client:
        with contextlib.suppress(OSError):
            client.sendall(PREFACE + settings() if preface else b"")
            for piece in pieces:
                client.sendall(piece)
        client.settimeout(0.05)
        said = b""
        with contextlib.suppress(OSError):
            while part := client.recv(65_536):
                said += part
        return said


OPENED = frame(HEADERS, END_HEADERS, 1, head_block(INFER))


class TestFrames:
    @pytest.mark.parametrize(
        "sent",
        [
            b"".join(frame(HEADERS, END_HEADERS, 2 * n + 1, head_block(INFER)) + frame(RST_STREAM, 0, 2 * n + 1, bytes(4)) for n in range(5_000)),
            frame(HEADERS, 0, 1, head_block(INFER)) + frame(CONTINUATION, 0, 1, literal(b"x", b"v" * 16_000)) * 1_000,
            frame(HEADERS, 0, 1, head_block(INFER)) + frame(CONTINUATION, 0, 1) * 200_000,
            frame(PING, 0, 0, bytes(8)) * 200_000,
            settings((3, 100)) * 200_000,
            OPENED + frame(DATA, 0, 1) * 200_000,
            OPENED + frame(PRIORITY, 0, 1, bytes(5)) * 200_000,
            OPENED + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2**31 - 1)) * 2,
            frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 200_000,
            b"".join(frame(HEADERS, END_HEADERS, 2 * n + 1, head_block(STREAM)) for n in range(3_000)),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, head_block(INFER)),
        ],
        ids=["rapid reset", "continuation", "empty continuation", "ping", "settings", "empty data", "priority", "window overflow", "window updates", "streams", "no body"],
    )  # fmt: skip
    def test_a_flood_of(self, target, unhurt, sent):
        with unhurt(100):
            speak(target, sent)

    @pytest.mark.parametrize(
        "sent",
        [
            frame(DATA, 0, 1, b"x"), frame(HEADERS, END_HEADERS, 0, head_block(INFER)), frame(HEADERS, END_HEADERS, 2, head_block(INFER)),
            frame(CONTINUATION, END_HEADERS, 1, b""), frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), frame(SETTINGS, 0, 1), frame(SETTINGS, 0, 0, b"x"),
            frame(PING, 0, 0, b"x"), frame(RST_STREAM, 0, 1, bytes(4)), frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), frame(99, 255, 2**31 - 1, b"x" * 100),
            b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(200_000), settings((4, 2**32 - 1)), settings((5, 1)), settings((1, 2**32 - 1)), frame(GOAWAY, 0, 0, bytes(8)),
            OPENED + frame(DATA, 8, 1, b"\xff"), OPENED + frame(DATA, END_STREAM, 1, b"\x02\x00\x00\x00\x00"), OPENED + frame(DATA, END_STREAM, 1, b"\x00\xff\xff\xff\xff"),
            OPENED + frame(DATA, END_STREAM, 1, b"\x01\x00\x00\x00\x03abc"), OPENED + frame(DATA, END_STREAM, 1, b"\x00\x00\x00\x00\x09abc"), OPENED + OPENED,
        ],
        ids=range(22),
    )  # fmt: skip
    def test_one_that_is_out_of_place(self, target, unhurt, sent):
        with unhurt(60):
            speak(target, sent)

    @pytest.mark.parametrize(
        "sent", [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505), bytes(1 << 20), b"PRI * HTTP/2.0\r\n\r\n", b""], ids=len
    )  # fmt: skip
    def test_what_is_no_http_2(self, target, unhurt, sent):
        with unhurt(60):
            speak(target, sent, preface=False)

    def test_bodies_that_come_slowly_on_many_connections(self, target, unhurt):
        """Each has sent half of what it declared, and waits: they hold what they sent, and nobody else waits for them."""
        half = OPENED + frame(DATA, 0, 1, b"\x00" + struct.pack(">I", MOST_BYTES) + bytes(10_000))
        with unhurt(), contextlib.ExitStack() as held:
            for _ in range(200):
                client = held.enter_context(socket.create_connection(("127.0.0.1", target.grpc_port), timeout=20))
                client.sendall(PREFACE + settings() + half)
            assert ask(target) == "OK"

    def test_connections_that_are_left_are_let_go(self, target, unhurt):
        from pathlib import Path

        held = lambda: len(list(Path(f"/proc/{target.pid}/fd").iterdir()))  # noqa: E731
        before = held()
        with unhurt(60):
            for _ in range(100):
                speak_and_reset(target)
            wait_until(lambda: held() <= before + 3)


def speak_and_reset(target):
    client = socket.create_connection(("127.0.0.1", target.grpc_port), timeout=20)
    client.sendall(PREFACE + settings() + OPENED + frame(DATA, 0, 1, b"\x00\x00\x00\x00\x09abc"))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
