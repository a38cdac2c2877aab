import hashlib

import pytest
from tests.recording import prediction, same

from seakeep.config import RecorderSettings
from seakeep.recorder.policy import Policy


def policy(**settings) -> Policy:
    return Policy(RecorderSettings(**settings), b"secret")


def test_without_rules_a_prediction_passes_unchanged():
    one = prediction(1)
    assert policy().apply(one) is one


def test_dropped_columns_are_gone_and_hashed_ones_cannot_be_read():
    kept = policy(drop=("distance",), hash=("carrier",)).apply(prediction(1))
    assert kept.request == {"carrier": kept.request["carrier"], "stops": 0, "note": None}
    assert kept.request["carrier"].startswith("blake2b:")
    assert "UA" not in kept.request["carrier"]
    assert same(policy().apply(prediction(1)), prediction(1))


def test_the_hash_is_keyed_blake2b_of_column_and_value():
    expected = hashlib.blake2b(b'carrier\0"UA"', key=b"secret", digest_size=16).hexdigest()
    assert policy(hash=("carrier",)).request({"carrier": "UA"}) == {"carrier": f"blake2b:{expected}"}


def test_equal_values_hash_alike_and_others_do_not():
    hashed = policy(hash=("a", "b"))
    first, again = hashed.request({"a": 1.0, "b": 1.0}), hashed.request({"a": 1.0, "b": "1.0"})
    assert first["a"] == again["a"]
    assert len({first["a"], first["b"], again["b"]}) == 3


def test_another_key_gives_another_hash():
    rules = RecorderSettings(hash=("a",))
    assert Policy(rules, b"one").request({"a": 1}) != Policy(rules, b"two").request({"a": 1})


def test_a_missing_value_stays_missing():
    assert policy(hash=("note",)).request({"note": None}) == {"note": None}


def test_hashing_without_a_key_is_refused():
    with pytest.raises(ValueError, match="secret"):
        Policy(RecorderSettings(hash=("a",)))
