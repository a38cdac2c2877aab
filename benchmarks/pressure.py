"""How a worker behaves when three times as much is asked as it can answer: ``python benchmarks/pressure.py``.

One worker of the test rig's service in a process of its own, a load generator in another. The model is a network of the width given, so that what a request costs is known to be the model's.

Capacity is what is answered with 64 connections that each wait for their answer. Then requests are sent at three times that rate,
whether answers come or not, over enough connections that none has to wait for another: goodput is what is answered 200, and
the time of a refusal is from its sending to its answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections import deque
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.serving_rig import Rig  # noqa: E402
from tests.serving_runs import PREDICT, body, request, row, supervised  # noqa: E402


def network(width: int, layers: int) -> bytes:
    """A model of the rig's inputs that multiplies by ``layers`` square matrices."""
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights = [draw.normal(0, 0.05, (2, width)), *(draw.normal(0, 0.05, (width, width)) for _ in range(layers))]
    weights.append(draw.normal(0, 0.05, (width, 1)))
    nodes = [
        helper.make_node("IsNaN", ["numbers"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "numbers"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["h0"], to=TensorProto.FLOAT),
    ]
    for number in range(len(weights)):
        nodes.append(helper.make_node("MatMul", [f"h{number}", f"w{number}"], [f"m{number}"]))
        nodes.append(helper.make_node("Sigmoid", [f"m{number}"], [f"h{number + 1}"]))
    nodes.append(helper.make_node("Cast", [f"h{len(weights)}"], ["column"], to=TensorProto.DOUBLE))
    nodes.append(helper.make_node("Squeeze", ["column", "axis"], ["score"]))
    nodes.append(helper.make_node("Size", ["categories"], ["unused"]))
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["n", 2]),
            helper.make_tensor_value_info("categories", TensorProto.STRING, ["n", 1]),
        ],
        [helper.make_tensor_value_info("score", TensorProto.DOUBLE, ["n"])],
        [
            helper.make_tensor("zero", TensorProto.DOUBLE, (), [0.0]),
            helper.make_tensor("axis", TensorProto.INT64, (1,), [1]),
            *(numpy_helper.from_array(one.astype(np.float32), f"w{at}") for at, one in enumerate(weights)),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 4)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


class Asker(asyncio.Protocol):
    """A connection with at most one request on its way; counts answers by status, with their times."""

    def __init__(self, told):
        self.told, self.busy, self.rest = told, False, b""

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, sent):
        self.busy, self.since = True, time.perf_counter()
        self.transport.write(sent)

    def data_received(self, data):
        self.rest += data
        head, found, after = self.rest.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(after) < length:
            return
        self.rest, self.busy = b"", False
        self.told(self, int(head[9:12]), time.perf_counter() - self.since)


async def connect(port, count, told):
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: Asker(told), "127.0.0.1", port))[1] for _ in range(count)]


async def closed(port, sent, seconds, connections=64):
    """Answers a second when each connection waits for its answer."""
    count, over = 0, time.perf_counter() + seconds

    def told(asker, status, _took):
        nonlocal count
        count += status == 200
        if time.perf_counter() < over:
            asker.ask(sent)

    askers = await connect(port, connections, told)
    for one in askers:
        one.ask(sent)
    await asyncio.sleep(seconds)
    rate = count / seconds
    await asyncio.sleep(0.3)
    for one in askers:
        one.transport.close()
    return rate


async def opened(port, sent, rate, seconds, connections=1024):
    """What becomes of requests sent at a rate: seconds by status, and the rate that was really sent at."""
    times = {}
    idle = deque()

    def told(asker, status, took):
        times.setdefault(status, []).append(took)
        idle.append(asker)

    idle.extend(await connect(port, connections, told))
    began, asked, missed = time.perf_counter(), 0, 0
    while (now := time.perf_counter()) < began + seconds:
        due = int((now - began) * rate) - asked - missed
        for _ in range(due):
            if not idle:
                missed += 1
                continue
            asked += 1
            idle.popleft().ask(sent)
        await asyncio.sleep(0.0005)
    elapsed = time.perf_counter() - began
    await asyncio.sleep(1)
    return times, asked / elapsed, missed


def milliseconds(values, q):
    return round(float(np.quantile(values, q)) * 1000, 2) if values else None


def cpu_s(process):
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(width, layers, seconds, overload, settings):
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder))
        rig.releases.put(rig.put(1, model=network(width, layers) if width else None))
        with supervised(rig, workers=1, **settings) as supervisor:
            pid = supervisor.status()[0].pid
            sent = request(PREDICT, body(row()))
            run = uvloop.run
            run(closed(supervisor.port, sent, 1))
            before = cpu_s(pid)
            capacity = run(closed(supervisor.port, sent, seconds))
            spent = cpu_s(pid) - before
            answered = capacity * seconds
            before = cpu_s(pid)
            times, offered, missed = run(opened(supervisor.port, sent, overload * capacity, seconds))
            under_load = cpu_s(pid) - before
    fine, refused = times.get(200, []), times.get(503, [])
    share = len(fine) / seconds / capacity
    return [
        ("capacity", "requests/s", round(capacity), None),
        ("processor time of a request at capacity", "us", round(spent / answered * 1e6, 1), None),
        ("offered", "requests/s", round(offered), None),
        ("not offered for want of connections", "requests", missed, None),
        ("goodput", "share of capacity", round(share, 3), GOODPUT),
        ("goodput by processor time", "share of capacity", round(len(fine) / under_load / (answered / spent), 3), None),
        ("answered, median", "ms", milliseconds(fine, 0.5), None),
        ("answered, 99 %", "ms", milliseconds(fine, 0.99), None),
        ("refused, median", "ms", milliseconds(refused, 0.5), REFUSED_MS),
        ("refused, 99 %", "ms", milliseconds(refused, 0.99), None),
        *((f"answered {status}", "requests", len(found), None) for status, found in sorted(times.items())),
    ]


GOODPUT, REFUSED_MS = 0.9, 5.0
"""What is aimed at: at least this share of what the worker can answer, and at most this time for a refusal."""
MODELS = {
    "the rig's own, which costs next to nothing": (0, 0),
    "half a millisecond": (2048, 6),
    "a millisecond": (2048, 14),
}
"""Width and layers of the models measured, by about what a row costs."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--overload", type=float, default=3)
    given = parser.parse_args()
    about = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "onnxruntime", "uvloop")},
        "date": datetime.now(UTC).date().isoformat(),
    }
    rows = []
    for name, (width, layers) in MODELS.items():
        print(name)
        for figure, unit, value, limit in measure(width, layers, given.seconds, given.overload, {}):
            print(f"  {figure:45} {value} {unit}")
            told = {"figure": f"{name}: {figure}", "unit": unit, "ours": value, "peers": {}, "ratio_to_best_peer": None}
            rows.append(told | {"limit": limit} | about)
    (ROOT / "benchmarks" / "results" / "pressure.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
