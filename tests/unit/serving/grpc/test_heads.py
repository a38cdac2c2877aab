import pytest

hpack = pytest.importorskip("hpack")

from urllib.parse import unquote  # noqa: E402 -- only where hpack is installed

from seakeep.serving.exchange import Limits  # noqa: E402 -- only where hpack is installed
from seakeep.serving.grpc import heads  # noqa: E402 -- only where hpack is installed
from seakeep.serving.grpc.frames import Code, ConnectionFault, StreamFault  # noqa: E402 -- only where hpack is installed
from seakeep.serving.grpc.heads import HeadReader, block, ending  # noqa: E402 -- only where hpack is installed
from seakeep.serving.grpc.status import Status  # noqa: E402 -- only where hpack is installed

LIMITS = Limits(body_bytes=1000)
HEAD = [(":method", "POST"), (":scheme", "http"), (":path", "/a/B"), ("content-type", "application/grpc")]


def read(*fields, encoder=None):
    return HeadReader(LIMITS).read((encoder or hpack.Encoder()).encode([*HEAD, *fields]))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("4m", 0.004), ("5u", 5e-6), ("6n", 6e-9), ("0S", 0), ("99999999S", 99_999_999),
     ("S", -1), ("", -1), ("1", -1), ("1s", -1), ("-1S", -1), ("1.5S", -1), ("123456789S", -1), ("1 S", -1)],
)  # fmt: skip
def test_a_timeout_has_at_most_eight_digits_and_a_unit(text, seconds):
    assert read(("grpc-timeout", text)).timeout_s == pytest.approx(seconds)


def test_a_head_tells_what_a_server_needs():
    head = read(("authorization", "a"), ("authorization", "b"), ("grpc-encoding", "GZIP"), ("content-length", "12"))
    assert (head.path, head.keys, head.encoding, head.length, head.status) == ("/a/B", (b"a", b"b"), b"gzip", 12, 200)
    assert read() == read()
    assert read().timeout_s is None


def test_headers_are_limited_in_number_and_in_size():
    with pytest.raises(StreamFault, match="more than 64 headers"):
        read(*((f"x{n}", "y") for n in range(64)))
    with pytest.raises(ConnectionFault) as caught:
        read(*((f"x{n}", "y" * 1000) for n in range(33)))
    assert caught.value.code == Code.ENHANCE_YOUR_CALM


def test_a_block_that_moves_the_table_is_read_anew():
    encoder, reader = hpack.Encoder(), HeadReader(LIMITS)
    for timeout in ("1S", "1S", "2S", "1S", "3S", "2S"):
        head = reader.read(encoder.encode([*HEAD, ("grpc-timeout", timeout)]))
        assert head.timeout_s == int(timeout[0])


def test_a_table_that_is_emptied_or_made_smaller_is_read_anew():
    encoder, reader = hpack.Encoder(), HeadReader(LIMITS)
    for size in (4096, 4096, 0, 0, 100, 4096, 4096):
        encoder.header_table_size = size
        for path in ("/a/B", "/c/D", "/a/B"):
            assert reader.read(encoder.encode([*HEAD[:2], (":path", path), HEAD[3]])).path == path


@pytest.mark.parametrize("resize", [b"\x20", b"\x3f\x00", b"\x3f\xe1\x1f"])
def test_a_table_is_resized_twice_at_most(resize):
    block = hpack.Encoder().encode(HEAD)
    assert HeadReader(LIMITS).read(resize * 2 + block).path == "/a/B"
    with pytest.raises(ConnectionFault) as caught:
        HeadReader(LIMITS).read(resize * 3 + block)
    assert caught.value.code == Code.COMPRESSION_ERROR


def test_trailers_and_skipped_blocks_keep_the_table_in_step():
    encoder, reader = hpack.Encoder(), HeadReader(LIMITS)
    reader.read(encoder.encode(HEAD))
    reader.read_trailers(encoder.encode([("x", "1")]))
    reader.skip(encoder.encode([("y", "2")]))
    assert reader.read(encoder.encode([*HEAD, ("x", "1"), ("y", "2")])).path == "/a/B"


def test_our_blocks_mean_the_same_to_every_decoder_and_leave_its_table_alone():
    decoder = hpack.Decoder()
    for _ in range(2):
        assert decoder.decode(heads.RESPONSE) == [(":status", "200"), ("content-type", "application/grpc")]
        assert decoder.decode(heads.OK) == [("grpc-status", "0")]
        assert decoder.decode(heads.refusal(415))[0] == (":status", "415")
        assert decoder.decode(block(("a", "x" * 300))) == [("a", "x" * 300)]
    assert not decoder.header_table.dynamic_entries


@pytest.mark.parametrize("text", ["plain", "50 % and ü, 日本\n\r\0", "~!\"#$&'()*+,-./:;<=>?@[]^_`{|}\\"])
def test_an_errors_text_travels_as_printable_ascii(text):
    for alone in (True, False):
        told = dict(hpack.Decoder().decode(ending(Status.NOT_FOUND, text, (("seakeep-code", "x"),), alone=alone)))
        assert (told["grpc-status"], told["seakeep-code"]) == ("5", "x")
        assert (":status" in told) == alone
        assert told["grpc-message"].isprintable()
        assert told["grpc-message"].isascii()
        assert unquote(told["grpc-message"]) == text


def test_a_long_text_is_cut():
    told = dict(hpack.Decoder().decode(ending(Status.INTERNAL, "日" * 5000, (), alone=True)))
    assert unquote(told["grpc-message"]) == "日" * heads.MESSAGE_CHARACTERS
    assert len(ending(Status.INTERNAL, "\U0001f30a" * 5000, (), alone=True)) < 16_384
