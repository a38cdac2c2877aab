"""A whole life of a small project, for a browser to look at: a shop's orders and returns, simulated by a seeded generator.

Trained, converted, promoted and served by `seakeep up`; asked with eight weeks of orders, of which the prices of the last
weeks arrive halved, so that the model misses returns. A bad version was promoted, and taken back by itself;
a retrained one is being rolled out.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seakeep.clock import DAY_US, parse_moment
from seakeep.project import Project, open_project

START_US = parse_moment("2024-01-01")
LIVE_US = START_US + 60 * DAY_US
BROKEN_US = START_US + 92 * DAY_US
END_US = START_US + 120 * DAY_US
BAD_FROM_US, BAD_TO_US = START_US + 88 * DAY_US, START_US + 92 * DAY_US
OPEN_FROM_US = START_US + 116 * DAY_US
MODEL, IDLE = "returned", "refused"
PATIENCE_S = 60

TOML = """[project]
name = "shop (simulated)"

[serving]
port = {port}
workers = 1
clock = "request"

[dashboard]
port = 0
"""
PROJECT = '''"""Will an order come back? Everything here is simulated."""

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

import seakeep as sk

orders = sk.Events("orders", time="ordered", key="id")
returns = sk.Events("returns", time="told", key="id")
tables = {orders: "orders.csv", returns: "returns.csv"}
recent = sk.FeatureView("recent", source=returns, entity="shop", features={
    "rate": sk.mean(sk.col("returned") > 0, over=["24h", "7d"]),
})
request = sk.RequestFeatures(price=sk.col("price"), shop=sk.col("shop"), hour=sk.col("ordered").dt.hour())


def fit(frame, label):
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("codes", codes, ["shop"])], remainder="passthrough")
    trees = HistGradientBoostingClassifier(max_iter=20, categorical_features=[0], random_state=0)
    return Pipeline([("columns", columns), ("trees", trees)]).fit(frame.to_pandas(), label)


def train(frame):
    return fit(frame, frame.label)


def train_upside_down(frame):
    return fit(frame, 1 - frame.label)


def model(name, value):
    return sk.Model(
        name,
        on=orders,
        features=[recent, request],
        label=sk.Label(returns, value, delay="1d"),
        train=train,
        decision=sk.TopShare(0.2),
        gates=[
            sk.gate.metric("roc_auc", at_least=0.6),
            sk.gate.parity(),
        ],
        rollout=sk.Canary([0.1, 0.5, 1.0], min_pairs=5_000),
    )


returned = model("returned", sk.col("returned") > 0)
refused = model("refused", sk.col("returned") > 1)
'''


def write_project(folder: Path, port: int) -> None:
    folder.mkdir()
    (folder / "seakeep.toml").write_text(TOML.format(port=port))
    (folder / "project.py").write_text(PROJECT)
    rng = np.random.default_rng(0)
    rows = 120 * 45
    span_s = (END_US - START_US) // 1_000_000
    ordered = np.sort(rng.integers(0, span_s, rows))
    price, shop = rng.gamma(2.0, 20.0, rows).round(2), rng.choice(["north", "south", "web"], rows)
    returned = rng.random(rows) < np.where((price > 50) & (shop != "south"), 0.65, 0.12)
    price = np.where(ordered >= (BROKEN_US - START_US) // 1_000_000, price / 2, price).round(2)
    start = np.datetime64("2024-01-01T00:00:00")
    with (folder / "orders.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "ordered", "price", "shop"]]
            + [[f"o{i}", start + ordered[i], price[i], shop[i]] for i in range(rows)]
        )
    with (folder / "returns.csv").open("w", newline="") as file:
        told = start + ordered + np.timedelta64(1, "D")
        csv.writer(file).writerows(
            [["id", "told", "shop", "returned"]] + [[f"o{i}", told[i], shop[i], int(returned[i])] for i in range(rows)]
        )


class Living:
    """The project while `seakeep up` serves it.

    Attributes
    ----------
    url
        Of the dashboard, without a slash at the end.
    """

    def __init__(self, project: Project, url: str) -> None:
        self.project, self.url = project, url
        self._asked = 0

    def json(self, address: str) -> Any:
        with urllib.request.urlopen(self.url + address, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def ask(self, key: str, *, rows: int = 1) -> list[dict[str, Any]]:
        """Ask the service for new predictions, a minute after the newest, and wait until they are on disk."""
        sent = []
        for place in range(rows):
            self._asked += 1
            moment = END_US + 60_000_000 * self._asked
            sent.append({"id": key if rows == 1 else f"{key}-{place}", "ordered": moment, "price": 25.5, "shop": "web"})
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.project.settings.serving.port}/v1/models/{MODEL}/predict",
            json.dumps({"rows": sent}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)["predictions"]


def wait(until: Callable[[], Any], what: str) -> Any:
    """The first true value of ``until``."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = until()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def live(folder: Path) -> Iterator[Living]:
    """Make the project and serve it."""
    write_project(folder, free_port())
    project = open_project(folder)

    def release(trainer: str = "", as_of_us: int = LIVE_US, override: str = "") -> None:
        run = project.train(MODEL, as_of_us=as_of_us, trainer=trainer, actor="ada")
        version, _ = project.convert(run.id, actor="ada")
        project.promote(version.ref, actor="ada", override=override)

    release()
    with _up(folder) as url:
        project.replay_traffic(MODEL, from_us=LIVE_US, to_us=BAD_FROM_US)
        release("train_upside_down", override="to see it taken back")
        for day in range(BAD_FROM_US, BAD_TO_US, DAY_US):
            project.replay_traffic(MODEL, from_us=day, to_us=day + DAY_US)
        wait(lambda: project.stores.receipts.receipts(MODEL), "the receipt of the bad version")
        project.replay_traffic(MODEL, from_us=BAD_TO_US, to_us=OPEN_FROM_US)
        release(as_of_us=BROKEN_US)
        project.replay_traffic(MODEL, from_us=OPEN_FROM_US, to_us=END_US)
        yield Living(project, url)


@contextlib.contextmanager
def _up(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-c", "from seakeep.cli import main; main()", "up"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        yield _dashboard_of(process)
    finally:
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=PATIENCE_S)[1]
        assert process.returncode == 0, told


def _dashboard_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    told = ""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stderr, selectors.EVENT_READ)
        while ready.select(PATIENCE_S):
            piece = os.read(process.stderr.fileno(), 65_536).decode()
            told += piece
            found = re.search(r"dashboard on (http://\S+)/\s", told)
            if found:
                return found[1]
            if not piece:
                break
    raise AssertionError(f"no dashboard: {told}")
