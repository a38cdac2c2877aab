import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.clock import DAY_US, FixedClock
from seakeep.errors import DataError, FeaturesError
from seakeep.features.materialise import materialise, missing_views
from seakeep.features.remember import RememberingStore
from seakeep.features.resolve import resolve
from seakeep.features.service import FeatureService
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, RequestFeatures, count, latest, mean, total
from seakeep.records.model import Label, Model, ModelDefinition
from seakeep.records.source import ColumnSchema, Events

HOUR = DAY_US // 24
SOURCE = Events("e", time="at")
SCHEMAS = {
    "e": (
        ColumnSchema(name="at", kind="time", nullable=False),
        ColumnSchema(name="who", kind="int"),
        ColumnSchema(name="x", kind="float"),
        ColumnSchema(name="note", kind="string"),
    ),
    "r": (
        ColumnSchema(name="t", kind="time", nullable=False),
        ColumnSchema(name="id", kind="string", nullable=False),
        ColumnSchema(name="who", kind="int"),
    ),
}
ZETA = {
    "z": mean("x", over=["1h", "1d"]),
    "a": total("x", over=["1d"]),
    "n": count(over=["1h"]),
    "note": latest("note", within="1d"),
    "b": latest("x", within="1d"),
}


def define(*features):
    model = Model(
        "m",
        on=Events("r", time="t", key="id"),
        features=features,
        label=Label(Events("e", time="at", key=""), col("x") > 0),
        train=lambda frame: frame,
    )
    definition = msgspec.structs.replace(model.definition, label=Label(Events("r", time="t", key="id"), col("who") > 0))
    return resolve(definition, SCHEMAS)


DEFINITION = define(FeatureView("v", SOURCE, "who", ZETA), RequestFeatures(hour=col("t").dt.hour()))


@pytest.fixture
def store(tmp_path):
    store = LmdbOnlineStore(tmp_path / "online")
    yield store
    store.close()


def events(*rows):
    at, who, x, note = (list(column) for column in zip(*rows, strict=True))
    return {"at": at, "who": who, "x": x, "note": note}


def ask(service, *rows, definition=DEFINITION):
    times = np.array([time for time, _ in rows], dtype=np.int64)
    table = {"t": times.view("datetime64[us]"), "who": np.array([who for _, who in rows], dtype=np.int64)}
    return service.assemble(definition, table, times)


def test_features_view_times_and_order_of_columns(store):
    service = FeatureService(store)
    service.add(DEFINITION)
    assert service.ingest(
        "e", events((10 * HOUR, 7, 1.0, "p"), (12 * HOUR, 7, 4.0, None), (11 * HOUR, 8, None, "q")), "1"
    )
    found = ask(service, (12 * HOUR + 1, 7), (12 * HOUR, 7), (13 * HOUR, 8), (13 * HOUR, 9))
    names = [column.name for column in DEFINITION.columns if column.kind == "number"]
    assert names == ["v.z_1h", "v.z_1d", "v.a_1d", "v.n_1h", "v.b", "hour"]
    np.testing.assert_array_equal(
        found.numbers,
        [
            [4.0, 2.5, 5.0, 1.0, 4.0, 12.0],
            [np.nan, 1.0, 1.0, 0.0, 1.0, 12.0],
            [np.nan, np.nan, 0.0, 0.0, np.nan, 13.0],
            [np.nan, np.nan, 0.0, 0.0, np.nan, 13.0],
        ],
    )
    assert found.categories.tolist() == [[""], ["p"], ["q"], [""]]
    assert found.view_times_us.tolist() == [[12 * HOUR], [10 * HOUR], [11 * HOUR], [0]]
    assert found.unknown == [(), (), (), ("v",)]
    assert (found.numbers.dtype, found.categories.dtype, found.view_times_us.dtype) == (np.float64, object, np.int64)
    for row in range(4):  # a row alone is as among others
        alone = ask(service, ((12 * HOUR + 1, 7), (12 * HOUR, 7), (13 * HOUR, 8), (13 * HOUR, 9))[row])
        np.testing.assert_array_equal(alone.numbers, found.numbers[row : row + 1])
        assert alone.unknown == found.unknown[row : row + 1]


def test_no_rows(store):
    found = ask(FeatureService(store))
    assert found.numbers.shape == (0, 6)
    assert found.categories.shape == (0, 1)
    assert found.view_times_us.shape == (0, 1)


def test_a_definition_without_views_needs_no_state(store):
    definition = define(RequestFeatures(hour=col("t").dt.hour()))
    found = ask(FeatureService(store), (5 * HOUR, 1), definition=definition)
    assert found.numbers.tolist() == [[5.0]]
    assert found.view_times_us.shape == (1, 0)


