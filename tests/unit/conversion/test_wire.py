"""Frames between a server and a model's process: what was sent comes, and what makes no sense is refused."""

import socket
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seakeep.conversion import wire
from seakeep.conversion.rows import Rows


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def through(pair, send):
    """What comes of a frame, which may be larger than the kernel keeps."""
    sending = threading.Thread(target=send)
    sending.start()
    try:
        return wire.receive(pair[1])
    finally:
        sending.join()


texts = st.text(st.characters(), max_size=8)


@settings(deadline=None)
@given(data=st.data(), rows=st.integers(0, 5), numbers=st.integers(0, 3), categories=st.integers(0, 3))
def test_rows_come_as_they_were_sent_bit_for_bit(data, rows, numbers, categories):
    left, right = socket.socketpair()
    with left, right:
        floats = st.lists(st.floats(), min_size=rows * numbers, max_size=rows * numbers)
        sent = Rows(
            np.array(data.draw(floats), dtype=np.float64).reshape(rows, numbers),
            np.array(
                [*data.draw(st.lists(texts, min_size=rows * categories, max_size=rows * categories)), None],
                dtype=object,
            )[:-1].reshape(rows, categories),
        )
        wire.send_rows(left, sent)
        came = wire.rows_of(wire.receive(right))
    assert came.numbers.tobytes() == sent.numbers.tobytes()
    assert came.numbers.shape == sent.numbers.shape
    assert came.categories.tolist() == sent.categories.tolist()
    assert came.categories.shape == sent.categories.shape


def test_a_lone_surrogate_and_an_empty_text_come_as_they_were_sent(pair):
    sent = Rows(np.zeros((2, 0)), np.array([["\ud800"], [""]], dtype=object))
    wire.send_rows(pair[0], sent)
    assert wire.rows_of(wire.receive(pair[1])).categories.tolist() == [["\ud800"], [""]]


def test_scores_of_many_rows_come_as_they_were_sent(pair):
    sent = np.random.default_rng(0).normal(size=(100_000, 3))
    frame = through(pair, lambda: wire.send_scores(pair[0], sent))
    assert wire.scores_of(frame, 100_000, 3).tobytes() == sent.tobytes()


@pytest.mark.parametrize(("rows", "width"), [(2, 1), (1, 2)])
def test_scores_of_other_rows_than_were_asked_for_are_refused(pair, rows, width):
    wire.send_scores(pair[0], np.zeros((1, 1)))
    frame = wire.receive(pair[1])
    with pytest.raises(wire.Closed, match="came"):
        wire.scores_of(frame, rows, width)


def test_a_frame_that_is_no_answer_is_refused(pair):
    wire.send(pair[0], wire.FAULT, b"12345678", dims=(1, 1, 0))
    with pytest.raises(wire.Closed, match="frame 5"):
        wire.scores_of(wire.receive(pair[1]), 1, 1)


def test_a_frame_longer_than_allowed_is_refused_before_it_is_read(pair):
    pair[0].sendall(wire._HEAD.pack(wire.SCORES, 1, 1, 0, 1 << 60))
    with pytest.raises(wire.Closed, match="the most"):
        wire.receive(pair[1], 8)


@pytest.mark.parametrize("payload", [b"", bytes(8), bytes(12), bytes(13), bytes(8) + b"\xff\xff\xff\xff"])
def test_rows_that_are_not_as_long_as_they_say_are_refused(pair, payload):
    wire.send(pair[0], wire.ROWS, payload, dims=(1, 1, 1))
    frame = wire.receive(pair[1])
    if len(payload) == 12 and payload == bytes(12):
        assert wire.rows_of(frame).categories.tolist() == [[""]]
        return
    with pytest.raises(wire.Closed):
        wire.rows_of(frame)


def test_a_side_that_has_gone_is_told_of_in_the_middle_of_a_frame_and_when_it_is_sent_to(pair):
    left, right = pair
    left.sendall(wire._HEAD.pack(wire.SCORES, 1, 1, 0, 8) + b"123")
    left.close()
    with pytest.raises(wire.Closed, match="has gone"):
        wire.receive(right)
    with pytest.raises(wire.Closed):
        wire.send(right, wire.ROWS, b"1")
