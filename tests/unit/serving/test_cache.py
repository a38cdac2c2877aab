import gc
import tracemalloc

import msgspec
import numpy as np
import pytest
from tests.serving_runs import row

from seakeep.config import ModelSettings, ServingSettings
from seakeep.serving.cache import AnswerCache, Kept, caches_of, key_of
from seakeep.serving.inference import Part
from seakeep.serving.v1 import RowAnswer


def kept(direct_inputs, since_s=0.0, rows=1):
    answers = [RowAnswer(f"id{at}", "", 0.5, True, 1, ()) for at in range(rows)]
    return Kept(direct_inputs(*[1.0] * rows), answers, since_s)


def key(text="a", bundle="b"):
    return bundle, "rows", text.encode(), ()


def test_an_answer_is_given_again_until_it_is_too_old(direct_inputs):
    cache, one = AnswerCache(5.0, 100_000), kept(direct_inputs, 100.0)
    cache.put(key(), one)
    assert cache.get(key(), 105.0) is one
    assert cache.get(key("other"), 100.0) is None
    assert cache.get(key(bundle="c"), 100.0) is None
    assert cache.get(key(), 105.1) is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_a_newer_answer_takes_the_place_of_an_older_one(direct_inputs):
    cache = AnswerCache(5.0, 100_000)
    cache.put(key(), kept(direct_inputs, 1.0))
    weight, newer = cache.bytes, kept(direct_inputs, 2.0)
    cache.put(key(), newer)
    assert cache.get(key(), 7.0) is newer
    assert (len(cache), cache.bytes) == (1, weight)


def test_memory_is_bounded_and_the_oldest_goes_first(direct_inputs):
    cache = AnswerCache(5.0, 20_000)
    for number in range(100):
        cache.put(key(str(number)), kept(direct_inputs))
        assert cache.bytes <= 20_000
    assert 5 < len(cache) < 20
    assert cache.get(key("0"), 0.0) is None
    assert cache.get(key("99"), 0.0) is not None


def test_answers_that_would_take_more_than_a_quarter_are_not_kept_and_push_nothing_out(direct_inputs):
    cache = AnswerCache(5.0, 20_000)
    cache.put(key("small"), kept(direct_inputs))
    weight = cache.bytes
    cache.put(key("large"), kept(direct_inputs, rows=20))
    cache.put(key("x" * 5_001), kept(direct_inputs))
    assert cache.get(key("large"), 0.0) is None
    assert (len(cache), cache.bytes) == (1, weight)
    cache.put(key("small"), kept(direct_inputs, rows=20))
    assert (len(cache), cache.bytes) == (0, 0)


def test_what_is_too_old_goes_when_something_newer_comes(direct_inputs):
    cache = AnswerCache(5.0, 100_000)
    for number in range(4):
        cache.put(key(str(number)), kept(direct_inputs, float(number)))
    cache.put(key("newest"), kept(direct_inputs, 7.5))
    assert len(cache) == 2
    assert cache.get(key("3"), 7.5) is not None


def test_an_entry_weighs_at_least_what_it_takes_its_decoded_rows_included(direct_inputs):
    def entry(number):
        decoded = [
            msgspec.json.decode(b'{"a": "%080d", "b": [%s], "c": {"d": %d}}' % (number, b"1.5, " * 40 + b"2", number))
        ]
        one = direct_inputs(float(number))
        one.raw, one.keys = decoded, [f"key {number}"]
        answers = [RowAnswer(f"0123456789-{number}", one.keys[0], number / 7, True, 1, ())]
        return key(f"{number:0400}"), Kept(one, answers, 0.0)

    cache = AnswerCache(5.0, 100_000_000)
    entry(0)
    tracemalloc.start()
    try:
        for number in range(300):
            cache.put(*entry(number))
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cache) == 300
    assert taken <= cache.bytes < 2 * taken


def test_only_models_that_declare_one_have_a_cache():
    settings = ServingSettings(models={"a": ModelSettings(cache_s=5), "b": ModelSettings()})
    assert list(caches_of(settings)) == ["a"]
    assert caches_of(ServingSettings()) == {}


