import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.serving.grpc import frames
from seakeep.serving.grpc.frames import (
    FRAME_BYTES,
    PREFACE,
    Code,
    ConnectionFault,
    FrameReader,
    StreamFault,
    check,
    frame,
    goaway_frame,
    read_settings,
    reset_frame,
    settings_frame,
    unpadded,
    window_frame,
)

some = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=40))


@given(st.lists(some, max_size=6), st.data())
def test_frames_are_cut_out_wherever_the_network_cuts(wanted, data):
    sent = PREFACE + b"".join(frame(*one) for one in wanted)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    reader, found = FrameReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        found += reader.feed(sent[start:end])
    assert found == wanted
    assert not reader.partial


def test_a_reader_knows_whether_something_is_missing():
    reader = FrameReader()
    assert reader.partial
    assert list(reader.feed(PREFACE + b"\0")) == []
    assert reader.partial
    assert list(reader.feed(b"\0\x01\x06\0\0\0\0\0x")) == [(6, 0, 0, b"x")]
    assert not reader.partial


def test_the_reserved_bit_is_not_read():
    reader = FrameReader()
    assert list(reader.feed(PREFACE + b"\0\0\0\x06\0\xff\xff\xff\xff")) == [(6, 0, 2**31 - 1, b"")]


def test_frames_have_the_bytes_of_the_specification():
    assert settings_frame({frames.INITIAL_WINDOW_SIZE: 65_535}) == b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff"
    assert reset_frame(3, Code.CANCEL) == b"\0\0\x04\x03\0\0\0\0\x03\0\0\0\x08"
    assert window_frame(1, 5) == b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\x05"
    assert goaway_frame(7, Code.NO_ERROR, "x") == b"\0\0\x09\x07\0\0\0\0\0\0\0\0\x07\0\0\0\0x"
    assert frame(frames.DATA, 1, 1, bytes(FRAME_BYTES))[:9] == b"\0\x40\0\0\x01\0\0\0\x01"


@pytest.mark.parametrize(
    ("kind", "flags", "payload", "left"),
    [
        (frames.DATA, 0, b"abc", b"abc"),
        (frames.DATA, frames.PADDED, b"\x00abc", b"abc"),
        (frames.DATA, frames.PADDED, b"\x02abcd", b"ab"),
        (frames.DATA, frames.WEIGHTED, b"abcdefg", b"abcdefg"),
        (frames.HEADERS, frames.WEIGHTED, b"12345ab", b"ab"),
        (frames.HEADERS, frames.WEIGHTED | frames.PADDED, b"\x0112345abp", b"ab"),
    ],
)
def test_padding_and_priority_are_taken_off(kind, flags, payload, left):
    assert unpadded(kind, flags, payload) == left


@given(st.sampled_from([frames.DATA, frames.HEADERS]), st.integers(0, 255), st.binary(max_size=20))
def test_what_is_taken_off_is_never_more_than_there_is(kind, flags, payload):
    with contextlib.suppress(ConnectionFault):
        assert unpadded(kind, flags, payload) in payload


def test_settings_keep_their_order_and_the_unknown():
    sent = [(4, 1), (0x99, 7), (4, 2)]
    payload = b"".join(number.to_bytes(2) + value.to_bytes(4) for number, value in sent)
    assert read_settings(payload) == sent


def test_a_frame_of_a_streams_error_is_not_the_connections():
    with pytest.raises(StreamFault):
        check(frames.PRIORITY, 0, 1, 4)
    check(0x77, 0xFF, 12, 3)
