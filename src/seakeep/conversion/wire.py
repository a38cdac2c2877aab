"""What is said to a model's own process and what it answers: frames over a stream socket, numbers and text as they are.

A frame is a head of 21 bytes and its payload. Nothing in it can carry code: the process of a model is not trusted to
send anything but numbers and text, of a length that whoever reads it has named.

======  ==========================================================================================
kind    payload
======  ==========================================================================================
model   the packed model
ready   a :class:`Ready` in JSON
rows    float64 ``(rows, first)``, then the lengths of ``(rows, second)`` texts as uint32, then their UTF-8
scores  float64 ``(rows, first)``, NaN for what the model refuses
fault   text: why the model cannot be loaded
======  ==========================================================================================
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from seakeep.conversion.rows import Rows
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL, READY, ROWS, SCORES, FAULT = range(1, 6)
MOST_BYTES = 2 * 1024**3
"""No frame is longer."""
MOST_TOLD = 1 << 20
"""Longest JSON or text, in bytes."""
_HEAD = struct.Struct("<BIIIQ")


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says when its model can answer: what the answers are, and the time and memory it took."""

    outputs: Outputs
    load_s: float
    memory_bytes: int


class Frame(NamedTuple):
    """One frame; what ``first`` and ``second`` count depends on its kind."""

    kind: int
    rows: int
    first: int
    second: int
    payload: bytearray


class Closed(Exception):
    """The other side has gone, or says what makes no sense."""


def send(to: socket.socket, kind: int, *payload: bytes | memoryview, dims: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Send a frame.

    Raises
    ------
    Closed
        Nobody reads it.
    """
    try:
        to.sendall(_HEAD.pack(kind, *dims, sum(len(part) for part in payload)))
        for part in payload:
            if len(part):
                to.sendall(part)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed(str(error)) from error


def receive(of: socket.socket, most: int = MOST_BYTES) -> Frame:
    """Receive a frame whose payload has at most so many bytes.

    Raises
    ------
    Closed
        The other side has gone, or its frame is longer.
    """
    kind, rows, first, second, size = _HEAD.unpack(_exactly(of, _HEAD.size))
    if size > most:
        raise Closed(f"a frame of {size:,} bytes where {most:,} are the most")
    return Frame(kind, rows, first, second, _exactly(of, size))


def send_rows(to: socket.socket, rows: Rows) -> None:
    """Send rows to be scored."""
    numbers = np.ascontiguousarray(rows.numbers, dtype="<f8")
    texts = [str(text).encode("utf-8", "surrogatepass") for text in rows.categories.ravel().tolist()]
    lengths = np.array([len(text) for text in texts], dtype="<u4")
    dims = (len(rows), numbers.shape[1], rows.categories.shape[1])
    send(to, ROWS, _bytes(numbers), _bytes(lengths), b"".join(texts), dims=dims)


def rows_of(frame: Frame) -> Rows:
    """The rows in a frame.

    Raises
    ------
    Closed
        Its parts are not as long as they say.
    """
    count, texts = frame.rows * frame.first, frame.rows * frame.second
    start = count * 8 + texts * 4
    if len(frame.payload) < start:
        raise Closed("a frame of rows ends early")
    numbers = np.frombuffer(frame.payload, dtype="<f8", count=count).reshape(frame.rows, frame.first)
    ends = np.cumsum(np.frombuffer(frame.payload, dtype="<u4", count=texts, offset=count * 8), dtype=np.int64)
    if start + (int(ends[-1]) if texts else 0) != len(frame.payload):
        raise Closed("the texts of a frame of rows are not as long as they say")
    told = bytes(frame.payload[start:])
    categories = np.empty(texts, dtype=object)
    begin = 0
    for place, end in enumerate(ends.tolist()):
        categories[place] = told[begin:end].decode("utf-8", "surrogatepass")
        begin = end
    return Rows(numbers, categories.reshape(frame.rows, frame.second))


def send_scores(to: socket.socket, scores: NDArray[np.float64]) -> None:
    """Send scores ``(n, k)``."""
    dense = np.ascontiguousarray(scores, dtype="<f8")
    send(to, SCORES, _bytes(dense), dims=(len(dense), dense.shape[1], 0))


def scores_of(frame: Frame, rows: int, width: int) -> NDArray[np.float64]:
    """The scores in a frame, which must be those of so many rows, of ``width`` numbers each.

    Raises
    ------
    Closed
        It is no such frame.
    """
    if (frame.kind, frame.rows, frame.first) != (SCORES, rows, width) or len(frame.payload) != rows * width * 8:
        raise Closed(f"{rows} rows of {width} numbers were asked for, and frame {frame.kind} of {frame.rows} came")
    return np.frombuffer(frame.payload, dtype="<f8").astype(np.float64, copy=False).reshape(rows, width)


def _bytes(array: NDArray[np.generic]) -> memoryview:
    # An empty array of two dimensions cannot be cast.
    return array.data.cast("B") if array.size else memoryview(b"")


def _exactly(of: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    view, at = memoryview(content), 0
    while at < size:
        try:
            got = of.recv_into(view[at:])
        except ConnectionResetError:
            got = 0
        if not got:
            raise Closed("the other side has gone")
        at += got
    return content
