"""Servers side by side: ours, with everything on, beside what people use today, all serving one model.

``scripts/bench serving`` makes the model, an environment for each peer (in ``benchmarks/.cache``), measures every server in
turn, round after round, and writes ``benchmarks/results/serving.json``. ``--quick`` measures for seconds and writes nothing;
names after it choose sides: ``scripts/bench serving --quick FastAPI``. It needs ``wrk`` (Debian: ``apt-get install wrk``).

A server and all its processes have one core; the load has the other. Every request asks for one row in JSON. Peers get the
inputs of the model; ours looks them up by entity, checks the row against the schema of the training data, checks the key,
counts the stages and records the prediction. Latencies at a fixed rate are of an open loop (``servers/arrivals.py``).
"""

import datetime as dt
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from servers import network, ours
from servers.load import closed, open_loop
from servers.peers import PEERS
from servers.process import Running
from servers.subject import CACHE, subject

RESULTS = Path(__file__).parent / "results" / "serving.json"
SERVER, CLIENT = {0}, {1}
RATE = 10_000
"""Requests/s at which latencies are compared: too many for the peers, who get what they can."""
SHARE = 0.5
"""Of its own capacity, the rate a peer is given if it cannot take ``RATE``."""
ROWS = 64
"""In one request of the overload: so that one core can offer three times what the other can take."""


class Plan:
    """How long to measure."""

    def __init__(self, *, quick):
        self.rounds = 1 if quick else 2
        self.seconds = 3 if quick else 4
        self.warm_s = 1


def visit(server, plan):
    """One round of one server: what it does at 64 connections, at one, and at a fixed rate."""
    with Running(server, SERVER) as running:
        closed(running, 64, plan.warm_s, CLIENT)
        busy = closed(running, 64, plan.seconds, CLIENT)
        one = closed(running, 1, plan.seconds, CLIENT)
        rate = RATE if busy["requests_s"] > 1.2 * RATE else SHARE * busy["requests_s"]
        steady = open_loop(running, rate, plan.seconds, CLIENT)
        weights = running.rss_mb()
    return {
        "requests_s": busy["requests_s"],
        "p50_us": one["p50_us"],
        "errors": busy["errors"] + one["errors"],
        "rate": rate,
        "p99_us": steady["p99_us"],
        "cold_s": running.cold_s,
        "worker_mb": min(weights) if server.name.startswith("Seakeep") else sum(weights),
    }


def side_by_side(servers, plan):
    """Rounds of all servers in turn: the median of each figure by server, or the error of one that does not run."""
    found = {name: [] for name in servers}
    for turn in range(plan.rounds):
        for name, server in servers.items():
            if isinstance(server, str) or isinstance(found[name], str):
                found[name] = server if isinstance(server, str) else found[name]
                continue
            try:
                found[name].append(visit(server, plan))
            except (RuntimeError, AssertionError) as error:
                found[name] = str(error)
            print(
                f"round {turn + 1}: {name}: {found[name] if isinstance(found[name], str) else found[name][-1]}",
                file=sys.stderr,
            )
    return {
        name: rounds
        if isinstance(rounds, str)
        else {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }


def row(figure, unit, ours_, peers=(), *, limit=None, more_is_better=False):
    """One line of the result, and of the table on the screen."""
    from seakeep.clock import SystemClock

    peers = {name: value if isinstance(value, str) else round(value, 3) for name, value in dict(peers).items()}
    numbers = [value for value in peers.values() if not isinstance(value, str)]
    best = (max if more_is_better else min)(numbers, default=None)
    packages = ("numpy", "onnxruntime", "uvloop", "httptools", "msgspec", "lmdb")
    theirs = {peer.name: peer.version() for peer in PEERS if isinstance(peers.get(peer.name), float)}
    return {
        "figure": figure,
        "unit": unit,
        "ours": round(ours_, 3),
        "peers": peers,
        "ratio_to_best_peer": round(ours_ / best, 4) if best else None,
        "limit": limit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in packages},
            **theirs,
        },
        "date": dt.datetime.fromtimestamp(SystemClock().now_us() / 1e6, dt.UTC).date().isoformat(),
    }


def compared(found):
    """The figures that servers are compared by."""
    own = found["Seakeep"]

    def peers(figure):
        return {
            name: one if isinstance(one, str) else one[figure]
            for name, one in found.items()
            if not name.startswith("Seakeep")
        }

    yield row(
        "requests/s at 64 connections",
        "requests/s",
        own["requests_s"],
        peers("requests_s"),
        limit=20_000,
        more_is_better=True,
    )
    tensors = found["Seakeep, tensors"]["requests_s"]
    yield row(
        "requests/s at 64 connections, Open Inference Protocol",
        "requests/s",
        tensors,
        peers("requests_s"),
        more_is_better=True,
    )
    yield row("p50 at one connection", "us", own["p50_us"], peers("p50_us"), limit=200)
    yield row(
        f"p99 at {own['rate']:,.0f} requests/s; peers at half of their own most",
        "us",
        own["p99_us"],
        peers("p99_us"),
        limit=1000,
    )
    yield row("start of the service to the first prediction", "s", own["cold_s"], peers("cold_s"))
    yield row("memory of a worker; of all processes of a peer", "MB", own["worker_mb"], peers("worker_mb"), limit=90)


