"""A small carrier: parcels, and how many minutes each took; simulated by a seeded generator.

From :data:`SLOW_US` on every parcel takes 60 minutes more than before, so that a model trained earlier errs. There are two
projects on the same tables: one asks for the minutes, the other at which of three doors a parcel arrives.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from seakeep.clock import DAY_US, parse_moment

START_US = parse_moment("2024-01-01")
LIVE_US = START_US + 60 * DAY_US
ROLLOUT_US = START_US + 78 * DAY_US
SLOW_US = START_US + 88 * DAY_US
END_US = START_US + 96 * DAY_US
MODEL = "minutes"
A_DAY = 15

TOML = """[project]
name = "parcels (simulated)"

[serving]
workers = 1
clock = "request"
"""
PROJECT = '''"""How long will a parcel take? Everything here is simulated."""

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

import seakeep as sk

parcels = sk.Events("parcels", time="sent", key="id")
deliveries = sk.Events("deliveries", time="delivered", key="id")
tables = {parcels: "parcels.csv", deliveries: "deliveries.csv"}
recent = sk.FeatureView("recent", source=deliveries, entity="zone", features={"took": sk.mean("minutes", over=["7d"])})
request = sk.RequestFeatures(weight=sk.col("weight"), zone=sk.col("zone"))


def train(frame):
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("codes", codes, ["zone"])], remainder="passthrough")
    trees = HistGradientBoostingRegressor(max_iter=20, categorical_features=[0], random_state=0)
    return Pipeline([("columns", columns), ("trees", trees)]).fit(frame.to_pandas(), frame.label)


minutes = sk.Model(
    "minutes",
    on=parcels,
    features=[recent, request],
    label=sk.Label(deliveries, sk.col("minutes"), delay="1d", answers=sk.number()),
    train=train,
    gates=[
        sk.gate.metric("mae", at_most=12),
        sk.gate.better_than_baselines(),
        sk.gate.no_worse_than_champion(margin=0.05),
        sk.gate.slices("zone", metric="rmse", at_most=20, min_rows=100),
        sk.gate.parity(),
    ],
    rollout=sk.Canary([0.5, 1.0], min_pairs=50),
)
'''
CLASS_MODEL, CLASSES = "door", ("south", "east", "north")
OF_CLASSES = (
    PROJECT.replace("How long will a parcel take?", "At which door will a parcel arrive?")
    .replace("HistGradientBoostingRegressor", "HistGradientBoostingClassifier")
    .replace("import seakeep as sk", 'import numpy as np\nimport seakeep as sk\n\nNAMES = ("south", "east", "north")')
    .replace("fit(frame.to_pandas(), frame.label)", "fit(frame.to_pandas(), np.array(NAMES)[frame.label.astype(int)])")
    .replace('minutes = sk.Model(\n    "minutes"', 'door = sk.Model(\n    "door"')
    .replace(
        'sk.col("minutes"), delay="1d", answers=sk.number()',
        'sk.col("door"), delay="1d", answers=sk.classes(*NAMES)',
    )
    .replace('sk.gate.metric("mae", at_most=12)', 'sk.gate.metric("accuracy", at_least=0.7)')
    .replace('metric="rmse", at_most=20', 'metric="accuracy", at_least=0.6')
)
"""The estimator is fitted on the classes' names, and so has its columns in their alphabetical order, not in the declared one."""


def write_project(folder: Path, declarations: str = PROJECT) -> None:
    """The project's settings, declarations and tables."""
    folder.mkdir()
    (folder / "seakeep.toml").write_text(TOML)
    (folder / "project.py").write_text(declarations)
    rng = np.random.default_rng(0)
    days = (END_US - START_US) // DAY_US
    rows = days * A_DAY
    sent = np.sort(rng.integers(0, days * 86_400, rows))
    weight, zone = rng.gamma(2.0, 3.0, rows).round(2), rng.choice(["near", "far"], rows)
    slow = np.where(sent >= (SLOW_US - START_US) // 1_000_000, 60.0, 0.0)
    minutes = (
        60 + 8 * weight + np.where((zone == "far") & (weight > 5), 90.0, 0.0) + slow + rng.normal(0, 6, rows)
    ).round(3)
    start = np.datetime64("2024-01-01T00:00:00")
    with (folder / "parcels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "sent", "weight", "zone"], *([f"p{i}", start + sent[i], weight[i], zone[i]] for i in range(rows))]
        )
    soon, later = np.where(zone == "far", 110, 90), np.where(zone == "far", 175, 115)
    far_side = np.where(zone == "far", "south", "east"), np.where(zone == "far", "east", "south")
    door = np.select([minutes < soon, minutes < later], [far_side[0], "north"], far_side[1])
    delivered = start + sent + minutes.astype("timedelta64[m]")
    with (folder / "deliveries.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["id", "delivered", "zone", "minutes", "door"],
                *([f"p{i}", delivered[i], zone[i], minutes[i], door[i]] for i in range(rows)),
            ]
        )