def test_a_definition_from_a_bundle_reads_the_same_state_whatever_the_order_of_its_keys(store):
    service = FeatureService(store)
    service.add(DEFINITION)
    service.ingest("e", events((10 * HOUR, 7, 1.0, "p")), "1")
    stored = msgspec.json.decode(msgspec.json.encode(DEFINITION, order="deterministic"), type=ModelDefinition)
    assert list(stored.views[0].features) != list(ZETA)
    one = ask(service, (11 * HOUR, 7))
    other = ask(service, (11 * HOUR, 7), definition=stored)
    np.testing.assert_array_equal(one.numbers, other.numbers)
    assert one.categories.tolist() == other.categories.tolist() == [["p"]]


def test_versions_with_equal_views_share_and_with_others_coexist(store):
    renamed = define(FeatureView("w", SOURCE, "who", ZETA))
    other = define(FeatureView("v", SOURCE, "who", {"n": count(over=["2h"])}))
    service = FeatureService(store)
    service.add(DEFINITION)
    service.ingest("e", events((10 * HOUR, 7, 1.0, "p")), "1")
    service.add(other)  # enters later: it has not seen the first event
    service.ingest("e", events((11 * HOUR, 7, 2.0, "p")), "2")
    assert ask(service, (11 * HOUR + 1, 7), definition=renamed).numbers[0, 2] == 3.0
    assert ask(service, (11 * HOUR + 1, 7)).numbers[0, 2] == 3.0
    assert ask(service, (11 * HOUR + 1, 7), definition=other).numbers.tolist() == [[1.0]]


def test_a_view_is_kept_up_to_date_by_a_process_that_never_heard_of_it(store):
    FeatureService(store).add(DEFINITION)
    ingesting = FeatureService(store)
    ingesting.ingest("e", events((10 * HOUR, 7, 1.0, "p")), "1")
    assert ask(FeatureService(store), (11 * HOUR, 7)).numbers[0, 2] == 1.0


def test_old_events_go_and_too_old_a_moment_is_not_answered_wrongly(store):
    service = FeatureService(store)
    service.add(DEFINITION)
    service.ingest("e", events(*[(day * DAY_US, 7, 1.0, "p") for day in range(10, 20)]), "1")
    # kept: the longest window (1 day) and one day of grace before the newest
    found = ask(service, (19 * DAY_US, 7), (18 * DAY_US + HOUR, 7), (18 * DAY_US - HOUR, 7), (11 * DAY_US, 7))
    assert found.numbers[:2, 2].tolist() == [1.0, 1.0]
    assert np.isnan(found.numbers[2:, :5]).all()
    assert found.unknown == [(), (), ("v",), ("v",)]
    # an event too late for any window that can be asked for changes nothing
    service.ingest("e", events((12 * DAY_US, 7, 1.0, "p")), "2")
    np.testing.assert_array_equal(ask(service, (19 * DAY_US, 7)).numbers, found.numbers[:1])


def test_an_event_with_a_date_in_the_future_pushes_nothing_out(store):
    service = FeatureService(store, clock=FixedClock(20 * DAY_US))
    service.add(DEFINITION)
    service.ingest("e", events((19 * DAY_US + HOUR, 7, 1.0, "p"), (9_000 * DAY_US, 7, 5.0, "p")), "1")
    service.ingest("e", events((19 * DAY_US + 2 * HOUR, 7, 1.0, "p")), "2")
    assert ask(service, (20 * DAY_US, 7)).numbers[0, 2] == 2.0


def test_a_batch_that_is_not_whole_changes_nothing(store):
    service = FeatureService(store)
    service.add(DEFINITION)
    with pytest.raises(DataError, match="differ in length"):
        service.ingest("e", {"at": [1, 2], "who": [7], "x": [1.0], "note": [""]}, "1")
    with pytest.raises(DataError, match="has no 'at'"):
        service.ingest("e", {"at": [None], "who": [7], "x": [1.0], "note": [""]}, "1")
    assert ask(service, (11 * HOUR, 7)).unknown == [("v",)]
    assert service.ingest("e", events((10 * HOUR, 7, 1.0, "p")), "1")


def test_batches_are_told_apart_by_source_too(store):
    service = FeatureService(store)
    service.add(DEFINITION)
    one = events((10 * HOUR, 7, 1.0, "p"))
    assert service.ingest("e", one, "1")
    assert service.ingest("other", {"t": [1]}, "1")
    assert not service.ingest("other", {"t": [1]}, "1")
    assert not service.ingest("e", one, "1")


def test_an_unresolved_definition_is_refused(store):
    with pytest.raises(DataError, match="not resolved"):
        FeatureService(store).add(msgspec.structs.replace(DEFINITION, columns=()))


