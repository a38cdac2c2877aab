"""What is served: the flights' model with 100 trees and numbers alone, so that every server can take its inputs."""

import flights_data
from sklearn.ensemble import HistGradientBoostingClassifier

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
)


def train(frame: sk.Frame) -> HistGradientBoostingClassifier:
    trees = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, min_samples_leaf=200, random_state=0)
    return trees.fit(frame.to_pandas(), frame.label)


late = sk.Model(
    "late-arrival",
    on=flights,
    features=[carrier, origin, sky, schedule],
    label=sk.Label(arrivals, sk.col("arr_delay") > 30, delay="2d"),
    train=train,
)
