import hashlib

import msgspec
import pytest
from tests.recording import batch, prediction, same

import seakeep as sk
from seakeep.errors import IntegrityError, RecorderError
from seakeep.features.resolve import resolve
from seakeep.recorder.policy import Policies
from seakeep.records.source import ColumnSchema
from seakeep.security.privacy import Protector

BUNDLE = prediction(1).bundle


def definition(asked=None, told=None, *, entity="carrier"):
    flights = sk.Events("flights", time="scheduled", key="flight_id", personal=asked or {})
    arrivals = sk.Events("arrivals", time="landed", key="flight_id", personal=told or {})
    model = sk.Model(
        "late-arrival",
        on=flights,
        features=[
            sk.FeatureView("recent", arrivals, entity, {"delay": sk.mean("arr_delay", over=["1d"])}),
            sk.RequestFeatures(distance=sk.col("distance") * 1, carrier=sk.col("carrier"), note=sk.col("note")),
        ],
        label=sk.Label(arrivals, sk.col("arr_delay") > 15),
        train=lambda frame: frame,
    )
    strings = [ColumnSchema(name=name, kind="string") for name in ("flight_id", "carrier", "note")]
    asking = [ColumnSchema(name="scheduled", kind="time"), ColumnSchema(name="distance", kind="float")]
    telling = [ColumnSchema(name="landed", kind="time"), ColumnSchema(name="arr_delay", kind="float")]
    schemas = {"flights": (*strings, *asking), "arrivals": (*strings, *telling)}
    return resolve(model.definition, schemas)


def policies(asked=None, told=None, secret=b"secret"):
    made = Policies(Protector(secret, b"t" * 32))
    made.learn(BUNDLE, definition(asked, told))
    return made


def test_without_personal_columns_a_record_passes_unchanged():
    one = prediction(1)
    assert policies().apply(one) is one
    events = batch(1)
    assert policies().apply(events) is events


def test_each_treatment_of_the_request():
    kept = policies({"distance": "drop", "carrier": "tokenise"}).apply(prediction(1))
    assert set(kept.request) == {"carrier", "stops", "note"}
    assert kept.request["carrier"].startswith("token:")
    assert kept.request["stops"] == 0
    assert kept.request["note"] is None, "a missing value stays missing"


def test_an_input_of_the_model_that_is_the_column_itself_is_tokenised_too():
    made = policies({"carrier": "tokenise"})
    one = prediction(1, categories=["UA", ""])
    kept = made.apply(one)
    assert kept.categories == [kept.request["carrier"], ""]
    assert same(made.reveal_prediction(kept), one)


def test_a_client_that_sends_inputs_alone_is_protected_too():
    kept = policies({"carrier": "tokenise"}).apply(prediction(1, request={}, key="", categories=["UA", "x"]))
    assert kept.categories[0].startswith("token:")
    assert kept.categories[1] == "x"
    assert kept.key == ""


def test_a_failed_prediction_without_inputs_is_protected_too():
    kept = policies({"carrier": "tokenise"}).apply(prediction(1, numbers=[], categories=[]))
    assert kept.categories == []
    assert b"UA" not in msgspec.msgpack.encode(kept)


def test_the_keys_of_all_sources_are_replaced_alike():
    made = policies({"flight_id": "hash"}, {"flight_id": "hash"})
    asked = made.apply(prediction(1, request={"flight_id": "flight-1"}))
    told = made.apply(batch(1))
    assert asked.key == asked.request["flight_id"] == told.columns["flight_id"][0]
    assert asked.key.startswith("blake2b:")


def test_the_hash_is_keyed_blake2b_of_column_and_value():
    expected = hashlib.blake2b(b'carrier\0"UA"', key=b"secret", digest_size=16).hexdigest()
    assert Protector(b"secret", b"").hash("carrier", "UA") == f"blake2b:{expected}"
    assert Protector(b"other", b"").hash("carrier", "UA") != f"blake2b:{expected}"


def test_equal_values_are_replaced_alike_and_others_are_not():
    protector = Protector(b"secret", b"t" * 32)
    for make in (protector.hash, protector.token):
        assert make("a", 1.0) == make("a", 1.0)
        assert len({make("a", 1.0), make("a", "1.0"), make("b", 1.0)}) == 3


def test_events_are_revealed_as_they_were_sent():
    made = policies(told={"carrier": "tokenise"})
    one = batch(1, columns={**batch(1).columns, "carrier": ["UA"]})
    kept = made.apply(one)
    assert kept.columns["carrier"][0].startswith("token:")
    assert same(made.reveal(kept), one)


def test_a_token_of_another_column_or_key_is_left_as_it_is():
    made = policies(told={"carrier": "tokenise"})
    other = Protector(b"secret", b"t" * 32).token("note", "secret")
    foreign = Protector(b"secret", b"u" * 32).token("carrier", "UA")
    one = batch(1, columns={"carrier": [other, foreign, "token:x", "UA", None]})
    assert same(made.reveal(one), one)


@pytest.mark.parametrize("text", ["", "UA", "token:", "token:%%%", "token:" + "A" * 100])
def test_what_is_no_token_is_not_revealed(text):
    with pytest.raises(IntegrityError, match="no token"):
        Protector(b"s", b"t" * 32).reveal(text)


def test_only_the_holder_of_the_key_reads_a_token():
    token = Protector(b"s", b"t" * 32).token("passenger", {"name": "Ada"})
    assert "Ada" not in token
    assert Protector(b"other", b"t" * 32).reveal(token) == ("passenger", {"name": "Ada"})
    with pytest.raises(IntegrityError):
        Protector(b"s", b"u" * 32).reveal(token)


def test_what_was_not_declared_is_not_written():
    made = policies()
    with pytest.raises(RecorderError, match="nothing is known"):
        made.apply(prediction(1, bundle="cd" * 32))
    with pytest.raises(RecorderError, match="nothing is known of 'weather'"):
        made.apply(batch(1, source="weather"))


def test_of_several_versions_the_strictest_treatment_counts_for_events():
    made = policies(told={"note": "tokenise"})
    made.learn("cd" * 32, definition(told={"note": "drop"}))
    made.learn("ef" * 32, definition())
    assert "note" not in made.apply(batch(1, columns={"note": ["x"], "arr_delay": [1.0]})).columns


def test_all_forms_of_a_value_are_known():
    made = policies({"flight_id": "hash", "carrier": "tokenise"}, {"flight_id": "hash"})
    forms = made.forms("17")
    kept = made.apply(prediction(1, key="17", request={"flight_id": "17", "carrier": "17"}))
    assert {"17", kept.key, *kept.request.values()} <= forms
    assert made.apply(prediction(1, request={"carrier": 17})).request["carrier"] in forms
