"""Versions swapped ten times a second under load: how many requests fail, and how long the old version still answers.

``python benchmarks/swap.py [SECONDS]`` trains two versions of the example's model on the flights of 2013, serves them from
two workers with everything on (validation, recording, metrics), and promotes one after the other ten times a second, each
promotion with its audit record, while pipelined connections ask as fast as they are answered. Every answer is checked:
status 200, one of the two versions, and the score that this very version gave to the same inputs before, digit for digit.
At the end the recorder must hold every prediction once, or count it in a gap. Without SECONDS it runs for three minutes,
or until a million requests were answered. The results go to ``benchmarks/results/swap.json``.
"""

import asyncio
import datetime as dt
import http.client
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "swap.json"
MODEL = "late-arrival"
SECONDS, REQUESTS, SWAPS_PER_S = 180.0, 1_000_000, 10
CONNECTIONS, PIPELINED, BODIES = 16, 8, 64


def make(folder):
    """The project with two versions, of which the first answers."""
    shutil.copytree(ROOT / "examples" / "flights", folder, ignore=shutil.ignore_patterns(".seakeep", "__pycache__"))
    for words in (
        ["train", "--as-of", "2013-05-01", "--validate-from", "2013-04-01"],
        ["convert"],
        ["train", "--as-of", "2013-06-01", "--validate-from", "2013-05-01"],
        ["convert"],
        ["promote", f"{MODEL}:1", "--override", "a benchmark"],
    ):
        subprocess.run([sys.executable, "-m", "seakeep", *words], cwd=folder, check=True, capture_output=True)


class Served:
    """The service in processes of its own; a context manager."""

    def __init__(self, folder):
        self.log = folder / "server.log"
        given = {"SEAKEEP_SERVING__PORT": "0", "SEAKEEP_SERVING__WORKERS": "2", "SEAKEEP_DASHBOARD__PORT": "0"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "seakeep", "serve"],
                cwd=folder, env=os.environ | given, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def __enter__(self):
        deadline_s = time.monotonic() + 120
        while not (found := re.search(r"serving on http://127\.0\.0\.1:(\d+)\n", self.log.read_text("utf-8"))):
            if time.monotonic() > deadline_s or self.process.poll() is not None:
                raise SystemExit(self.log.read_text("utf-8"))
            time.sleep(0.05)
        return int(found[1])

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)


class Question:
    """One request, and by version the bytes that its answer must hold."""

    def __init__(self, body, scores):
        head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        self.sent, self.scores = head.encode() + body, scores


def questions(port, releases):
    """Requests of random inputs, and what each version answers to them when it is asked by its number."""
    client, draw = http.client.HTTPConnection("127.0.0.1", port), random.Random(0)

    def ask(path, body=None):
        client.request("POST" if body else "GET", f"/v2/models/{MODEL}{path}", body)
        answer = client.getresponse()
        told = json.loads(answer.read())
        return told if answer.status == 200 else None

    inputs = ask("")["inputs"]
    made = []
    for _ in range(BODIES):
        data = {
            one["name"]: draw.choice(["UA", "AA", "DL", "EWR", "SFO"]) if one["datatype"] == "BYTES" else draw.random() * 1000
            for one in inputs
        }  # fmt: skip
        tensors = [
            {"name": one["name"], "datatype": one["datatype"], "shape": [1], "data": [data[one["name"]]]}
            for one in inputs
        ]
        made.append((json.dumps({"inputs": tensors}).encode(), {}))
    for number in (1, 2):
        if number == 2:
            releases.swap(number)
        while ask(f"/versions/{number}/ready") is None:
            time.sleep(0.05)
        time.sleep(0.5)  # until both workers have it
        for body, scores in made:
            (score,) = [
                one["data"] for one in ask(f"/versions/{number}/infer", body)["outputs"] if one["name"] == "score"
            ]
            scores[b'"model_version":"%d"' % number] = b'"data":%b' % json.dumps(score, separators=(",", ":")).encode()
    client.close()
    assert all(len(set(scores.values())) == 2 for _, scores in made), "the versions must differ in every answer"
    return [Question(body, scores) for body, scores in made]


class Releases:
    """Puts one of two versions in force: a promotion with its release and audit record; their gates were judged before."""

    def __init__(self, folder):
        from seakeep.project import open_project

        project = open_project(folder)
        self.promotion = project.stores.promotion
        self.versions = {number: project.resolve(f"{MODEL}:{number}") for number in (1, 2)}
        self.results = {number: project.gates(f"{MODEL}:{number}", actor="benchmark") for number in (1, 2)}

    def swap(self, number):
        version, results = self.versions[number], self.results[number]
        self.promotion.promote(
            version, results=results, canary=None, actor="benchmark", now=True, override="a benchmark"
        )


