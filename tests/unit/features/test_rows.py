import json

import msgspec
import numpy as np
import pytest
from tests.steps import steps

from seakeep.clock import parse_moment
from seakeep.errors import DataError, RowError
from seakeep.features.resolve import resolve
from seakeep.features.rows import EventDecoder, RequestDecoder, cells_to_table
from seakeep.records.expression import col
from seakeep.records.feature import RequestFeatures
from seakeep.records.model import Label, Model
from seakeep.records.source import ColumnSchema, Events

REQUEST = Events("flights", time="scheduled", key="id")
SCHEMA = (
    ColumnSchema(name="scheduled", kind="time", nullable=False),
    ColumnSchema(name="id", kind="int", nullable=False),
    ColumnSchema(name="carrier", kind="string", nullable=True),
    ColumnSchema(name="wind speed", kind="float", nullable=True),
    ColumnSchema(name="distance", kind="float", nullable=False),
    ColumnSchema(name="seats", kind="int", nullable=True),
    ColumnSchema(name="direct", kind="bool", nullable=False),
    ColumnSchema(name="booked", kind="time", nullable=True),
)
ARRIVALS = Events("arrivals", time="landed", key="id")
OUTCOME = (
    ColumnSchema(name="landed", kind="time", nullable=False),
    ColumnSchema(name="id", kind="int", nullable=False),
    ColumnSchema(name="late", kind="bool", nullable=False),
)
MODEL = Model(
    "m",
    on=REQUEST,
    features=[
        RequestFeatures(
            carrier=col("carrier"),
            wind=col("wind speed"),
            distance=col("distance"),
            seats=col("seats"),
            direct=col("direct"),
            lead=col("booked").dt.hour(),
        )
    ],
    label=Label(ARRIVALS, col("late")),
    train=lambda frame: frame,
)
DEFINITION = resolve(MODEL.definition, {"flights": SCHEMA, "arrivals": OUTCOME})
DECODER = RequestDecoder(DEFINITION)

ROW = {
    "scheduled": "2013-07-15T06:00:00Z",
    "id": 7,
    "carrier": "UA",
    "wind speed": 3,
    "distance": 100.5,
    "seats": 150,
    "direct": True,
    "booked": 1373868000000000,
}


def encode(*rows):
    return json.dumps(rows).encode()


def test_rows_become_columns_and_stay_as_sent():
    other = {"id": 8, "distance": 1, "direct": False, "carrier": None, "scheduled": None}
    found = DECODER.decode(encode(ROW, other))
    assert found.raw == [ROW, other]
    assert found.keys == ["7", "8"]
    assert found.times_us.tolist() == [parse_moment("2013-07-15T06:00"), 0]
    assert found.times_us.dtype == np.int64
    table = found.table
    assert table["carrier"].tolist() == ["UA", ""]
    np.testing.assert_array_equal(table["wind speed"], [3.0, np.nan])
    np.testing.assert_array_equal(table["seats"], [150.0, np.nan])
    assert table["distance"].dtype == np.float64
    assert table["direct"].dtype == np.bool_
    assert set(table) == {"carrier", "wind speed", "distance", "seats", "direct", "booked"}  # what a feature reads
    np.testing.assert_array_equal(table["booked"], np.array(["2013-07-15T06:00", "NaT"], dtype="M8[us]"))
    assert len(found) == 2


def test_a_part_of_a_larger_message_is_decoded_in_place():
    raw = msgspec.Raw(encode(ROW))
    assert DECODER.decode(raw).keys == ["7"]


def test_no_rows():
    found = DECODER.decode(b"[]")
    assert len(found) == 0
    assert found.times_us.shape == (0,)


@pytest.mark.parametrize(
    "text",
    ["2013-07-15T06:00:00Z", "2013-07-15T02:00:00-04:00", "2013-07-15 06:00", "2013-07-15T06:00:00.000000+00:00"],
)
def test_times(text):
    assert DECODER.decode(encode(ROW | {"scheduled": text})).times_us.tolist() == [1373868000000000]


@pytest.mark.parametrize(
    ("change", "column", "message", "hint"),
    [
        ({"distanc": 1}, "distanc", "row 1 has an unknown column 'distanc'", "did you mean 'distance'"),
        ({"distance": None}, "distance", "row 1: 'distance' is null and may not be", "send a number"),
        ({"distance": "far"}, "distance", """row 1: 'distance' is "far", not a number""", "send a number"),
        ({"distance": True}, "distance", "is true, not a number", "a number"),
        ({"distance": float("nan")}, "distance", "is NaN, not a number", "a number"),
        ({"wind speed": float("-inf")}, "wind speed", "is -Infinity, not a number", "null for a missing value"),
        ({"wind speed": [1]}, "wind speed", r"is \[1\], not a number", "null"),
        ({"id": 1.5}, "id", "is 1.5, not a whole number", "whole"),
        ({"id": 2**63}, "id", "is 9223372036854775808, not a whole number", "whole"),
        ({"id": "7"}, "id", """is "7", not a whole number""", "whole"),
        ({"seats": True}, "seats", "is true, not a whole number", "whole"),
        ({"direct": 1}, "direct", "is 1, not true or false", "true or false"),
        ({"carrier": 5}, "carrier", "is 5, not a string", "a string"),
        ({"scheduled": "yesterday"}, "scheduled", """is "yesterday", not a time""", "2013-07-15T06:00:00Z"),
        ({"scheduled": 1.5}, "scheduled", "is 1.5, not a time", "microseconds"),
        ({"booked": 2**62}, "booked", "not a time", "microseconds"),
    ],
)
def test_the_first_wrong_cell_is_named(change, column, message, hint):
    with pytest.raises(RowError, match=message) as caught:
        DECODER.decode(encode(ROW, ROW | change, {"nonsense": 1}))
    assert (caught.value.row, caught.value.column) == (1, column)
    assert hint in caught.value.hint


