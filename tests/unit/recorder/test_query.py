import math

import msgspec
import numpy as np
import pytest
from tests.recording import NOW_US, batch, prediction, record, same, writer

from seakeep.errors import NotFoundError, RecorderError
from seakeep.recorder import stored
from seakeep.recorder.compaction import compact
from seakeep.recorder.query import (
    Extent,
    Query,
    blocks,
    extent,
    find,
    gaps,
    join_batches,
    load,
    load_asked,
    load_by_version,
    load_events,
    of_key,
    outcomes,
)
from seakeep.recorder.table import AskedTable
from seakeep.records.expression import col
from seakeep.records.model import Label
from seakeep.records.source import ColumnSchema, Events

ALL = Query(model="late-arrival")
ARRIVALS = Events("arrivals", time="landed", key="flight_id", delay="1h")
LABEL = Label(ARRIVALS, col("arr_delay") > 30)
SCHEMA = (
    ColumnSchema(name="flight_id", kind="string"),
    ColumnSchema(name="arr_delay", kind="float"),
    ColumnSchema(name="landed", kind="time", nullable=False),
)
HOUR_US = 3_600_000_000


@pytest.fixture(params=["segments", "parquet", "both"])
def folder(tmp_path, request):
    """Ten predictions in two writers, as segments, as Parquet, or half and half."""
    first = writer(tmp_path, "a")
    for n in range(5):
        first.append(prediction(first.next_sequence(), id=f"a{n}", version=1 + n % 2, time_us=1_000 - n))
    first.close()
    if request.param == "both":
        compact(tmp_path)
    second = writer(tmp_path, "b")
    for n in range(5):
        role = "shadow" if n % 2 else "canary"
        second.append(prediction(second.next_sequence(), id=f"b{n}", version=2, role=role, pair="x", time_us=1_500 + n))
    second.append(prediction(second.next_sequence(), id="other", model="other", numbers=[1.0]))
    second.close()
    if request.param == "parquet":
        compact(tmp_path)
    return tmp_path


def test_columns_are_what_was_recorded_in_the_order_of_time(folder):
    table = load(folder, ALL)
    assert table.id.tolist() == ["a4", "a3", "a2", "a1", "a0", "b0", "b1", "b2", "b3", "b4"]
    assert table.time_us.tolist() == sorted(table.time_us.tolist())
    expected = np.array([prediction(n).numbers for n in (5, 4, 3, 2, 1, 1, 2, 3, 4, 5)])
    assert table.numbers.tobytes() == expected.tobytes()
    assert table.categories.tolist() == [["UA", ""]] * 10
    assert table.score.tolist() == [prediction(n).score for n in (5, 4, 3, 2, 1, 1, 2, 3, 4, 5)]
    assert table.decision.dtype == np.bool_
    assert table.version.dtype == table.recorded_us.dtype == np.int64
    assert set(table.role) == {"champion", "canary", "shadow"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(model="late-arrival", versions=(1,)), {"a0", "a2", "a4"}),
        (Query(model="late-arrival", versions=(1, 2), roles=("shadow",)), {"b1", "b3"}),
        (Query(model="late-arrival", from_us=999, to_us=1_502), {"a0", "a1", "b0", "b1"}),
        (Query(model="late-arrival", from_us=0, to_us=0), set()),
        (Query(model="other"), {"other"}),
        (Query(model="it's none"), set()),
    ],
)
def test_a_query_chooses(folder, query, expected):
    assert set(load(folder, query).id) == expected


def test_one_prediction_is_found_whole(folder):
    assert same(find(folder, "b3"), prediction(4, id="b3", version=2, role="shadow", pair="x", time_us=1_503))
    with pytest.raises(NotFoundError, match="no prediction 'x' is recorded"):
        find(folder, "x")  # only as somebody's pair


def test_an_empty_recorder_gives_an_empty_table(tmp_path):
    table = load(tmp_path, ALL)
    assert len(table) == 0
    assert table.numbers.shape == (0, 0)
    assert gaps(tmp_path) == []