class Tally:
    """What came of the requests."""

    def __init__(self):
        self.answered = self.failed = self.wrong = self.lost = 0
        self.last_s = {}
        self.over = False


class Client(asyncio.Protocol):
    """One connection that keeps a few requests on their way."""

    def __init__(self, asked, tally, seed):
        self.asked, self.tally, self.draw = asked, tally, random.Random(seed)
        self.waiting, self.rest, self.done = [], b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.send()

    def send(self):
        self.waiting = self.draw.choices(self.asked, k=PIPELINED)
        self.transport.write(b"".join([one.sent for one in self.waiting]))

    def data_received(self, data):
        rest = self.rest + data
        while True:
            head, found, tail = rest.partition(b"\r\n\r\n")
            if not found:
                break
            size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(tail) < size:
                break
            self.take(head, tail[:size])
            rest = tail[size:]
        self.rest = rest
        if not self.waiting:
            if self.tally.over:
                self.transport.close()
            else:
                self.send()

    def take(self, head, body):
        question, tally = self.waiting.pop(0), self.tally
        if not head.startswith(b"HTTP/1.1 200 "):
            tally.failed += 1
            return
        tally.answered += 1
        version = next((one for one in question.scores if one in body), None)
        if version is None or question.scores[version] not in body:
            tally.wrong += 1
        else:
            tally.last_s[version] = time.perf_counter()

    def connection_lost(self, error):  # noqa: ARG002 -- asyncio's signature
        self.tally.lost += len(self.waiting)
        self.done.set_result(None)


def swapping(releases, tally, lags_ms, late, seconds):
    """Swap by the clock, and keep how long after each promotion the version before it was still heard of."""
    began, number = time.perf_counter(), 0
    while not tally.over and time.perf_counter() - began < seconds and tally.answered < REQUESTS:
        due_s = began + number / SWAPS_PER_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        late.append(max(0.0, time.perf_counter() - due_s))
        new, before = (1, 2) if number % 2 == 0 else (2, 1)
        releases.swap(new)
        done_s, old = time.perf_counter(), b'"model_version":"%d"' % before
        number += 1
        time.sleep(max(0.0, began + number / SWAPS_PER_S - time.perf_counter() - 0.002))
        lags_ms.append(max(0.0, tally.last_s.get(old, 0.0) - done_s) * 1e3)
    tally.over = True


async def load(port, asked, tally):
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda seed=seed: Client(asked, tally, seed), "127.0.0.1", port)
        for seed in range(CONNECTIONS)
    ]
    await asyncio.gather(*(client.done for _, client in made))


def recorded(folder, ids_from):
    """Predictions that are recorded, those counted in gaps, and all whose numbers were handed out since."""
    from seakeep.recorder.query import gaps
    from seakeep.recorder.reader import scan
    from seakeep.records.prediction import Prediction

    kept = [one.id for one in scan(folder) if isinstance(one, Prediction)]
    assert len(set(kept)) == len(kept), "a prediction was recorded twice"
    return len(kept) - ids_from, sum(gap.count for gap in gaps(folder))


def main():
    import uvloop

    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    tally, lags_ms, late = Tally(), [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "flights"
        make(folder)
        with Served(folder) as port:
            releases = Releases(folder)
            asked = questions(port, releases)
            swaps = threading.Thread(target=swapping, args=(releases, tally, lags_ms, late, seconds))
            began = time.perf_counter()
            swaps.start()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(load(port, asked, tally))
            passed = time.perf_counter() - began
            swaps.join()
        kept, missing = recorded(folder / ".seakeep" / "recorder" / "predictions", 2 * BODIES)
    save(tally, lags_ms, late, passed, kept, missing)


def save(tally, lags_ms, late, passed, kept, missing):
    packages = ("numpy", "onnxruntime", "uvloop", "httptools")
    shared = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, shared with the clients",
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    figures = [
        ("requests answered while versions were swapped", "requests", tally.answered, None),
        ("of these failed, lost or wrong", "requests", tally.failed + tally.lost + tally.wrong, 0),
        (
            "neither recorded nor counted in a gap, or recorded twice",
            "predictions",
            abs(tally.answered - kept - missing),
            0,
        ),
        ("of these counted in a gap", "predictions", missing, None),
        ("swaps", "swaps", len(lags_ms), None),
        ("swaps a second", "1/s", round(len(lags_ms) / passed, 2), None),
        ("requests a second", "1/s", round(tally.answered / passed), None),
        ("the version before still answered, median", "ms", round(statistics.median(lags_ms), 1), 50),
        (
            "the version before still answered, 99th percentile",
            "ms",
            round(sorted(lags_ms)[len(lags_ms) * 99 // 100], 1),
            None,
        ),
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
        print(f"{row['figure']:58} {row['ours']:>12} {row['unit']}")
    print(f"a swap began late by {max(late):.3f} s at most")
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