def test_an_unknown_name_is_repeated_no_further_than_it_takes_to_recognise_it():
    with pytest.raises(RowError, match=r"row 0 has an unknown column 'x{64}'$") as caught:
        DECODER.decode(encode(ROW | {"x" * 100_000: 1}))
    assert caught.value.column == "x" * 64


def test_a_missing_required_column():
    row = {name: value for name, value in ROW.items() if name != "direct"}
    with pytest.raises(RowError, match="row 0: 'direct' is missing") as caught:
        DECODER.decode(encode(row))
    assert (caught.value.row, caught.value.column) == (0, "direct")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "an object, not an array"),
        (b"7", "a number, not an array"),
        (b"[1]", "row 0 is a number, not an object"),
        (b"[{}, [", "not valid JSON"),
        (b"[{}] x", "not valid JSON"),
        (b"", "not valid JSON"),
        (b'[{"carrier": "\xff"}]', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'[{"id": 1' + b"0" * 5_000 + b"}]", "not valid JSON"),
        (b'[{"distance": 1e999, "id": 1, "direct": true}]', "'distance' is Infinity, not a number"),
    ],
)
def test_what_is_not_rows(body, message):
    with pytest.raises(RowError, match=message):
        DECODER.decode(body)


def test_a_row_whose_key_is_missing_has_an_empty_key():
    nullable = tuple(msgspec.structs.replace(one, nullable=True) for one in SCHEMA)
    definition = resolve(MODEL.definition, {"flights": nullable, "arrivals": OUTCOME})
    assert RequestDecoder(definition).decode(encode(ROW | {"id": None})).keys == [""]


def test_a_request_without_key_has_empty_keys():
    request = Events("flights", time="scheduled")
    definition = msgspec.structs.replace(DEFINITION, request=request)
    assert RequestDecoder(definition).decode(encode(ROW, ROW)).keys == ["", ""]


def test_events():
    decoder = EventDecoder(ARRIVALS, OUTCOME)
    found = decoder.decode(
        encode({"landed": "2013-07-15T06:00:00Z", "id": 1, "late": True}, {"landed": 5, "id": 2, "late": False})
    )
    assert found == {"landed": [1373868000000000, 5], "id": [1, 2], "late": [True, False]}
    assert decoder.decode(b"[]") == {"landed": [], "id": [], "late": []}
    with pytest.raises(RowError, match="row 0: 'landed' is null"):
        decoder.decode(encode({"landed": None, "id": 1, "late": True}))
    with pytest.raises(RowError, match="row 0: 'landed' is missing"):
        decoder.decode(encode({"id": 1, "late": True}))
    with pytest.raises(RowError, match="row 0: 'id' is missing"):
        decoder.decode(encode({"landed": 5, "late": True}))
    with pytest.raises(DataError, match="no column 'at'"):
        EventDecoder(Events("arrivals", time="at"), OUTCOME)


def test_an_event_may_lack_what_never_was_missing_before():
    decoder = EventDecoder(ARRIVALS, OUTCOME)
    assert decoder.decode(encode({"landed": 5, "id": 2})) == {"landed": [5], "id": [2], "late": [None]}
    assert np.isnan(cells_to_table(decoder.decode(encode({"landed": 5, "id": 2})), OUTCOME, ARRIVALS)["late"]).all()


def test_cells_become_the_arrays_that_decoding_gives():
    decoder = EventDecoder(REQUEST, SCHEMA)
    body = encode(ROW, ROW | {"carrier": None, "seats": None, "booked": None})
    table = cells_to_table(decoder.decode(body), SCHEMA, REQUEST)
    for name, values in DECODER.decode(body).table.items():
        assert table[name].dtype == values.dtype
        np.testing.assert_array_equal(table[name], values)


def test_columns_that_an_older_batch_lacks_are_missing():
    table = cells_to_table({"scheduled": [1, 2]}, SCHEMA, REQUEST)
    assert table["carrier"].tolist() == ["", ""]
    assert np.isnan(table["seats"]).all()
    with pytest.raises(DataError, match="differ in length"):
        cells_to_table({"scheduled": [1, 2], "seats": [1]}, SCHEMA, REQUEST)
    with pytest.raises(DataError, match="has no 'scheduled'"):
        cells_to_table({"scheduled": [None]}, SCHEMA, REQUEST)


def test_one_row_is_decoded_in_few_steps():
    body = encode(ROW)
    assert steps(lambda: DECODER.decode(body)) < 100