@pytest.mark.parametrize("compacted", [False, True])
def test_failed_predictions_have_missing_inputs(tmp_path, compacted):
    pen = writer(tmp_path)
    record(pen, 2)
    record(pen, 1, numbers=[], categories=[], score=math.nan, error="row")
    pen.close()
    if compacted:
        compact(tmp_path)
    table = load(tmp_path, ALL)
    assert table.error.tolist() == ["", "", "row"]
    assert np.isnan(table.numbers[2]).all()
    assert table.numbers.shape == (3, 3)
    assert table.categories[2].tolist() == ["", ""]


@pytest.mark.parametrize("compacted", [False, True])
def test_versions_with_different_inputs_are_not_mixed(tmp_path, compacted):
    pen = writer(tmp_path)
    record(pen, 1)
    record(pen, 1, version=2, numbers=[1.0])
    pen.close()
    if compacted:
        compact(tmp_path)
    with pytest.raises(RecorderError, match="1 and 3 numbers"):
        load(tmp_path, ALL)
    assert load(tmp_path, Query(model="late-arrival", versions=(2,))).numbers.tolist() == [[1.0]]


def test_damage_is_never_silent(tmp_path):
    pen = writer(tmp_path)
    record(pen, 3)
    pen.close()
    path = next(tmp_path.glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(RecorderError, match="cannot be read"):
        load(tmp_path, ALL)
    damage = []
    assert len(load(tmp_path, ALL, damage=damage)) == 2
    assert len(damage) == 1


@pytest.mark.parametrize("compacted", [False, True])
def test_gaps_are_listed(tmp_path, compacted):
    pen = writer(tmp_path, queue_records=2, commit_ms=60_000)
    for _ in range(5):
        pen.append(prediction(pen.next_sequence()))
    pen.close()
    if compacted:
        compact(tmp_path)
    assert [(gap.sequence, gap.count, gap.reason) for gap in gaps(tmp_path)] == [(3, 3, "overflow")]


def arrivals(folder, *batches):
    pen = writer(folder)
    for name, columns in batches:
        number = pen.next_sequence()
        pen.append(batch(number, batch=name, columns=columns, recorded_us=NOW_US + number))
    pen.append(batch(pen.next_sequence(), batch="w", source="weather", columns={"temp": [1.0]}))
    pen.close()


def test_a_batch_counts_once_however_often_it_came(tmp_path):
    columns = {"flight_id": ["a", "b"], "arr_delay": [10.0, None], "landed": [1, 2]}
    arrivals(tmp_path, ("one", columns), ("one", columns), ("two", {"flight_id": ["c"], "landed": [3]}))
    assert load_events(tmp_path, "arrivals") == {
        "flight_id": ["a", "b", "c"],
        "arr_delay": [10.0, None, None],
        "landed": [1, 2, 3],
    }
    assert load_events(tmp_path, "nothing") == {}


def test_a_column_only_a_later_batch_has_is_missing_before():
    joined = join_batches([batch(1, columns={"a": [1]}), batch(2, columns={"a": [2, 3], "b": ["x", "y"]})])
    assert joined == {"a": [1, 2, 3], "b": [None, "x", "y"]}


def test_outcomes_are_known_after_the_delay_and_the_first_counts(tmp_path):
    arrivals(
        tmp_path,
        ("one", {"flight_id": ["a", "b", "c"], "arr_delay": [31.0, 30.0, None], "landed": [300, 100, 200]}),
        ("two", {"flight_id": ["a", "d"], "arr_delay": [0.0, 99.0], "landed": [400, 50]}),
    )
    found = outcomes(tmp_path, LABEL, SCHEMA)
    assert found.key.tolist() == ["d", "b", "a"]
    assert found.value.tolist() == [1.0, 0.0, 1.0]
    assert (found.known_us - HOUR_US).tolist() == [50, 100, 300]


def test_history_and_recorded_events_are_joined(tmp_path):
    arrivals(tmp_path, ("one", {"flight_id": ["a"], "arr_delay": [0.0], "landed": [300]}))
    extra = {
        "flight_id": np.array(["a", "z"], dtype=object),
        "arr_delay": np.array([60.0, 60.0]),
        "landed": np.array([100, 500], dtype="datetime64[us]"),
    }
    found = outcomes(tmp_path, LABEL, SCHEMA, extra=extra)
    assert dict(zip(found.key, found.value, strict=True)) == {"a": 1.0, "z": 1.0}


def test_no_events_give_no_outcomes(tmp_path):
    found = outcomes(tmp_path, LABEL, SCHEMA)
    assert len(found) == 0
    assert np.isnan(found.labels_for(np.array(["a"], dtype=object), as_of_us=2**62)).all()


def test_blocks_are_of_one_version_each_and_together_are_all(folder):
    found = list(blocks(folder, ALL))
    assert all(len(set(one.version)) == 1 and (np.diff(one.time_us) >= 0).all() for one in found)
    whole = load(folder, ALL)
    assert sorted(id_ for one in found for id_ in one.id) == sorted(whole.id)
    by_id = {
        id_: (row.tobytes(), names.tolist())
        for id_, row, names in zip(whole.id, whole.numbers, whole.categories, strict=True)
    }
    for one in found:
        for id_, row, names in zip(one.id, one.numbers, one.categories, strict=True):
            assert by_id[id_] == (row.tobytes(), names.tolist())
    assert {id_ for one in blocks(folder, Query(model="late-arrival", to_us=1_000)) for id_ in one.id} == {
        "a1",
        "a2",
        "a3",
        "a4",
    }
    assert list(blocks(folder, Query(model="none"))) == []


def test_the_newest_moment_and_the_versions_are_those_of_the_predictions_asked_for(folder):
    assert extent(folder, ALL) == Extent(newest_us=1_504, versions=frozenset({1, 2}))
    shadows = extent(folder, Query(model="late-arrival", roles=("shadow",)))
    assert shadows == Extent(newest_us=1_503, versions=frozenset({2}))
    assert extent(folder, Query(model="late-arrival", to_us=1_000)).newest_us == 999
    assert extent(folder, Query(model="late-arrival", to_us=997)) == Extent(newest_us=996, versions=frozenset({1}))
    assert extent(folder, Query(model="none")) == Extent(newest_us=None, versions=frozenset())


def test_the_rows_that_asked_come_with_the_predictions_where_they_are_wanted(folder):
    found = load_asked(folder, ALL)
    assert {msgspec.json.encode(msgspec.json.decode(one)) for one in found.request} == {
        msgspec.json.encode(prediction().request)
    }
    assert found.id.tolist() == load(folder, ALL).id.tolist()
    for one in blocks(folder, ALL, requests=True):
        assert [msgspec.json.decode(row) for row in one.request] == [prediction().request] * len(one)
        chosen = one.select(one.version == 1)
        assert type(chosen) is AskedTable
        assert len(chosen.request) == len(chosen)
    assert not any(isinstance(one, AskedTable) for one in blocks(folder, ALL))
    none = load_asked(folder, Query(model="none"))
    assert (len(none), len(none.request)) == (0, 0)


def test_a_file_is_read_in_stretches_none_of_which_is_read_twice(tmp_path, monkeypatch):
    pen = writer(tmp_path)
    record(pen, 100)
    pen.close()
    compact(tmp_path)
    whole = load(tmp_path, ALL)
    monkeypatch.setattr(stored, "BLOCK_ROWS", 33)
    found = list(blocks(tmp_path, ALL))
    assert [len(one) for one in found] == [33, 33, 33, 1]
    assert load(tmp_path, ALL).numbers.tobytes() == whole.numbers.tobytes()


@pytest.mark.parametrize("compacted", [False, True])
def test_versions_that_differ_in_their_inputs_keep_them_side_by_side(tmp_path, compacted):
    pen = writer(tmp_path)
    for n in range(6):
        wide = n % 2
        pen.append(
            prediction(
                pen.next_sequence(), version=1 + wide, numbers=[1.5, 2.5][: 1 + wide], categories=["a", "b"][: 2 - wide]
            )
        )
    pen.append(prediction(pen.next_sequence(), version=3, numbers=[], categories=[], error="row", score=math.nan))
    pen.close()
    if compacted:
        compact(tmp_path)
    found = load_by_version(tmp_path, ALL)
    assert (found[1].numbers.tolist(), found[1].categories.tolist()) == ([[1.5]] * 3, [["a", "b"]] * 3)
    assert (found[2].numbers.tolist(), found[2].categories.tolist()) == ([[1.5, 2.5]] * 3, [["a"]] * 3)
    assert found[3].numbers.shape == (1, 0)
    assert {int(one.version[0]): one.numbers.shape[1] for one in blocks(tmp_path, ALL)} == {1: 1, 2: 2, 3: 0}
    with pytest.raises(RecorderError, match="1 and 2 numbers"):
        load(tmp_path, ALL)
    together = load(tmp_path, ALL, inputs=False)
    assert (len(together), together.numbers.shape, together.categories.shape) == (7, (7, 0), (7, 0))
    assert together.version.tolist() == [1, 2, 1, 2, 1, 2, 3]


def test_damage_is_told_by_blocks_and_by_the_newest_moment_too(tmp_path):
    pen = writer(tmp_path)
    record(pen, 30)
    pen.close()
    (path,) = tmp_path.glob("*.seg")
    torn = bytearray(path.read_bytes())
    torn[len(torn) // 2] ^= 0xFF
    path.write_bytes(torn)
    for ask in (
        lambda damage: list(blocks(tmp_path, ALL, damage=damage)),
        lambda damage: extent(tmp_path, ALL, damage=damage),
    ):
        with pytest.raises(RecorderError, match="cannot be read"):
            ask(None)
        damage = []
        ask(damage)
        assert len(damage) == 1


def test_the_predictions_of_a_key_are_found_in_all_models_and_forms(folder):
    found = of_key(folder, "flight-3")
    assert [one.id for one in found] == ["a2", "b2"]
    assert of_key(folder, "flight") == of_key(folder, "' OR 1=1 --") == []


def test_a_key_or_an_id_touches_few_row_groups(tmp_path):
    """By what the file itself says: the extremes and the Bloom filter of every row group."""
    import duckdb

    count = 60_000
    pen = writer(tmp_path, queue_mb=64)
    for _ in range(count):
        number = pen.next_sequence()
        # Keys come in no order, as those of people do; ids grow with time.
        one = prediction(number, id=f"01{number:024d}", key=f"key-{number * 7919 % 20_011}", version=number % 3)
        assert pen.append(one)
    pen.close()
    (path,) = compact(tmp_path)
    with duckdb.connect() as connection:

        def touched(column, value):
            asked = f"SELECT count(*) FROM parquet_bloom_probe('{path}', '{column}', '{value}') WHERE NOT bloom_filter_excludes"
            return connection.execute(asked).fetchone()[0]

        groups = connection.execute(f"SELECT count(DISTINCT row_group_id) FROM parquet_metadata('{path}')").fetchone()[
            0
        ]
        assert groups == -(-count // 8_192)
        assert touched("id", f"01{count // 2:024d}") == 1
        assert touched("key", "key-7") <= 4, "three predictions have it"
        assert touched("key", "nobody") <= 1
        extremes = connection.execute(
            f"SELECT stats_min_value::BIGINT, stats_max_value::BIGINT FROM parquet_metadata('{path}') "
            "WHERE path_in_schema = 'time_us'"
        ).fetchall()
        moment = prediction(count // 2).time_us
        assert sum(low <= moment <= high for low, high in extremes) <= 5, "one a version, and where two meet"
    (found,) = [find(tmp_path, f"01{count // 2:024d}")]
    assert found.sequence == count // 2
    assert [one.sequence for one in of_key(tmp_path, "key-7")] == [
        number for number in range(1, count + 1) if number * 7919 % 20_011 == 7
    ]