def test_the_key_is_what_the_answer_is_computed_from(plane, rig, direct_inputs):
    one, other = plane.dataplane.traffic["late"].champion, rig.load(rig.put(2))
    calls = [
        plane.call(row()), plane.call(row()), plane.call(row(distance=501.0)), plane.call(row(), row()),
        plane.call(direct=direct_inputs(1.0)), plane.call(direct=direct_inputs(1.0)), plane.call(direct=direct_inputs(2.0)),
    ]  # fmt: skip
    keys = [key_of(Part(call, one, "champion")) for call in calls]
    assert keys[0] == keys[1]
    assert keys[4] == keys[5]
    assert len(set(keys)) == 5
    assert key_of(Part(calls[0], other, "canary")) != keys[0]
    assert key_of(Part(calls[3], one, "champion", [0])) == keys[0]


def test_numbers_whose_bytes_read_like_a_row_have_a_key_of_their_own(plane, direct_inputs):
    version = plane.dataplane.traffic["late"].champion
    sent = b'{"distance": 1.0, "hour": 5.000}'
    numbers = np.frombuffer(sent, np.float64).reshape(1, -1)
    told = direct_inputs(1.0)
    told.numbers, told.categories = numbers, np.empty((1, 0), dtype=object)
    keys = [key_of(Part(call, version, "champion")) for call in (plane.call(sent), plane.call(direct=told))]
    assert keys[0] != keys[1]


@pytest.fixture
def caching(make_plane, rig):
    plane = make_plane(models={"late": ModelSettings(cache_s=60)})
    plane.serve(rig.load(rig.put(1)))
    return plane


def asked(plane, *rows, **more):
    call = plane.ask(*rows, **more)
    plane.finish()
    return call.answers


def test_the_same_request_gets_the_same_answer_under_an_id_of_its_own_and_without_waiting(caching):
    (first,) = asked(caching, row())
    call = caching.ask(row())
    assert not caching.later  # it was answered at once
    (again,) = call.answers
    assert (again.score, again.decision, again.key, again.version) == (first.score, first.decision, "f1", 1)
    assert (again.rung, first.rung, again.id != first.id) == ("cached", "", True)
    record = caching.sink.records[1]
    assert (record.role, record.pair, record.id, record.score) == ("cached", first.id, again.id, first.score)
    np.testing.assert_array_equal(record.numbers, caching.sink.records[0].numbers)
    counted = caching.counted()["late:1"]
    assert (counted["cached"], counted["cache_missed"], counted["rows"]) == (1, 1, 2)
    assert caching.dataplane.in_flight == 0


def test_another_version_never_tells_what_the_one_before_it_said(caching, rig):
    (first,) = asked(caching, row())
    caching.serve(rig.load(rig.put(2)))
    (second,) = asked(caching, row())
    assert (second.version, second.rung, second.score != first.score) == (2, "", True)


def test_rows_of_several_versions_are_told_again_only_together(caching, rig):
    caching.serve(caching.dataplane.traffic["late"].champion, rig.load(rig.put(2)), 0.5)
    rows = [row(f"k{number}") for number in range(10)]
    first = asked(caching, *rows)
    again = asked(caching, *rows)
    assert {one.version for one in first} == {1, 2}
    assert {one.rung for one in again} == {"cached"}
    assert [(one.key, one.score, one.version) for one in again] == [(one.key, one.score, one.version) for one in first]


def test_what_failed_or_stood_in_is_not_kept(caching, monkeypatch):
    monkeypatch.setattr(caching.features, "assemble", lambda *_: 1 / 0)
    failed = caching.ask(row())
    caching.finish()
    assert failed.error.code == "features"
    monkeypatch.undo()
    assert asked(caching, row())[0].rung == ""


def test_inputs_that_a_client_sent_are_told_again_too(caching, direct_inputs):
    version = caching.dataplane.traffic["late"].champion
    for rung in ("", "cached"):
        assert asked(caching, direct=direct_inputs(5.0), version=version)[0].rung == rung
