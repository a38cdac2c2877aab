"""Streams history through a running server, faster than it happened: events when they became known, then requests.

Time is cut into windows. For each window the events that became known in it are sent, then the requests of the window,
side by side over several connections. The server computes features as of each row's own time, so that an event of the
window that became known after a row's time cannot influence it.
"""

from __future__ import annotations

import asyncio
import bisect
import dataclasses
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from seakeep.clock import DAY_US, MICROSECONDS
from seakeep.errors import DataError

_MINUTE_US = 60 * MICROSECONDS
_MAX_EVENTS = 2_000


class Client(Protocol):
    """One keep-alive connection to a server; one request at a time."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send a request and wait for the status and the body of the answer; raises OSError if there is none."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Rows in the order of a time.

    Attributes
    ----------
    name
        The source of events, or the model that is asked.
    rows
        As they are sent, each a JSON object.
    times_us
        When each event became known, or which moment each request speaks for; ascending.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    times_us: Sequence[int]

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.times_us):
            message = f"stream {self.name!r} has {len(self.rows)} rows and {len(self.times_us)} times"
            raise DataError(message, hint="give each row its time")
        if any(later < earlier for earlier, later in zip(self.times_us, self.times_us[1:], strict=False)):
            message = f"the rows of stream {self.name!r} are not in the order of time"
            raise DataError(message, hint="sort them by time")

    def between(self, from_us: int, to_us: int) -> Sequence[Mapping[str, Any]]:
        """Rows with ``from_us <= time < to_us``."""
        start, stop = bisect.bisect_left(self.times_us, from_us), bisect.bisect_left(self.times_us, to_us)
        return self.rows[start:stop]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to stream.

    Attributes
    ----------
    requests
        Rows that ask a model.
    events
        The sources' streams.
    from_us, to_us
        The simulated time to cover; ``to_us`` is outside.
    window_us
        Length of a window. Keep it between replays over one recorder: it is part of the batches' identity.
    rows_per_request
        Rows asked for together.
    """

    requests: Stream
    events: tuple[Stream, ...]
    from_us: int
    to_us: int
    window_us: int = 60 * _MINUTE_US
    rows_per_request: int = 1

    def windows(self) -> Iterator[tuple[int, int]]:
        """Begin and end of each window; no window crosses a day."""
        start = self.from_us
        while start < self.to_us:
            stop = min(start + self.window_us, self.to_us, (start // DAY_US + 1) * DAY_US)
            yield start, stop
            start = stop


@dataclasses.dataclass(slots=True, kw_only=True)
class Totals:
    """What was sent so far.

    Attributes
    ----------
    time_us
        Simulated time reached.
    answered, failed
        Rows that were and were not answered with a prediction.
    events, events_failed
        Events the server took and did not take.
    statuses
        Requests of both kinds by HTTP status; 0 where the connection failed.
    seconds
        Real time since the start.
    first_failure
        The first answer that was not a success, as text; ``""`` if there is none.
    """

    time_us: int
    answered: int = 0
    failed: int = 0
    events: int = 0
    events_failed: int = 0
    statuses: Counter[int] = dataclasses.field(default_factory=Counter)
    seconds: float = 0.0
    first_failure: str = ""

    @property
    def rate(self) -> float:
        """Predictions asked for in a second of real time."""
        return (self.answered + self.failed) / self.seconds if self.seconds else 0.0


async def stream(
    plan: Plan,
    clients: Sequence[Client],
    *,
    headers: Mapping[str, str] | None = None,
    on_progress: Callable[[Totals], None] | None = None,
) -> Totals:
    """Stream a plan through a server. A request that fails is counted, not sent again.

    Parameters
    ----------
    clients
        Connections to use side by side.
    headers
        Sent with every request, for example an API key.
    on_progress
        Called after each window.
    """
    sender = _Sender(clients, {"content-type": "application/json", **(headers or {})}, Totals(time_us=plan.from_us))
    began = time.perf_counter()
    for start, stop in plan.windows():
        await sender.events(plan.events, start, stop)
        await sender.requests(plan.requests, start, stop, plan.rows_per_request)
        sender.totals.time_us = stop
        sender.totals.seconds = time.perf_counter() - began
        if on_progress:
            on_progress(sender.totals)
    return sender.totals


class _Sender:
    def __init__(self, clients: Sequence[Client], headers: Mapping[str, str], totals: Totals) -> None:
        self._clients, self._headers, self.totals = clients, headers, totals
        self._encode = msgspec.json.Encoder().encode

    async def events(self, sources: Sequence[Stream], from_us: int, to_us: int) -> None:
        """Send the events that became known in a window, the sources side by side: they share one write to the disk.

        The key of a batch is the same each time this window is replayed.
        """
        batches = []
        for source in sources:
            rows = source.between(from_us, to_us)
            for place in range(0, len(rows), _MAX_EVENTS):
                key = f"replay-{source.name}-{from_us}-{to_us}-{place}"
                batches.append((source.name, key, rows[place : place + _MAX_EVENTS]))

        async def send(client: Client, batch: tuple[str, str, Sequence[Mapping[str, Any]]]) -> None:
            name, key, rows = batch
            headers = {**self._headers, "idempotency-key": key}
            if await self._post(client, f"/v1/events/{name}", self._encode({"events": rows}), headers):
                self.totals.events += len(rows)
            else:
                self.totals.events_failed += len(rows)

        await self._side_by_side(send, batches)

    async def requests(self, model: Stream, from_us: int, to_us: int, together: int) -> None:
        """Ask for the predictions of a window."""
        rows = model.between(from_us, to_us)
        path = f"/v1/models/{model.name}/predict"

        async def ask(client: Client, batch: Sequence[Mapping[str, Any]]) -> None:
            if await self._post(client, path, self._encode({"rows": batch}), self._headers):
                self.totals.answered += len(batch)
            else:
                self.totals.failed += len(batch)

        await self._side_by_side(ask, [rows[place : place + together] for place in range(0, len(rows), together)])

    async def _side_by_side(self, send: Callable[[Client, Any], Awaitable[None]], batches: Sequence[Any]) -> None:
        """Send batches over all connections, each over whichever is free."""
        remaining = iter(batches)  # shared by the workers

        async def work(client: Client) -> None:
            for batch in remaining:
                await send(client, batch)

        await asyncio.gather(*(work(client) for client in self._clients[: len(batches)]))

    async def _post(self, client: Client, path: str, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            status, answer = await client.post(path, body, headers)
        except OSError as error:
            status, answer = 0, str(error).encode()
        self.totals.statuses[status] += 1
        success = 200 <= status < 300
        if not success and not self.totals.first_failure:
            self.totals.first_failure = f"{path}: {status} {answer[:500].decode(errors='replace')}"
        return success
