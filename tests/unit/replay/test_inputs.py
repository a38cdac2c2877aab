import dataclasses

import msgspec
import numpy as np
import pytest
from tests.replaying import ARRIVALS, CARRIER, DEFINITION, DEST, WEEK, Kept, no_history, table, with_columns

from seakeep.features.plan import view_columns
from seakeep.recorder.table import PredictionTable
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn, FeatureView, mean
from seakeep.records.source import Events
from seakeep.replay.inputs import InputSource, meanings


def source(wanted, recorded=DEFINITION, history=no_history):
    return InputSource(wanted, lambda _: recorded, history)


def test_the_same_definition_takes_the_record_as_it_is():
    rows = table(30)
    found = source(DEFINITION).of(rows)
    assert found.numbers is rows.numbers
    assert found.categories is rows.categories
    assert found.found.all()


def test_inputs_are_taken_by_meaning_in_the_order_that_is_wanted():
    rows = table(30)
    delay, origin, distance = DEFINITION.columns
    found = source(with_columns(distance, delay)).of(rows)
    np.testing.assert_array_equal(found.numbers, rows.numbers[:, ::-1])
    assert found.categories.shape == (30, 0)
    assert found.categories.dtype == object
    renamed = with_columns(
        FeatureColumn(name="miles", kind="number"),
        origin,
        request_features={"miles": col("distance"), "origin": col("origin")},
    )
    found = source(renamed).of(rows)
    np.testing.assert_array_equal(found.numbers, rows.numbers[:, 1:])
    np.testing.assert_array_equal(found.categories, rows.categories)


def test_what_is_not_recorded_is_recomputed_once_a_version_and_rows_without_history_are_not_found():
    rows, kept = table(30), Kept()
    delay, origin, _ = DEFINITION.columns
    one = source(with_columns(WEEK, DEST, delay, origin), history=kept)
    assert one.recomputed == ()
    for _ in range(2):
        found = one.of(rows)
    assert kept.opened == [(WEEK, DEST)]
    assert kept.asked == 60
    assert one.recomputed == ("carrier.delay_7d", "dest")
    even = np.arange(0, 30, 2)
    np.testing.assert_array_equal(np.flatnonzero(found.found), even)
    np.testing.assert_array_equal(found.numbers, np.column_stack([even + 0.5, rows.numbers[even, 0]]))
    assert found.categories.tolist() == [[f"to-{n}", rows.categories[n, 0]] for n in even]


def test_requests_are_needed_where_something_must_be_recomputed_from_them():
    one = source(with_columns(WEEK, *DEFINITION.columns), history=Kept())
    assert one.needs_requests([1])
    assert not one.needs_requests([])
    assert not source(with_columns(*DEFINITION.columns[::-1])).needs_requests([1, 2])
    rows = table(10)
    unread = PredictionTable(**{field.name: getattr(rows, field.name) for field in dataclasses.fields(PredictionTable)})
    with pytest.raises(TypeError, match="requests, which were not read"):
        one.of(unread)
    assert source(DEFINITION).of(unread).found.all()


CHANGED = {
    "another window": {"features": {"delay": mean("arr_delay", over=["48h"])}},
    "another value": {"features": {"delay": mean(col("arr_delay") > 15, over=["24h"])}},
    "another source": {"source": Events("departures", time="landed", key="flight_id")},
    "a source known later": {"source": msgspec.structs.replace(ARRIVALS, delay="1h")},
    "another entity": {"entity": "origin"},
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_feature_of_the_same_name_that_means_something_else_is_not_taken(change):
    view = msgspec.structs.replace(CARRIER, **change)
    (name, _, _), *_ = view_columns(view)
    column = FeatureColumn(name=name, kind="number", view="carrier")
    wanted = with_columns(column, views=(view,))
    kept = Kept()
    kept.at = lambda asked: (np.ones(len(asked), dtype=bool), {name: np.zeros(len(asked))})
    found = source(wanted, history=kept).of(table(10))
    assert kept.opened == [(column,)]
    np.testing.assert_array_equal(found.numbers, np.zeros((10, 1)))


def test_meanings_tell_apart_what_computes_something_else_and_only_that():
    found = meanings(DEFINITION)
    assert set(found) == {column.name for column in DEFINITION.columns}
    assert len(set(found.values())) == 3
    view = FeatureView("airline", ARRIVALS, "carrier", {"late": mean("arr_delay", over=["24h"])})
    again = with_columns(FeatureColumn(name="airline.late_24h", kind="number", view="airline"), views=(view,))
    assert meanings(again)["airline.late_24h"] == found["carrier.delay_24h"]
    moved = msgspec.structs.replace(DEFINITION, request=msgspec.structs.replace(DEFINITION.request, time="departed"))
    assert not set(meanings(moved).values()) & set(found.values())
