"""Law 1: whatever the order, the batches and the repeats in which events come, lookups equal the join."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.features.join import features_at
from seakeep.features.materialise import catch_up, materialise
from seakeep.features.resolve import resolve
from seakeep.features.service import FeatureService
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, RequestFeatures, count, latest, mean, total
from seakeep.records.model import Label, Model
from seakeep.records.prediction import EventBatch
from seakeep.records.source import ColumnSchema, Events

SECOND = 1_000_000
SOURCE = Events("e", time="at", delay="2s")
ASKING = Events("r", time="t", key="id")
SCHEMAS = {
    "e": (
        ColumnSchema(name="at", kind="time", nullable=False),
        ColumnSchema(name="who", kind="string"),
        ColumnSchema(name="x", kind="float"),
        ColumnSchema(name="note", kind="string"),
    ),
    "r": (
        ColumnSchema(name="t", kind="time", nullable=False),
        ColumnSchema(name="id", kind="string", nullable=False),
        ColumnSchema(name="who", kind="string"),
    ),
    "o": (
        ColumnSchema(name="t", kind="time", nullable=False),
        ColumnSchema(name="id", kind="string", nullable=False),
        ColumnSchema(name="y", kind="float"),
    ),
}
MODEL = Model(
    "m",
    on=ASKING,
    features=[
        FeatureView("v", SOURCE, "who", {
            "m": mean("x", over=["3s", "10s"]),
            "s": total("x", over=["20s"]),
            "n": count(over=["1s", "20s"]),
            "x": latest("x", within="4s"),
            "note": latest("note", within="10s"),
        }),
        FeatureView("w", SOURCE, "who", {"big": mean(col("x") > 1, over=["1m"])}),
        RequestFeatures(hour=col("t").dt.hour(), who=col("who")),
    ],
    label=Label(Events("o", time="t", key="id"), col("y") > 0),
    train=lambda frame: frame,
)  # fmt: skip
DEFINITION = resolve(MODEL.definition, SCHEMAS)

whole = st.one_of(st.none(), st.integers(-4, 4).map(float))
general = st.one_of(st.none(), st.floats(-1e6, 1e6))


def events(values):
    one = st.tuples(st.integers(0, 40), st.sampled_from(["a", "b", ""]), values, st.sampled_from([None, "p", "q"]))
    return st.lists(one, min_size=1, max_size=40)


def cells(rows):
    at, who, x, note = (list(column) for column in zip(*rows, strict=True))
    return {"at": [second * SECOND for second in at], "who": who, "x": x, "note": note}


def table(rows):
    found = cells(rows) if rows else {"at": [], "who": [], "x": [], "note": []}
    return {
        "at": np.array(found["at"], dtype=np.int64).view("datetime64[us]"),
        "who": np.array(found["who"], dtype=object),
        "x": np.array(found["x"], dtype=np.float64),
        "note": np.array([one or "" for one in found["note"]], dtype=object),
    }


def asking():
    moments = np.arange(0, 60, dtype=np.int64).repeat(4) * SECOND
    who = np.array(["a", "b", "c", ""] * 60, dtype=object)
    rows = {"t": moments.view("datetime64[us]"), "id": np.arange(len(who)).astype(str).astype(object), "who": who}
    return rows, moments


def assert_equal(service, rows, *, tolerance=0.0):
    request, moments = asking()
    offline = features_at(DEFINITION, request, moments, {"e": table(rows)})
    found = service.assemble(DEFINITION, request, moments)
    next_column = {"number": 0, "category": 0}
    for column in DEFINITION.columns:
        online = (found.numbers if column.kind == "number" else found.categories)[:, next_column[column.kind]]
        next_column[column.kind] += 1
        if tolerance and column.kind == "number":
            np.testing.assert_allclose(online, offline[column.name], rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(online, offline[column.name], err_msg=column.name)


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def fresh(folder):
    return LmdbOnlineStore(Path(tempfile.mkdtemp(dir=folder)))


def batches_of(rows, random):
    """Late and early, alone and together."""
    rows = rows[:]
    random.shuffle(rows)
    found = []
    while rows:
        size = random.randint(1, 6)
        found.append(rows[:size])
        rows = rows[size:]
    return found


@settings(max_examples=60, deadline=None)
@given(rows=events(whole), random=st.randoms(use_true_random=False))
def test_any_order_and_any_resend(folder, rows, random):
    rows += random.sample(rows, len(rows) // 3)  # the same event twice is two events, online as offline
    store = fresh(folder)
    service = FeatureService(store)
    service.add(DEFINITION)
    for number, batch in enumerate(batches_of(rows, random)):
        assert service.ingest("e", cells(batch), f"b{number}")
        again = random.randint(0, number)
        assert not service.ingest("e", cells(batch), f"b{again}")
    assert_equal(service, rows)
    store.close()


@settings(max_examples=40, deadline=None)
@given(rows=events(general), random=st.randoms(use_true_random=False))
def test_general_floats_agree_to_a_billionth(folder, rows, random):
    store = fresh(folder)
    service = FeatureService(store)
    service.add(DEFINITION)
    for number, batch in enumerate(batches_of(rows, random)):
        service.ingest("e", cells(batch), f"b{number}")
    assert_equal(service, rows, tolerance=1e-9)
    store.close()


@settings(max_examples=60, deadline=None)
@given(rows=events(whole), random=st.randoms(use_true_random=False), early=st.booleans())
def test_history_and_arrivals_meet_without_gap_or_double(folder, rows, random, early):
    seam = random.choice(rows)[0] + 2  # some event becomes known at the very seam
    store = fresh(folder)
    service = FeatureService(store)
    history = [row for row in rows if row[0] + 2 < seam]
    later = [row for row in rows if row[0] + 2 >= seam]
    batches = batches_of(later, random)
    # A live batch may repeat what is in the history: it came with the history and counts once.
    if history:
        batches.append(history[:3])
    before = batches[: len(batches) // 2] if early else []
    if early:
        service.add(DEFINITION)
    for number, batch in enumerate(before):
        service.ingest("e", cells(batch), f"b{number}")
    # The table may already hold what comes after the seam: that is left to arrive.
    materialise([DEFINITION], {"e": table(rows)}, store, as_of_us=seam * SECOND)
    for number, batch in enumerate(batches[len(before) :], len(before)):
        service.ingest("e", cells(batch), f"b{number}")
    assert materialise([DEFINITION], {"e": table(rows)}, store, as_of_us=seam * SECOND) == []
    assert_equal(service, rows)
    store.close()


@settings(max_examples=60, deadline=None)
@given(rows=events(whole), random=st.randoms(use_true_random=False))
def test_a_view_entered_late_catches_up_from_the_log(folder, rows, random):
    store = fresh(folder)
    service = FeatureService(store)
    batches = batches_of(rows, random)
    log = [
        EventBatch(sequence=n, batch=f"b{n}", source="e", recorded_us=0, columns=cells(batch))
        for n, batch in enumerate(batches)
    ]
    entered = random.randint(0, len(batches))
    for one in log[:entered]:
        service.ingest("e", one.columns, one.batch)
    service.add(DEFINITION)
    live = random.randint(entered, len(batches))
    for one in log[entered:live]:
        service.ingest("e", one.columns, one.batch)
    # the log holds all, also batches that were recorded but not applied when the process died
    assert catch_up(store, log) == entered + len(batches) - live
    assert catch_up(store, log) == 0
    for one in log:
        assert not service.ingest("e", one.columns, one.batch)
    assert_equal(service, rows)
    store.close()
