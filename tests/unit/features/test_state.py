import math

import numpy as np
import pytest

from seakeep.clock import DAY_US
from seakeep.features.plan import EventValues, plan_view
from seakeep.features.state import EVERYTHING, Reader, merge, unpack
from seakeep.records.feature import FeatureView, count, latest, mean
from seakeep.records.source import ColumnSchema, Events

SCHEMA = (
    ColumnSchema(name="at", kind="time", nullable=False),
    ColumnSchema(name="who", kind="string"),
    ColumnSchema(name="x", kind="float"),
    ColumnSchema(name="p", kind="string"),
    ColumnSchema(name="q", kind="string"),
)
VIEW = FeatureView("v", Events("e", time="at", delay="1h"), "who", {
    "m": mean("x", over=["1d"]), "n": count(over=["1d"]), "x": latest("x", within="1d"), "p": latest("p", within="1d"),
    "q": latest("q", within="1d"),
})  # fmt: skip
PLAN = plan_view(VIEW, SCHEMA)
READER = Reader(PLAN, list(PLAN.outputs.values()))


def events(*rows):
    known, x, p, q = zip(*rows, strict=True) if rows else ((), (), (), ())
    xs = np.array(x, dtype=np.float64)
    texts = [np.array(column, dtype=object) for column in (p, q)]
    return EventValues(np.array(known, dtype=np.int64), [xs], [xs], texts)


def known_of(blob):
    return unpack(PLAN, blob)[0].known_us.tolist()


def test_a_state_gives_back_its_events():
    blob = merge(PLAN, None, events((5, 1.0, "é", ""), (3, math.nan, "", "longer text")))
    kept, floor = unpack(PLAN, blob)
    assert floor == EVERYTHING
    assert len(blob) % 8 == 0
    assert kept.known_us.tolist() == [3, 5]
    np.testing.assert_array_equal(kept.sums[0], [math.nan, 1.0])
    np.testing.assert_array_equal(kept.numbers[0], [math.nan, 1.0])
    assert [column.tolist() for column in kept.strings] == [["", "é"], ["longer text", ""]]


def test_reading_inside_a_larger_buffer_of_any_alignment():
    blob = merge(PLAN, None, events((5, 1.0, "é", "z"), (3, 4.0, "", "")))
    for shift in range(8):
        part = memoryview(bytes(shift) + blob)[shift:]
        (reading,) = READER.read(part, [6])
        assert (reading.numbers, reading.categories, reading.newest_us) == ([2.5, 2.0, 1.0], ["é", "z"], 5)
        assert merge(PLAN, part, events()) == blob


def test_of_events_at_one_moment_the_greatest_is_the_latest_and_missing_the_least():
    rows = [(5, 1.0, "b", ""), (5, math.nan, "z", "z"), (5, 1.0, "a", "y")]
    blobs = {merge(PLAN, merge(PLAN, None, events(*rows[i:])), events(*rows[:i])) for i in range(4)}
    assert len(blobs) == 1
    (reading,) = READER.read(blobs.pop(), [6])
    assert reading.numbers[2] == 1.0
    assert reading.categories == ["b", ""]  # of one and the same event


def test_what_no_window_needs_goes():
    day = DAY_US
    assert PLAN.keep_us == 2 * day + day // 24
    blob = merge(PLAN, None, events(*[(n * day, 1.0, "", "") for n in range(10)]))
    assert known_of(blob) == [7 * day, 8 * day, 9 * day]
    assert unpack(PLAN, blob)[1] == 9 * day - PLAN.keep_us
    late = merge(PLAN, blob, events((6 * day, 1.0, "", ""), (8 * day + 1, 1.0, "", "")))
    assert known_of(late) == [7 * day, 8 * day, 8 * day + 1, 9 * day]


def test_the_floor_never_falls():
    day = DAY_US
    blob = merge(PLAN, None, events((0, 1.0, "", ""), (9 * day, 1.0, "", "")))
    floor = unpack(PLAN, blob)[1]
    again = merge(PLAN, blob, events((2 * day, 1.0, "", "")), newest_us=5 * day)
    assert (known_of(again), unpack(PLAN, again)[1]) == ([9 * day], floor)


@pytest.mark.parametrize(("ahead", "complete"), [(0, True), (-1, False)])
def test_a_window_that_reaches_below_the_floor_is_not_answered(ahead, complete):
    blob = merge(PLAN, None, events((0, 1.0, "", ""), (9 * DAY_US, 1.0, "", "")))
    floor = unpack(PLAN, blob)[1]
    (reading,) = READER.read(blob, [floor + DAY_US + ahead])
    assert reading.complete is complete
    assert math.isnan(reading.numbers[1]) is not complete


def test_an_empty_state_reads_as_no_events():
    (reading,) = READER.read(merge(PLAN, None, events()), [5])
    assert reading.complete
    np.testing.assert_array_equal(reading.numbers, READER.empty.numbers)
    np.testing.assert_array_equal(reading.numbers, [math.nan, 0.0, math.nan])
    assert reading.newest_us == 0
