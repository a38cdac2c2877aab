"""How soon every worker answers by a new release, when the versions are loaded and the machine has time.

``python benchmarks/switch.py [SWITCHES]`` serves two versions of the example's model from two workers and promotes one after
the other. A few connections, of which the kernel gives each worker some, ask again and again; measured is from the commit of
a promotion to the moment at which the last of them was answered by the new version. The results go to
``benchmarks/results/switch.json``; what happens to the requests of a busy service meanwhile, ``benchmarks/swap.py`` tells.
"""

import datetime as dt
import json
import os
import platform
import random
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from swap import Releases, Served, make, questions

RESULTS = Path(__file__).parent / "results" / "switch.json"
SWITCHES, CONNECTIONS, PAUSE_S = 200, 12, 0.0005


def ask(connections, sent):
    """The answers to one request on every connection, and how long they took together."""
    began_s = time.perf_counter()
    for connection in connections:
        connection.sendall(sent)
    return [receive(connection) for connection in connections], time.perf_counter() - began_s


def receive(connection):
    data = b""
    while True:
        head, found, body = data.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            assert head.startswith(b"HTTP/1.1 200 "), data
            return body
        data += connection.recv(65_536)


def measure(port, releases, sent, switches):
    """Milliseconds of each switch, and of each round of questions."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    draw, lags_ms, rounds_ms = random.Random(0), [], []
    for place in range(switches):
        number = 1 + place % 2  # the second is in force at first
        time.sleep(0.1 + 0.05 * draw.random())
        releases.swap(number)
        since_s = time.perf_counter()
        left, new = connections, b'"model_version":"%d"' % number
        while left:
            answers, took_s = ask(left, sent)
            rounds_ms.append(took_s * 1e3)
            left = [connection for connection, answer in zip(left, answers, strict=True) if new not in answer]
            time.sleep(PAUSE_S)
        lags_ms.append((time.perf_counter() - since_s) * 1e3)
    for connection in connections:
        connection.close()
    return lags_ms, rounds_ms


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


def main():
    switches = int(sys.argv[1]) if len(sys.argv) > 1 else SWITCHES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "flights"
        make(folder)
        with Served(folder) as port:
            releases = Releases(folder)
            asked = questions(port, releases)
            lags_ms, rounds_ms = measure(port, releases, asked[0].sent, switches)
    shared = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, niceness {os.nice(0)}",
        "versions": {"python": platform.python_version()},
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    figures = [
        ("switches", "switches", len(lags_ms), None),
        ("until every worker answers by a release, median", "ms", round(statistics.median(lags_ms), 1), None),
        ("until every worker answers by a release, 99th percentile", "ms", round(percentile(lags_ms, 0.99), 1), 50),
        ("until every worker answers by a release, longest", "ms", round(max(lags_ms), 1), None),
        ("of it a round of questions, median", "ms", round(statistics.median(rounds_ms), 1), None),
    ]
    found = [
        {
            "figure": figure,
            "unit": unit,
            "ours": ours,
            "peers": {},
            "ratio_to_best_peer": None,
            "limit": limit,
            **shared,
        }
        for figure, unit, ours, limit in figures
    ]
    for row in found:
        print(f"{row['figure']:58} {row['ours']:>8} {row['unit']}")
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
