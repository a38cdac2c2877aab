"""Heads that were parsed before: a client that keeps its connection open sends the same bytes again and again.

A parser that stands before a request makes the same of the same bytes. What it made of a whole head is kept by the head's
bytes, and a request that begins with them, to the byte, need not be parsed again. Nothing is read here; what depends on the
moment, as who may do what, is asked for every request.
"""

from __future__ import annotations

from typing import NamedTuple

from seakeep.serving.exchange import Exchange

KEPT = 256
"""Heads that are kept; then all are let go of."""
_END = b"\r\n\r\n"
_PARTICULAR = frozenset({b"expect", b"transfer-encoding", b"upgrade"})
"""Headers of requests that go on in their own way after their head."""


class Head(NamedTuple):
    """What a parser made of a head; ``length`` is that of the body after it."""

    method: bytes
    path: bytes
    headers: dict[bytes, bytes]
    length: int


class Heads:
    """What was made of the last heads; nobody may change it."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Head] = {}

    def find(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and the body of one whole request whose head is known; None if it has to be parsed."""
        end = data.find(_END) + len(_END)
        head = self._kept.get(data[:end])
        if head is None or len(data) - end != head.length:
            return None
        return head, data[end:]

    def keep(self, data: bytes, exchange: Exchange, body: bytes) -> None:
        """Keep what was made of ``data``, which a parser was given when it stood before a request.

        Only if it was one whole request in the common form: the body as long as ``Content-Length`` says and right after
        the first empty line, on a connection that stays open.
        """
        headers, end = exchange.headers, len(data) - len(body)
        if (
            data[:1].isalpha()
            and data.find(_END) + len(_END) == end
            and int(headers.get(b"content-length", b"0")) == len(body)
            and not exchange.close
            and _PARTICULAR.isdisjoint(headers)
        ):
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[data[:end]] = Head(exchange.method, exchange.path, headers, len(body))