def recording(about, folder, plan):
    """What the recorder costs: processor time of a request, and p99 at a fixed rate, with it and without it."""
    found = {True: [], False: []}
    for _ in range(plan.rounds):
        for on, rounds in found.items():
            with Running(ours.alone(about, folder, recording=on), SERVER) as running:
                closed(running, 64, plan.warm_s, CLIENT)
                before = running.cpu_s()
                busy = closed(running, 64, plan.seconds, CLIENT)
                cpu_us = (running.cpu_s() - before) / busy["requests"] * 1e6
                steady = open_loop(running, min(RATE, SHARE * busy["requests_s"]), plan.seconds, CLIENT)
            rounds.append((cpu_us, steady["p99_us"], running.cold_s))
    with_it, without = ([statistics.median(one) for one in zip(*rounds, strict=True)] for rounds in found.values())
    yield row("start of a worker to its first prediction", "s", with_it[2], limit=0.4)
    yield row("processor time of a request", "us", with_it[0])
    yield row("recording, processor time of a request", "us", with_it[0] - without[0], limit=6)
    yield row("recording, added to p99", "us", with_it[1] - without[1], limit=300)


def second_worker(about, folder, plan):
    """How much a second worker adds, where the load shares both cores with the workers."""
    found = {1: [], 2: []}
    both = SERVER | CLIENT
    for _ in range(plan.rounds):
        for workers, rounds in found.items():
            with Running(ours.entities(about, folder, workers=workers), both) as running:
                closed(running, 64, plan.warm_s, both)
                rounds.append(closed(running, 64, plan.seconds, both)["requests_s"])
    one, two = (statistics.median(rounds) for rounds in found.values())
    yield row("requests/s of two workers to one, load on the same two cores", "ratio", two / one, limit=1.7)


def overload(about, folder, plan):
    """Three times the load that it can take: what it still answers, and how soon it refuses the rest."""
    found = []
    for _ in range(plan.rounds):
        with Running(ours.entities(about, folder, rows=ROWS), SERVER) as running:
            closed(running, 64, plan.warm_s, CLIENT)
            most = closed(running, 64, plan.seconds, CLIENT)["requests_s"]
            found.append((most, open_loop(running, 3 * most, plan.seconds, CLIENT, connections=2048)))
    print(f"overload: {found}", file=sys.stderr)
    share = statistics.median(told["good_s"] / most for most, told in found)
    yield row(f"goodput at 3 times the most, requests of {ROWS} rows", "share", share, limit=0.9)
    refused = [told["refused_p99_us"] for _, told in found if told["refused_p99_us"]]
    if refused:
        yield row("p99 of a refusal at 3 times the most", "us", statistics.median(refused), limit=5000)


def batches(about, folder, plan):
    """A network that gains by batches: the share of what the engine alone can do at its best size that is left under load."""
    deep = network.subject_of(about, folder)
    found = {1: [], 16: []}
    for _ in range(plan.rounds):
        raw = network.raw_rows_s(deep.onnx, SERVER)
        for rows, rounds in found.items():
            with Running(ours.entities(deep, folder / "network", rows=rows), SERVER) as running:
                closed(running, 64, plan.warm_s, CLIENT)
                rounds.append((closed(running, 64, plan.seconds, CLIENT)["requests_s"] * rows, raw["best"], raw["one"]))
    for rows, rounds in found.items():
        asked = "single rows" if rows == 1 else f"requests of {rows} rows"
        served, best, one = (statistics.median(figures) for figures in zip(*rounds, strict=True))
        yield row(
            f"network of 1.6 M parameters, {asked}",
            "rows/s",
            served,
            {"engine alone": best, "engine, one by one": one},
            more_is_better=True,
        )
        yield row(f"network of 1.6 M parameters, {asked}, of the engine's best", "share", served / best, limit=0.7)


def table(rows):
    """The figures, one a line; the errors of peers that do not run below."""
    names = list(dict.fromkeys(name for one in rows for name in one["peers"]))
    width = max(len(one["figure"]) for one in rows)
    print(f"{'':{width}}  {'':10}  {'limit':>9}  {'Seakeep':>9}  " + "  ".join(f"{name:>9}" for name in names))
    errors = {}
    for one in rows:
        cells = []
        for name in names:
            value = one["peers"].get(name, "")
            if isinstance(value, str) and value:
                errors[name] = value
                value = "error"
            cells.append(f"{value:>9,.1f}" if isinstance(value, float) else f"{value:>9}")
        limit = "" if one["limit"] is None else f"{one['limit']:,}"
        print(f"{one['figure']:{width}}  {one['unit']:10}  {limit:>9}  {one['ours']:>9,.1f}  " + "  ".join(cells))
    for name, error in errors.items():
        print(f"{name}: {error}")


def main(arguments):
    """Measure, print the table, and write the results."""
    if not shutil.which("wrk"):
        sys.exit("error: the load is made by wrk, which is not installed\nhint: apt-get install wrk")
    quick = "--quick" in arguments
    chosen = [word for word in arguments if not word.startswith("-")]
    plan, about = Plan(quick=quick), subject()
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        servers = {server.name: server for server in (ours.entities(about, folder), ours.tensors(about, folder))}
        for peer in PEERS:
            if chosen and peer.name not in chosen:
                continue
            try:
                servers[peer.name] = peer.server(about)
            except RuntimeError as error:
                servers[peer.name] = str(error)
        rows = list(compared(side_by_side(servers, plan)))
        for part in (batches, recording, second_worker, overload):
            rows += part(about, folder, plan)
    table(rows)
    if not quick:
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
