"""Small real projects whose label is no yes or no: how long deliveries take. Everything is simulated by a seeded generator."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from seakeep.clock import DAY_US, parse_moment

START_US = parse_moment("2024-03-01")
DAYS, A_DAY = 20, 40
LIVE_US = START_US + DAYS * DAY_US

TOML = """[project]
name = "deliveries (simulated)"

[serving]
workers = 1
clock = "request"

[dashboard]
port = 0
"""
PROJECT = '''"""How many minutes will a delivery take? Everything here is simulated."""

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

import seakeep as sk

orders = sk.Events("orders", time="ordered", key="id")
arrivals = sk.Events("arrivals", time="arrived", key="id")
tables = {orders: "orders.csv", arrivals: "arrivals.csv"}
recent = sk.FeatureView("recent", source=arrivals, entity="shop", features={"took": sk.mean("minutes", over=["24h"])})
request = sk.RequestFeatures(distance=sk.col("distance"), shop=sk.col("shop"))


def columns():
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer([("codes", codes, ["shop"])], remainder="passthrough")


def train(frame):
    model = HistGradientBoostingRegressor(max_iter=30, random_state=0)
    return Pipeline([("columns", columns()), ("model", model)]).fit(frame.to_pandas(), frame.label)


def train_coarse(frame):
    model = HistGradientBoostingRegressor(max_iter=2, random_state=0)
    return Pipeline([("columns", columns()), ("model", model)]).fit(frame.to_pandas(), frame.label)


minutes = sk.Model(
    "minutes",
    on=orders,
    features=[recent, request],
    label=sk.Label(arrivals, sk.col("minutes"), delay="1d", answers=sk.number()),
    train=train,
    gates=[
        sk.gate.metric("mae", at_most=10),
        sk.gate.better_than_baselines(),
        sk.gate.no_worse_than_champion(margin=0.1),
        sk.gate.parity(),
    ],
    rule=30.0,
)
'''


def write_project(folder: Path) -> None:
    """Settings, declarations and tables of :data:`DAYS` days."""
    folder.mkdir()
    (folder / "seakeep.toml").write_text(TOML)
    (folder / "project.py").write_text(PROJECT)
    orders, arrivals = deliveries(DAYS)
    for name, rows in (("orders", orders), ("arrivals", arrivals)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([list(rows[0]), *(list(row.values()) for row in rows)])


def deliveries(days: int, *, from_us: int = START_US, seed: int = 0) -> tuple[list[dict], list[dict]]:
    """Orders and what became of them, as rows that may be written or sent."""
    rng = np.random.default_rng(seed)
    count = days * A_DAY
    ordered = from_us + np.sort(rng.integers(0, days * DAY_US, count))
    distance, shop = rng.gamma(2.0, 3.0, count).round(2), rng.choice(["north", "south"], count)
    minutes = (10 + 5 * np.abs(distance - 6) + 10 * (shop == "north") + rng.normal(0, 2, count)).round(2)
    moments = (ordered.astype("datetime64[us]") + np.timedelta64(0, "us")).tolist()
    arrived = (ordered + np.int64(3_600_000_000)).astype("datetime64[us]").tolist()
    name = f"{from_us // DAY_US}-{{}}".format
    orders = [
        {"id": name(i), "ordered": moments[i].isoformat(), "distance": float(distance[i]), "shop": str(shop[i])}
        for i in range(count)
    ]
    told = [
        {"id": name(i), "arrived": arrived[i].isoformat(), "shop": str(shop[i]), "minutes": float(minutes[i])}
        for i in range(count)
    ]
    return orders, told
