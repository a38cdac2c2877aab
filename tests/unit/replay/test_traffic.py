import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from seakeep.clock import DAY_US, MICROSECONDS
from seakeep.errors import DataError
from seakeep.replay.traffic import Plan, Stream, Totals, stream

MINUTE_US = 60 * MICROSECONDS


class Connection:
    """A keep-alive connection over real sockets, as simple as can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        lines = [f"POST {path} HTTP/1.1", f"content-length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), await self._reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))


class Server:
    """Notes each request in the order of arrival, and answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Mapping[str, str], dict]] = []
        self.refuse: set[str] = set()
        self.connections: set[int] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                body = msgspec.json.decode(await reader.readexactly(int(headers["content-length"])))
                path = head[0].split()[1]
                self.requests.append((path, headers, body))
                self.connections.add(id(writer))
                await asyncio.sleep(0)
                refused = any(text in str(body) + path for text in self.refuse)
                answer = b'{"error": "no"}' if refused else b"{}"
                status = "503 Busy" if refused else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(answer)}\r\n\r\n".encode() + answer)
        writer.close()


@contextlib.asynccontextmanager
async def connected(server: Server, count: int) -> AsyncIterator[list[Connection]]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    yield [Connection(*pair) for pair in streams]
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()
    listening.close()
    await listening.wait_closed()


def rows(name: str, times_us) -> Stream:
    times = list(times_us)
    return Stream(name=name, rows=[{"n": n, "at": at} for n, at in enumerate(times)], times_us=times)


def run(plan: Plan, server: Server, connections: int = 3, **options) -> Totals:
    async def go() -> Totals:
        async with connected(server, connections) as clients:
            return await stream(plan, clients, **options)

    return asyncio.run(go())


def test_events_of_a_window_come_before_its_requests_and_windows_in_order():
    plan = Plan(
        requests=rows("late", range(0, 60 * MINUTE_US, MINUTE_US)),
        events=(rows("arrivals", range(0, 60 * MINUTE_US, 2 * MINUTE_US)), rows("weather", [20 * MINUTE_US])),
        from_us=0,
        to_us=60 * MINUTE_US,
        window_us=15 * MINUTE_US,
    )
    server = Server()
    totals = run(plan, server)
    assert (totals.answered, totals.failed, totals.events, totals.events_failed) == (60, 0, 31, 0)
    assert totals.statuses == {200: 60 + 5}
    assert totals.time_us == 60 * MINUTE_US
    window, seen_request = 0, False
    for path, _, body in server.requests:
        now = min(row["at"] for row in body.get("events", body.get("rows"))) // (15 * MINUTE_US)
        assert now >= window
        seen_request = seen_request and now == window
        window = now
        assert not (path.startswith("/v1/events/") and seen_request), "an event came after a request of its window"
        seen_request = seen_request or path == "/v1/models/late/predict"
    assert len(server.connections) == 3
    sent = sorted(row["n"] for path, _, body in server.requests if "rows" in body for row in body["rows"])
    assert sent == list(range(60))


def test_batches_have_the_same_key_each_time_and_another_in_each_window():
    plan = Plan(
        requests=rows("late", []),
        events=(rows("arrivals", range(0, 40 * MINUTE_US, 10_000_000)),),
        from_us=0,
        to_us=40 * MINUTE_US,
        window_us=15 * MINUTE_US,
    )
    keys = []
    for _ in range(2):
        server = Server()
        run(plan, server)
        keys.append([headers["idempotency-key"] for _, headers, _ in server.requests])
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == len(keys[0]) == 3


def test_large_windows_of_events_are_cut_into_batches():
    plan = Plan(requests=rows("late", []), events=(rows("arrivals", [5] * 4_500),), from_us=0, to_us=10)
    server = Server()
    assert run(plan, server).events == 4_500
    assert [len(body["events"]) for _, _, body in server.requests] == [2_000, 2_000, 500]
    assert len({headers["idempotency-key"] for _, headers, _ in server.requests}) == 3


def test_no_window_crosses_midnight():
    plan = Plan(requests=rows("late", []), events=(), from_us=DAY_US - 10, to_us=DAY_US + 10, window_us=DAY_US)
    assert list(plan.windows()) == [(DAY_US - 10, DAY_US), (DAY_US, DAY_US + 10)]


def test_rows_can_be_asked_for_together():
    plan = Plan(requests=rows("late", range(10)), events=(), from_us=2, to_us=9, rows_per_request=3)
    server = Server()
    assert run(plan, server).answered == 7
    assert sorted(len(body["rows"]) for _, _, body in server.requests) == [1, 3, 3]


def test_failures_are_counted_and_not_sent_again():
    plan = Plan(requests=rows("late", range(10)), events=(rows("arrivals", range(4)),), from_us=0, to_us=10)
    server = Server()
    server.refuse = {"'n': 7", "arrivals"}
    totals = run(plan, server)
    assert (totals.answered, totals.failed, totals.events, totals.events_failed) == (9, 1, 0, 4)
    assert totals.statuses == {200: 9, 503: 2}
    assert totals.first_failure == '/v1/events/arrivals: 503 {"error": "no"}'
    assert len(server.requests) == 11


def test_a_lost_connection_is_a_failure():
    class Broken:
        async def post(self, path, body, headers):
            raise ConnectionResetError("gone")

    plan = Plan(requests=rows("late", range(3)), events=(), from_us=0, to_us=10)
    totals = asyncio.run(stream(plan, [Broken()]))
    assert (totals.answered, totals.failed, totals.statuses) == (0, 3, {0: 3})
    assert "gone" in totals.first_failure


def test_progress_and_headers():
    plan = Plan(requests=rows("late", range(4)), events=(), from_us=0, to_us=4, window_us=2)
    seen = []
    server = Server()
    run(
        plan,
        server,
        headers={"authorization": "Bearer k"},
        on_progress=lambda totals: seen.append((totals.time_us, totals.answered, totals.rate > 0)),
    )
    assert seen == [(2, 2, True), (4, 4, True)]
    assert {headers["authorization"] for _, headers, _ in server.requests} == {"Bearer k"}


@pytest.mark.parametrize(
    ("times", "count", "message"), [([3, 1], 2, "not in the order of time"), ([1], 2, "2 rows and 1 times")]
)
def test_streams_that_cannot_be_are_refused(times, count, message):
    with pytest.raises(DataError, match=message):
        Stream(name="late", rows=[{}] * count, times_us=times)
