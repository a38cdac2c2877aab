"""A small shop: orders, and a day later whether they were returned; made by a seeded generator (simulated)."""

import csv
import shutil
import sys

import duckdb
import numpy as np
import pytest

NAMES = ("orders", "returns")
TOML = '[project]\nname = "shop"\n'
PROJECT = '''"""Will an order come back?"""

import seakeep as sk
from learn import train, train_hastily

orders = sk.Events("orders", time="ordered", key="id")
returns = sk.Events("returns", time="told", key="id")
tables = {orders: "orders.csv", returns: "returns.csv"}

recent = sk.FeatureView(
    "recent",
    source=returns,
    entity="shop",
    features={"rate": sk.mean(sk.col("returned") > 0, over=["24h", "7d"])},
)
request = sk.RequestFeatures(price=sk.col("price"), shop=sk.col("shop"), hour=sk.col("ordered").dt.hour())
model = sk.Model(
    "returned",
    on=orders,
    features=[recent, request],
    label=sk.Label(returns, sk.col("returned") > 0, delay="1d"),
    train=train,
    decision=sk.TopShare(0.2),
    gates=[
        sk.gate.metric("roc_auc", at_least=0.6),
        sk.gate.slices("shop"),
        sk.gate.latency(p99_ms=5),
    ],
    rollout=sk.Canary([0.1, 1.0]),
)
'''
LEARN = """from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder


def build(trees):
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("codes", codes, ["shop"])], remainder="passthrough")
    model = HistGradientBoostingClassifier(max_iter=trees, categorical_features=[0], random_state=0)
    return Pipeline([("columns", columns), ("model", model)])


def train(frame):
    return build(15).fit(frame.to_pandas(), frame.label)


def train_hastily(frame):
    return build(2).fit(frame.to_pandas(), frame.label)
"""


def write_tables(folder, rows=1_500):
    rng = np.random.default_rng(0)
    start = np.datetime64("2024-03-01T00:00:00")
    ordered = start + np.sort(rng.integers(0, 40 * 86_400, rows)).astype("timedelta64[s]")
    price, shop = rng.gamma(2.0, 20.0, rows).round(2), rng.choice(["north", "south", "web"], rows)
    chance = 1 / (1 + np.exp(-(0.03 * (price - 40) + 1.5 * (shop == "web") - 1)))
    returned = (rng.random(rows) < chance).astype(int)
    with (folder / "orders.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "ordered", "price", "shop"])
        writer.writerows([f"o{i}", ordered[i], price[i], shop[i]] for i in range(rows))
    with (folder / "returns.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "told", "shop", "returned"])
        told = ordered + np.timedelta64(1, "D")
        writer.writerows([f"o{i}", told[i], shop[i], returned[i]] for i in range(rows))


@pytest.fixture(scope="session")
def shop_tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder)
    for name in NAMES:
        duckdb.read_csv(str(folder / f"{name}.csv")).write_parquet(str(folder / f"{name}.parquet"))
    return folder


@pytest.fixture
def shop(tmp_path, shop_tables):
    """Writes the project, with replacements in its files, and returns its folder.

    Its tables are in the form that is read in no time; ``form="csv"`` where a test is about the other.
    """

    def write(*replacements, toml=TOML, learn=LEARN, folder="shop", form="parquet"):
        target = tmp_path / folder
        target.mkdir()
        text = PROJECT
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        (target / "seakeep.toml").write_text(toml)
        (target / "project.py").write_text(text.replace(".csv", f".{form}"))
        (target / "learn.py").write_text(learn)
        for name in NAMES:
            shutil.copyfile(shop_tables / f"{name}.{form}", target / f"{name}.{form}")
        return target

    return write


@pytest.fixture(autouse=True)
def leave_no_modules():
    """Projects are imported into this process: their folders and modules must not meet in the next test."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name in {"learn", "_seakeep_project"}:
            del sys.modules[name]