def test_names_of_entities_may_be_long_and_strange(store):
    schemas = SCHEMAS | {
        "e": (*SCHEMAS["e"][:1], ColumnSchema(name="who", kind="string"), *SCHEMAS["e"][2:]),
        "r": (*SCHEMAS["r"][:2], ColumnSchema(name="who", kind="string")),
    }
    definition = msgspec.structs.replace(
        DEFINITION, label=Label(Events("r", time="t", key="id"), col("who") == "x"), schemas={}, columns=()
    )
    definition = resolve(definition, schemas)
    service = FeatureService(store)
    service.add(definition)
    names = ["é" * 300, "é" * 300 + "x", "\0", "a b\n", "\U0001f6a2"]
    service.ingest("e", events(*[(10 * HOUR, name, float(n), "p") for n, name in enumerate(names)]), "1")
    times = np.full(5, 11 * HOUR)
    table = {"t": times.view("datetime64[us]"), "who": np.array(names, dtype=object)}
    assert service.assemble(definition, table, times).numbers[:, 2].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def history(rows, entities, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "at": (rng.integers(0, 3 * 24 * 3600, rows) * 1_000_000).view("datetime64[us]"),
        "who": rng.integers(0, entities, rows),
        "x": rng.integers(-9, 9, rows).astype(float),
        "note": rng.choice(["a", "b", ""], rows).astype(object),
    }


def test_materialise_fills_only_what_is_missing(store):
    table = history(2_000, 20)
    assert missing_views(DEFINITION, store) == ("v",)
    (done,) = materialise([DEFINITION, DEFINITION], {"e": table}, store, as_of_us=4 * DAY_US)
    assert (done.view, done.entities, done.events) == ("v", 20, 2_000)
    assert missing_views(DEFINITION, store) == ()
    assert materialise([DEFINITION], {}, store, as_of_us=4 * DAY_US) == []
    wider = define(FeatureView("v", SOURCE, "who", ZETA), FeatureView("w", SOURCE, "who", {"n": count(over=["2d"])}))
    assert missing_views(wider, store) == ("w",)
    with pytest.raises(DataError, match="needs the history of source 'e'"):
        materialise([wider], {}, store, as_of_us=4 * DAY_US)
    assert [one.view for one in materialise([wider], {"e": table}, store, as_of_us=4 * DAY_US)] == ["w"]


def test_materialise_of_an_empty_history(store):
    table = {name: values[:0] for name, values in history(10, 2).items()}
    (done,) = materialise([DEFINITION], {"e": table}, store, as_of_us=DAY_US)
    assert (done.entities, done.events) == (0, 0)
    assert missing_views(DEFINITION, store) == ()


@pytest.mark.slow
def test_a_large_history_of_many_entities(tmp_path):
    store = LmdbOnlineStore(tmp_path / "large")
    table = history(200_000, 40_000)
    (done,) = materialise([DEFINITION], {"e": table}, store, as_of_us=4 * DAY_US)
    assert (done.entities, done.events) == (len(np.unique(table["who"])), 200_000)
    from seakeep.features.join import features_at

    service = FeatureService(store)
    times = np.full(500, 3 * DAY_US)
    asking = {"t": times.view("datetime64[us]"), "who": np.arange(500)}
    offline = features_at(DEFINITION, asking, times, {"e": table})
    found = service.assemble(DEFINITION, asking, times)
    names = [column.name for column in DEFINITION.columns if column.kind == "number"]
    for position, name in enumerate(names):
        np.testing.assert_array_equal(found.numbers[:, position], offline[name])
    store.close()


def test_the_serving_path_imports_no_table_engine():
    script = (
        "import sys, seakeep.features.service, seakeep.features.rows, seakeep.backends.lmdb.online; "
        "print(sorted({'duckdb', 'pandas', 'sklearn', 'polars', 'pyarrow', 'seakeep.data'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert found.stdout.strip() == "[]"


def test_features_are_recalled_from_what_was_read_and_windows_go_on_moving(store, monkeypatch):
    remembering = RememberingStore(store)
    service = FeatureService(remembering, recalled=remembering)
    service.add(DEFINITION)
    assert service.ingest("e", events((10 * HOUR, 1, 4.0, "x")), "b1")
    asked = {"t": np.array([11 * HOUR]).view("datetime64[us]"), "who": np.array([1])}
    before = service.assemble(DEFINITION, asked, np.array([10 * HOUR + 1]))
    service.ingest("e", events((10 * HOUR + 2, 1, 9.0, "y")), "b2")
    monkeypatch.setattr(store, "read", lambda: pytest.fail("the store was asked"))
    same = service.recall(DEFINITION, asked, np.array([10 * HOUR + 1]), 60.0)
    assert same.numbers.tobytes() == before.numbers.tobytes()
    later = service.recall(DEFINITION, asked, np.array([12 * HOUR]), 60.0)
    assert np.isnan(later.numbers[0, 0])  # the hour's window is empty by then
    assert later.unknown == [()]
    for who, age_s, of in (
        (2, 60.0, DEFINITION),
        (1, -1.0, DEFINITION),
        (1, 60.0, define(RequestFeatures(hour=col("t").dt.hour()))),
    ):
        with pytest.raises(FeaturesError):
            service.recall(of, {**asked, "who": np.array([who])}, np.array([12 * HOUR]), age_s)


def test_without_a_memory_nothing_is_recalled(store):
    service = FeatureService(store)
    service.add(DEFINITION)
    with pytest.raises(FeaturesError, match="no features are remembered"):
        service.recall(DEFINITION, {}, np.array([0]), 60.0)
