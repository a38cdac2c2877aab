"""An open loop: requests leave at the moments of a Poisson process, and each is timed from the moment it was due.

A closed loop waits for a slow server and so hides how slow it is ("coordinated omission"); this one does not. A request that
finds all connections busy waits for one, and its wait counts. One thread spins over ``epoll``: it has a core of its own.
Reads a plan as JSON from standard input; see :func:`servers.load.open_loop`.
"""

import json
import random
import select
import socket
import sys
import time
from collections import deque


class Loop:
    def __init__(self, plan):
        head = "".join(f"{name}: {value}\r\n" for name, value in plan["headers"].items())
        self._requests = [
            f"POST {plan['path']} HTTP/1.1\r\nhost: 127.0.0.1\r\n{head}content-length: {len(body)}\r\n\r\n{body}".encode()
            for body in plan["bodies"]
        ]
        self._port = plan["port"]
        self._poll = select.epoll()
        self._sockets, self._due, self._partial = {}, {}, {}
        self._free = deque()
        self._sent = 0
        self.found = []  # (due, answered, status)
        self.lost = 0
        for _ in range(plan["connections"]):
            self._connect()

    def _connect(self):
        one = socket.create_connection(("127.0.0.1", self._port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.setblocking(False)  # noqa: FBT003 -- socket's signature
        self._poll.register(one.fileno(), select.EPOLLIN)
        self._sockets[one.fileno()] = one
        self._free.append(one.fileno())

    def run(self, moments):
        """Send a request at each moment (seconds from now); then wait for what is on its way."""
        began = time.perf_counter()
        due = deque(began + moment for moment in moments)
        waiting = deque()
        over = due[-1] + 10.0
        while (due or waiting or self._due) and time.perf_counter() < over:
            now = time.perf_counter()
            while due and due[0] <= now:
                waiting.append(due.popleft())
            while waiting and self._free:
                self._send(waiting.popleft())
            for place, _ in self._poll.poll(0):
                self._read(place)
        self.lost += len(self._due) + len(waiting)
        return began

    def _send(self, due):
        place = self._free.popleft()
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        self._due[place] = due
        try:
            sent = self._sockets[place].send(request)
            if sent < len(request):
                self._sockets[place].setblocking(True)  # noqa: FBT003 -- socket's signature
                self._sockets[place].sendall(request[sent:])
                self._sockets[place].setblocking(False)  # noqa: FBT003 -- socket's signature
        except OSError:
            self._gone(place)

    def _read(self, place):
        try:
            data = self._sockets[place].recv(65536)
        except OSError:
            data = b""
        if not data or place not in self._due:
            self._gone(place)
            return
        data = self._partial.pop(place, b"") + data
        head, separator, body = data.partition(b"\r\n\r\n")
        if not separator or not _whole(head.lower(), body):
            self._partial[place] = data
            return
        self.found.append((self._due.pop(place), time.perf_counter(), int(head[9:12])))
        if b"connection: close" in head.lower():
            self._gone(place)
        else:
            self._free.append(place)

    def _gone(self, place):
        if self._due.pop(place, None) is not None:
            self.lost += 1
        elif place in self._free:  # closed by the server while it was at rest
            self._free.remove(place)
        self._partial.pop(place, None)
        self._poll.unregister(place)
        self._sockets.pop(place).close()
        self._connect()


def _whole(head, body):
    """Whether a body is complete."""
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    at = head.find(b"content-length:")
    return at < 0 or len(body) >= int(head[at + 15 :].split(b"\r\n", 1)[0])


def _times(found):
    """p50 and p99, microseconds."""
    times = sorted((answered - due) * 1e6 for due, answered, _ in found)
    return [times[len(times) * share // 100] for share in (50, 99)] if times else [None, None]


def main():
    plan = json.load(sys.stdin)
    chance = random.Random(0)
    moments, at = [], 0.0
    while at < plan["seconds"]:
        at += chance.expovariate(plan["rate"])
        moments.append(at)
    loop = Loop(plan)
    warm = 0.1 * plan["seconds"]
    began = loop.run(moments)
    counted = [one for one in loop.found if one[0] >= began + warm]
    good = [one for one in counted if one[2] == 200]
    refused = [one for one in counted if one[2] != 200]
    last = max((one[1] for one in counted), default=began)
    wall = max(last - began - warm, plan["seconds"] - warm)
    statuses = {}
    for one in counted:
        statuses[one[2]] = statuses.get(one[2], 0) + 1
    (p50, p99), (_, refused_p99) = _times(good), _times(refused)
    told = {
        "offered_s": len([moment for moment in moments if moment >= warm]) / (plan["seconds"] - warm),
        "good_s": len(good) / wall,
        "refused_s": len(refused) / wall,
        "lost": loop.lost,
        "statuses": statuses,
        "p50_us": p50,
        "p99_us": p99,
        "refused_p99_us": refused_p99,
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
