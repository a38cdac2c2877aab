import numpy as np
import pytest

from seakeep.backends.files.datasets import FileDatasetStore
from seakeep.clock import parse_moment
from seakeep.data.table import as_table
from seakeep.data.version import diff, load, snapshot
from seakeep.errors import DataError, IntegrityError
from seakeep.records.source import Events

FLIGHTS = Events("flights", time="scheduled", key="id")
ARRIVALS = Events("arrivals", time="landed", delay="1h")
END = parse_moment("2013-12-31")


def flights(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    hours = rng.integers(0, 24 * 120, rows)
    distance = rng.normal(size=rows)
    distance[::7] = np.nan
    return as_table(
        {
            "scheduled": np.datetime64("2013-01-01", "us") + hours.astype("m8[h]"),
            "id": np.arange(rows),
            "carrier": rng.choice(["UA", "", "é"], rows).astype(object),
            "distance": distance,
            "ok": rng.random(rows) > 0.5,
        }
    )


@pytest.fixture
def store(tmp_path):
    return FileDatasetStore(tmp_path / "data")


def test_a_snapshot_loads_back_value_for_value(store):
    table = flights()
    version = snapshot({"flights": (FLIGHTS, table)}, as_of_us=END, store=store)
    back = load(version, store)["flights"]
    order = np.lexsort((table["id"], table["scheduled"]))
    assert sorted(back) == sorted(table)
    for name, values in table.items():
        assert back[name].dtype == values.dtype
        np.testing.assert_array_equal(back[name], values[order])
    assert version.sources[0].rows == 400
    assert len(version.sources[0].chunks) == 4


def test_only_what_was_known_before_then(store):
    times = np.array(["2013-01-01T00:00", "2013-01-01T01:00"], dtype="M8[us]")
    table = as_table({"landed": times, "v": [1, 2]})
    # known at 01:00 and 02:00: the moment itself is not before
    version = snapshot({"arrivals": (ARRIVALS, table)}, as_of_us=parse_moment("2013-01-01T02:00"), store=store)
    assert load(version, store)["arrivals"]["v"].tolist() == [1]
    with pytest.raises(DataError, match="no event that could be known"):
        snapshot({"arrivals": (ARRIVALS, table)}, as_of_us=parse_moment("2013-01-01T01:00"), store=store)


def test_the_id_is_the_content(store, tmp_path):
    table = flights()
    one = snapshot({"flights": (FLIGHTS, table)}, as_of_us=END, store=store)
    shuffle = np.random.default_rng(1).permutation(400)
    shuffled = {name: table[name][shuffle] for name in reversed(table)}
    assert snapshot({"flights": (FLIGHTS, shuffled)}, as_of_us=END, store=store) == one
    elsewhere = snapshot({"flights": (FLIGHTS, shuffled)}, as_of_us=END, store=FileDatasetStore(tmp_path / "other"))
    assert elsewhere == one
    changed = dict(table, distance=table["distance"].copy())
    changed["distance"][1] = np.nextafter(changed["distance"][1], np.inf)
    assert snapshot({"flights": (FLIGHTS, changed)}, as_of_us=END, store=store).id != one.id
    assert snapshot({"flights": (FLIGHTS, table)}, as_of_us=END + 1, store=store).id != one.id


def test_rows_equal_in_time_and_without_key_are_ordered_too(store):
    events = Events("e", time="t")
    table = as_table({"t": np.zeros(6, dtype="M8[us]"), "v": [3.0, 1.0, np.nan, 2.0, 1.0, 5.0], "s": list("abcdea")})
    one = snapshot({"e": (events, table)}, as_of_us=1, store=store)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(6)
        again = snapshot({"e": (events, {n: v[order] for n, v in table.items()})}, as_of_us=1, store=store)
        assert again.id == one.id


def test_versions_share_months_that_did_not_change(store, tmp_path):
    table = flights()
    march = parse_moment("2013-03-20")
    before = snapshot({"flights": (FLIGHTS, table)}, as_of_us=march, store=store)
    after = snapshot({"flights": (FLIGHTS, table)}, as_of_us=END, store=store)
    files = list((tmp_path / "data" / "chunks").iterdir())
    assert len(before.sources[0].chunks) == 3
    assert len(files) == 5  # January and February are shared, March grew, April is new
    (source,) = diff(before, after)
    assert source.months_changed == ("2013-03", "2013-04")
    assert source.rows_after == 400 > source.rows_before
    assert not source.same
    assert diff(after, after)[0].same


def test_diff_of_schema_and_of_sources(store):
    table = flights()
    before = snapshot({"flights": (FLIGHTS, table)}, as_of_us=END, store=store)
    other = {name: values for name, values in table.items() if name != "ok"}
    other["distance"] = np.nan_to_num(table["distance"])
    other["gate"] = np.arange(400)
    after = snapshot({"flights": (FLIGHTS, other), "more": (FLIGHTS, table)}, as_of_us=END, store=store)
    first, second = diff(before, after)
    assert first.columns_added == ("gate",)
    assert first.columns_removed == ("ok",)
    assert first.columns_changed == ("distance",)
    assert (second.name, second.rows_before, second.rows_after) == ("more", 0, 400)


def test_any_changed_byte_of_a_chunk_is_found(store, tmp_path):
    version = snapshot({"flights": (FLIGHTS, flights(40))}, as_of_us=END, store=store)
    path = store.get_chunk(version.sources[0].chunks[0].sha256)
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(IntegrityError, match="was changed"):
            load(version, store)
    path.write_bytes(whole)
    load(version, store)
    path.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        load(version, store)


def test_a_changed_manifest_is_found(store, tmp_path):
    version = snapshot({"flights": (FLIGHTS, flights(40))}, as_of_us=END, store=store)
    other = snapshot({"flights": (FLIGHTS, flights(40, seed=5))}, as_of_us=END, store=store)
    path = tmp_path / "data" / "versions" / f"{version.id}.json"
    # another dataset's chunk slipped in, with its own right file digest
    theirs, ours = other.sources[0].chunks[0], version.sources[0].chunks[0]
    path.write_bytes(path.read_bytes().replace(ours.sha256.encode(), theirs.sha256.encode()))
    with pytest.raises(IntegrityError):
        load(store.get_manifest(version.id), store)
    path.write_bytes(path.read_bytes().replace(ours.content.encode(), theirs.content.encode()))
    with pytest.raises(IntegrityError, match="manifest"):
        load(store.get_manifest(version.id), store)
    path.write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="was changed"):
        store.get_manifest(version.id)
