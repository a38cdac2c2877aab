import pytest

import seakeep as sk
from seakeep.errors import ConfigError
from seakeep.features.personal import personal_faults, verbatim
from seakeep.features.resolve import resolve
from seakeep.records.source import ColumnSchema


def column(name, kind="string"):
    return ColumnSchema(name=name, kind=kind)


SCHEMAS = {
    "bookings": (
        column("booking"), column("booked", "time"), column("passenger"), column("seat"), column("age", "int"),
        column("email"), column("id", "int"),
    ),
    "trips": (
        column("booking"), column("ended", "time"), column("passenger"), column("late", "float"), column("note"),
        column("number", "int"),
    ),
}  # fmt: skip


def faults(asked=None, told=None, *, key="booking"):
    bookings = sk.Events("bookings", time="booked", key=key, personal=asked or {})
    trips = sk.Events("trips", time="ended", key="booking", personal=told or {})
    model = sk.Model(
        "late",
        on=bookings,
        features=[
            sk.FeatureView(
                "past",
                trips,
                "passenger",
                {"late": sk.mean("late", over=["7d"]), "note": sk.latest("note", within="7d")},
            ),
            sk.RequestFeatures(seat=sk.col("seat"), age=sk.col("age"), old=sk.col("age") > 60),
        ],
        label=sk.Label(trips, sk.col("late") > 5),
        train=lambda frame: frame,
    )
    return model.definition, [fault.message for fault in personal_faults(model.definition, SCHEMAS)]


def test_without_personal_columns_there_is_nothing_to_say():
    assert faults()[1] == []


def test_inputs_that_are_a_column_itself_are_known():
    found = {name: (source.name, name_) for name, (source, name_) in verbatim(faults()[0]).items()}
    assert found == {"past.note": ("trips", "note"), "seat": ("bookings", "seat"), "age": ("bookings", "age")}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"email": "drop", "passenger": "hash", "seat": "tokenise", "age": "keep"}, {}),
        ({"booking": "hash"}, {"booking": "hash"}),
        ({"booking": "tokenise"}, {"booking": "tokenise", "passenger": "tokenise", "note": "tokenise"}),
        ({"id": "hash"}, {"number": "drop"}),
    ],
)
def test_what_can_be_read_again_is_allowed(asked, told):
    assert faults(asked, told)[1] == []


@pytest.mark.parametrize(
    ("asked", "told", "message"),
    [
        ({"pasenger": "hash"}, {}, "there is no personal column 'pasenger' of 'bookings'"),
        ({"booked": "hash"}, {}, "is its time and must be kept"),
        ({"booking": "drop"}, {"booking": "drop"}, "is its key and cannot be dropped"),
        ({"booking": "hash"}, {}, "the key of 'bookings' is 'hash', that of 'trips' 'keep': no outcome would be found"),
        ({"booking": "hash"}, {"booking": "tokenise"}, "no outcome would be found"),
        ({}, {"late": "hash"}, "the label reads 'late' of 'trips', which is not kept"),
        ({}, {"passenger": "hash"}, "past reads 'passenger' of 'trips', and is rebuilt from what was recorded"),
        ({}, {"note": "drop"}, "past reads 'note' of 'trips'"),
        ({"seat": "hash"}, {}, "seat is the column 'seat' itself: with 'hash' no prediction can be executed again"),
        ({"age": "tokenise"}, {}, "age is the column 'age' itself"),
        ({}, {"number": "tokenise"}, "personal column 'number' of 'trips' is int: what would replace it is a string"),
    ],
)
def test_what_must_be_read_again_must_stay_readable(asked, told, message):
    definition, found = faults(asked, told)
    assert any(message in one for one in found), found
    with pytest.raises(ConfigError):
        resolve(definition, SCHEMAS)


def test_an_int_key_cannot_be_replaced():
    _, found = faults({"id": "hash"}, key="id")
    assert any("personal column 'id' of 'bookings' is int" in one for one in found)


def test_sources_can_still_be_told_apart_and_looked_up():
    one = sk.Events("a", time="t", personal={"x": "hash"})
    assert one == sk.Events("a", time="t", personal={"x": "hash"})
    assert one != sk.Events("a", time="t")
    assert {one: 1}[sk.Events("a", time="t", personal={"x": "hash"})] == 1
