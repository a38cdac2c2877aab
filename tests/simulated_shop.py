"""A small shop: orders, and whether they came back a day later; simulated by a seeded generator.

The prices of the last four weeks arrive halved, so that a model trained before misses most returns.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from seakeep.clock import DAY_US, parse_moment

START_US = parse_moment("2024-01-01")
LIVE_US = START_US + 60 * DAY_US
BROKEN_US = START_US + 92 * DAY_US
END_US = START_US + 120 * DAY_US
MODEL, IDLE = "returned", "refused"
"""A model for the whole way, and one that is only declared."""

TOML = """[project]
name = "shop (simulated)"

[serving]
port = {port}
workers = 1
clock = "{clock}"

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


def write_project(folder: Path, *, port: int = 0, clock: str = "request") -> None:
    """The project's settings, declarations and tables."""
    folder.mkdir()
    (folder / "seakeep.toml").write_text(TOML.format(port=port, clock=clock))
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
