"""Will a flight from New York land more than half an hour late? Asked when it is scheduled to leave."""

import flights_data
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

import seakeep as sk

flights = sk.Events("flights", time="scheduled", key="flight_id")
departures = sk.Events("departures", time="departed")
arrivals = sk.Events("arrivals", time="landed", key="flight_id")
weather = sk.Events("weather", time="time_hour", delay="1h")

tables = {
    flights: flights_data.flights,
    departures: flights_data.departures,
    arrivals: flights_data.arrivals,
    weather: flights_data.weather,
}

carrier = sk.FeatureView("carrier_recent", source=arrivals, entity="carrier", features={
    "late_rate": sk.mean(sk.col("arr_delay") > 15, over=["24h", "7d"]),
    "arr_delay": sk.mean("arr_delay", over=["24h", "7d"]),
})  # fmt: skip
origin = sk.FeatureView("origin_recent", source=departures, entity="origin", features={
    "dep_delay": sk.mean("dep_delay", over=["24h", "7d"]),
})  # fmt: skip
sky = sk.FeatureView("weather", source=weather, entity="origin", features={
    name: sk.latest(name, within="6h") for name in ("temp", "humid", "wind_speed", "precip", "pressure", "visib")
})  # fmt: skip
schedule = sk.RequestFeatures(
    hour=sk.col("scheduled").dt.hour(),
    weekday=sk.col("scheduled").dt.weekday(),
    distance=sk.col("distance"),
    carrier=sk.col("carrier"),
    origin=sk.col("origin"),
    dest=sk.col("dest"),
)


def pipeline(frame: sk.Frame, **settings) -> Pipeline:
    categories = [column.name for column in frame.columns if column.kind == "category"]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    columns = ColumnTransformer([("categories", encoder, categories)], remainder="passthrough")
    known = list(range(len(categories)))
    trees = HistGradientBoostingClassifier(categorical_features=known, early_stopping=False, random_state=0, **settings)
    return Pipeline([("columns", columns), ("trees", trees)])


def train(frame: sk.Frame) -> Pipeline:
    model = pipeline(frame, max_iter=150, learning_rate=0.06, max_leaf_nodes=31, min_samples_leaf=200)
    return model.fit(frame.to_pandas(), frame.label)


def train_hastily(frame: sk.Frame) -> Pipeline:
    """A bad candidate on purpose (``seakeep train late-arrival --trainer train_hastily``).

    It balances the classes, which makes every probability too high, and adds up far too many trees, learnt from a
    fortieth of the flights: worse, and slower to answer.
    """
    few = frame.select(np.arange(0, len(frame), 40))
    settings = {"max_iter": 1200, "learning_rate": 0.02, "max_leaf_nodes": 6, "class_weight": "balanced"}
    return pipeline(few, **settings).fit(few.to_pandas(), few.label)


late = sk.Model(
    "late-arrival",
    on=flights,
    features=[carrier, origin, sky, schedule],
    label=sk.Label(arrivals, sk.col("arr_delay") > 30, delay="2d"),
    train=train,
    decision=sk.TopShare(0.10),
    gates=[
        sk.gate.metric("roc_auc", at_least=0.65),
        sk.gate.better_than_baselines(),
        sk.gate.no_worse_than_champion(),
        sk.gate.slices("carrier"),
        sk.gate.latency(p99_ms=5),
        sk.gate.parity(),
    ],
    rollout=sk.Canary([0.01, 0.1, 0.5, 1.0]),
    alerts=sk.AlertBudget(per_week=1),
)
