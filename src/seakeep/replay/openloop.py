"""Offers requests to a server at moments fixed beforehand, whether or not it has answered those before.

A client that waits for an answer before it asks again asks least when the server is slowest, and hides what others would
have waited ("coordinated omission"). Here latency counts from the moment a request was due.

References
----------
G. Tene, How NOT to Measure Latency, 2015; B. Schroeder, A. Wierman, M. Harchol-Balter, Open Versus Closed: A Cautionary
Tale, NSDI 2006.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seakeep.serving.client import Link

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATIENCE_S = 10.0
"""Longest wait for the answers after the last request, in seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Offered:
    """What became of ``n`` requests, in the order in which they were due.

    Attributes
    ----------
    due_s
        float64 ``(n,)``, seconds from the start.
    late_s
        How long after that it was sent, although a connection was free; NaN where none was, or it was never sent.
    latency_s
        From when it was due to its answer; NaN where there was none.
    status
        int64 ``(n,)``: the HTTP status; 0 where there was no answer, -1 where it was not sent.
    first_failure
        The body of the first answer that was not 200.
    """

    due_s: NDArray[np.float64]
    late_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    status: NDArray[np.int64]
    first_failure: str = ""


def arrivals(rate: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Moments of a Poisson process: independent users, seconds from the start."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, size=max(1, round(rate * seconds)))
    return np.cumsum(gaps)


async def offer(
    requests: Sequence[bytes], due_s: NDArray[np.float64], address: tuple[str, int], *, connections: int,
    until_s: float = float("inf"),
) -> Offered:  # fmt: skip
    """Send requests (again from the first when all were sent) when they are due.

    Parameters
    ----------
    requests
        Whole HTTP requests.
    connections
        Kept open; a request that finds none free waits, and its latency counts meanwhile.
    until_s
        Nothing is sent after so many seconds.

    Raises
    ------
    OSError
        Nobody answers at ``address``.
    """
    loop = asyncio.get_running_loop()
    links = [(await loop.create_connection(Link, *address))[1] for _ in range(connections)]
    generator = _Generator(loop, requests, due_s, links)
    try:
        return await generator.run(until_s)
    finally:
        for link in links:
            link.close()


class _Generator:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, requests: Sequence[bytes], due_s: NDArray[np.float64], links: list[Link]
    ) -> None:
        self._loop, self._requests, self._due = loop, requests, due_s.tolist()
        self._free, self._waiting = deque(links), deque[int]()
        n = len(self._due)
        self._late, self._latency, self._status = [float("nan")] * n, [float("nan")] * n, [-1] * n
        self._start = 0.0
        self._out = 0
        self._failure = ""

    async def run(self, until_s: float) -> Offered:
        due, n, next_one = self._due, len(self._due), 0
        self._start = self._loop.time()
        while next_one < n or self._waiting:
            now = self._loop.time() - self._start
            if now > until_s or not (
                self._free or self._out
            ):  # its time is over, or the server closed every connection
                break
            while next_one < n and due[next_one] <= now:
                if self._free:
                    self._late[next_one] = now - due[next_one]
                    self._send(next_one)
                    now = self._loop.time() - self._start
                else:
                    self._waiting.append(next_one)
                next_one += 1
            # Timers of event loops ring to the millisecond: only turning over waits for less.
            remaining = due[next_one] - now if next_one < n else 0.0
            await asyncio.sleep(remaining - 0.002 if remaining > 0.004 else 0)
        self._waiting.clear()
        deadline = self._loop.time() + PATIENCE_S
        while self._out and self._loop.time() < deadline:  # noqa: ASYNC110 -- of many
            await asyncio.sleep(0.001)
        return Offered(
            due_s=np.array(due),
            late_s=np.array(self._late),
            latency_s=np.array(self._latency),
            status=np.array(self._status),
            first_failure=self._failure,
        )

    def _send(self, place: int) -> None:
        link = self._free.popleft()
        self._status[place] = 0
        self._out += 1
        answer = link.send(self._requests[place % len(self._requests)])
        answer.add_done_callback(functools.partial(self._answered, link, place))

    def _answered(self, link: Link, place: int, answer: asyncio.Future[tuple[int, bytes]]) -> None:
        self._out -= 1
        if not answer.cancelled() and answer.exception() is None:
            status, body = answer.result()
            self._latency[place] = self._loop.time() - self._start - self._due[place]
            self._status[place] = status
            if status != 200 and not self._failure:
                self._failure = body[:500].decode(errors="replace")
            if link.open:
                self._free.append(link)
        if self._waiting and self._free:
            self._send(self._waiting.popleft())
