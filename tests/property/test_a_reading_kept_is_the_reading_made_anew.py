"""A lookup that keeps what it read says the same as one that reads each time, whatever is asked in whatever order."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seakeep.features import lookup, online
from seakeep.features.lookup import Lookup
from seakeep.features.plan import EventValues, plan_view
from seakeep.features.state import EVERYTHING, Reader, merge, pack
from seakeep.records.feature import FeatureView, count, latest, mean
from seakeep.records.source import ColumnSchema, Events

SCHEMA = (
    ColumnSchema(name="at", kind="time", nullable=False),
    ColumnSchema(name="who", kind="string"),
    ColumnSchema(name="x", kind="float"),
    ColumnSchema(name="note", kind="string"),
)
VIEW = FeatureView("v", Events("e", time="at"), "who", {
    "m": mean("x", over=["3s", "7s"]), "n": count(over=["1s"]), "note": latest("note", within="5s"),
})  # fmt: skip
PLAN = plan_view(VIEW, SCHEMA)
READER = Reader(PLAN, list(PLAN.outputs.values()))
SECOND = 1_000_000
MOMENTS = st.integers(0, 30).map(lambda half: half * SECOND // 2)


class Store:
    """One version of what a store holds, and how often it was asked."""

    def __init__(self, version, states):
        self.version, self.states, self.asked = version, states, 0

    def id(self):
        return self.version

    def get(self, key):
        self.asked += 1
        return self.states.get(key)


def state(known, floor=EVERYTHING):
    known = np.array(sorted(known), dtype=np.int64)
    xs = known.astype(np.float64) % 7
    return pack(EventValues(known, [xs], [], [np.array([str(at) for at in known], dtype=object)]), floor)


def store(version, events, floor=EVERYTHING):
    states = {online.state_key(PLAN.digest, who): state(known, floor) for who, known in events.items()}
    return Store(version, states)


EVENTS = st.dictionaries(st.sampled_from("abc"), st.lists(MOMENTS, max_size=6))
ASKED = st.lists(st.tuples(st.sampled_from("abcd"), MOMENTS), min_size=1, max_size=30)


@given(st.lists(st.tuples(EVENTS, st.one_of(st.just(EVERYTHING), MOMENTS), ASKED), min_size=1, max_size=4))
def test_whatever_is_asked_the_kept_reading_is_the_one_made_anew(versions):
    kept = Lookup("v", PLAN, READER)
    for version, (events, floor, asked) in enumerate(versions):
        snapshot = store(version, events, floor)
        whole = kept.read(snapshot, [who for who, _ in asked], [time_us for _, time_us in asked])
        for (who, time_us), found in zip(asked, whole, strict=True):
            (fresh,) = Lookup("v", PLAN, READER).read(snapshot, [who], [time_us])
            assert found[:4] == fresh[:4]
            assert found.since_us < time_us <= found.until_us


@given(st.lists(MOMENTS, min_size=1, max_size=8), MOMENTS, st.one_of(st.just(EVERYTHING), MOMENTS))
def test_a_reading_holds_exactly_between_its_moments(known, time_us, floor):
    blob = state(known, floor)
    reading, (since_us, until_us) = READER.at(blob, time_us)
    assert since_us < time_us <= until_us
    for inside in {max(since_us + 1, -SECOND), min(until_us, 99 * SECOND)}:
        assert READER.at(blob, inside)[0] == reading


def test_an_entity_asked_again_is_read_once_until_the_store_changes():
    kept, events = Lookup("v", PLAN, READER), {"a": [SECOND]}
    first = store(1, events)
    for time_us in (2 * SECOND - 2, 2 * SECOND, 2 * SECOND - 1):
        kept.read(first, ["a", "a", "d"], [time_us] * 3)
    assert first.asked == 2
    second = store(2, {"a": [SECOND, 3 * SECOND // 2]})
    (found,) = kept.read(second, ["a"], [2 * SECOND])
    assert second.asked == 1
    assert struct.unpack("=3d", found.numbers)[2] == 2.0
    assert found.newest == struct.pack("=q", 3 * SECOND // 2)


def test_an_event_that_is_merged_ends_what_was_kept():
    blob = merge(
        PLAN,
        state([SECOND]),
        EventValues(np.array([2 * SECOND]), [np.ones(1)], [], [np.array(["z"], dtype=object)]),
    )
    reading, (since_us, until_us) = READER.at(blob, 2 * SECOND)
    assert (reading.newest_us, since_us, until_us) == (SECOND, SECOND, 2 * SECOND)
    assert READER.at(blob, until_us + 1)[0].categories == ["z"]


def test_no_more_entities_are_kept_than_agreed(monkeypatch):
    monkeypatch.setattr(lookup, "KEPT", 2)
    kept, snapshot = Lookup("v", PLAN, READER), store(1, {name: [SECOND] for name in "abc"})
    kept.read(snapshot, list("abcabc"), [2 * SECOND] * 6)
    assert len(kept._kept) <= 2
    assert snapshot.asked == 6
