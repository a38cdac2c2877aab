"""The native predict route, over a real socket."""

from __future__ import annotations

import asyncio
import json
import math

import numpy as np
import pytest
from tests.serving_rig import KeyTable, ListSink, candidate, definition, expected_score, onnx_model
from tests.serving_runs import PREDICT, body, events_body, row, until

from seakeep.serving.routing import place_of


def test_a_row_is_answered_by_name_and_recorded_completely(rig, serve, on_loop):
    rig.releases.put(rig.put(3))

    async def scenario():
        async with serve() as service:
            status, answer = await service.client.post(PREDICT, body(row()))
            assert status == 200
            return json.loads(answer), service.predictions

    answer, records = on_loop(scenario())
    (prediction,) = answer["predictions"]
    assert (answer["model_name"], answer["model_version"]) == ("late", "3")
    assert prediction["score"] == pytest.approx(expected_score(math.nan, 500, "AA", 3 / 8), rel=1e-14)
    assert prediction["decision"] is (prediction["score"] >= 0.5)
    assert prediction["unknown"] == ["carrier_recent"]
    (record,) = records
    assert (record.id, record.score, record.key) == (prediction["id"], prediction["score"], "f1")
    assert (record.role, record.pair, record.error, record.version, record.principal) == (
        "champion", "", "", 3, "anonymous",
    )  # fmt: skip
    assert record.request == row()
    assert math.isnan(record.numbers[0])
    assert (record.numbers[1], record.categories, record.feature_times_us) == (500.0, ["AA"], [0])
    assert abs(record.time_us - record.recorded_us) < 1_000_000
    stages = (record.parse_us, record.features_us, record.model_us)
    assert all(value > 0 for value in stages)
    assert record.total_us >= sum(stages)


def test_events_change_later_predictions_and_are_durable_first(rig, serve, on_loop):
    rig.releases.put(rig.put(1))
    event = {"flight_id": "x", "landed": "2013-01-01T00:00:00Z", "carrier": "AA", "arr_delay": 40.0}

    async def scenario():
        async with serve() as service:
            headers = {"idempotency-key": "batch-1"}
            first = await service.client.post("/v1/events/arrivals", events_body(event), headers)
            again = await service.client.post("/v1/events/arrivals", events_body(event), headers)
            assert service.context.events.committed == 2
            _, answer = await service.client.post(PREDICT, body(row()))
            return first, again, json.loads(answer), service.predictions[0], service.events

    first, again, answer, record, events = on_loop(scenario())
    assert first == (200, b'{"accepted":1,"duplicate":false}')
    assert again == (200, b'{"accepted":1,"duplicate":true}')
    assert answer["predictions"][0]["score"] == pytest.approx(expected_score(40, 500, "AA", 1 / 8), rel=1e-14)
    assert answer["predictions"][0]["unknown"] == []
    assert record.feature_times_us == [1356998400000000]
    assert events[0].columns["landed"] == [1356998400000000]
    assert [batch.batch for batch in events] == ["batch-1", "batch-1"]


def test_events_that_are_not_durable_are_not_acknowledged_nor_applied(rig, serve, on_loop):
    from seakeep.errors import RecorderError

    rig.releases.put(rig.put(1))
    event = {"flight_id": "x", "landed": 5, "carrier": "AA", "arr_delay": 40.0}

    async def scenario():
        async with serve() as service:
            service.context.events.fault = RecorderError("disk full: /secret/place")
            refused = await service.client.post("/v1/events/arrivals", events_body(event))
            _, answer = await service.client.post(PREDICT, body(row()))
            return refused, json.loads(answer)

    (status, told), answer = on_loop(scenario())
    assert status == 503
    assert b"secret" not in told
    assert json.loads(told)["code"] == "recorder"
    assert answer["predictions"][0]["unknown"] == ["carrier_recent"]


def test_answers_of_a_tick_are_those_of_single_requests_to_the_bit(rig, serve, on_loop):
    rig.releases.put(rig.put(1))
    rows = [row(f"k{i}", 37.7 * i, "AA" if i % 2 else "DL") for i in range(60)]

    async def scenario():
        async with serve() as service:
            alone = [(await service.client.post(PREDICT, body(one)))[1] for one in rows]
            one_call = (await service.client.post(PREDICT, body(*rows)))[1]
            requests = b"".join(
                b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b"
                % (PREDICT.encode(), len(body(one)), body(one))
                for one in rows
            )
            ticked = await service.raw(
                requests + b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            )
            return alone, one_call, ticked

    alone, one_call, ticked = on_loop(scenario())
    singles = [json.loads(answer)["predictions"][0]["score"] for answer in alone]
    assert [one["score"] for one in json.loads(one_call)["predictions"]] == singles
    found = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in ticked.split(b"HTTP/1.1 200 OK")[1:61]]
    assert [one["predictions"][0]["key"] for one in found] == [one["flight_id"] for one in rows]
    assert [one["predictions"][0]["score"] for one in found] == singles


def test_a_bad_request_fails_alone(rig, serve, on_loop):
    rig.releases.put(rig.put(1))
    good, bad = body(row("good")), body(row("fine"), row("bad", distance="far"))

    async def scenario():
        async with serve() as service:
            sent = [good, bad, good, b'{"rows": [7]}', good]
            return await asyncio.gather(*(service.client.post(PREDICT, one) for one in sent)), service.predictions

    answers, records = on_loop(scenario())
    assert [status for status, _ in answers] == [200, 400, 200, 400, 200]
    assert b"row 1" in answers[1][1]
    assert sorted(record.error for record in records) == ["", "", "", "row", "row", "row"]
    assert all(math.isnan(record.score) for record in records if record.error)


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (b"", 400, "cannot be read"),
        (b"[]", 400, "object"),
        (b"{}", 400, "rows"),
        (b'{"rows": []}', 400, "no rows"),
        (b'{"rows": [{}]}', 400, "flight_id"),
        (b'{"rows": [{"flight_id": "a"}], "extra": 1}', 400, "extra"),
        (b'{"rows": [{"flight_id": "a", "distance": NaN}]}', 400, "NaN"),
        (b'{"rows": [{"flight_id": "a", "distance": -Infinity}]}', 400, "NaN and Infinity"),
        (b'{"rows": [{"flight_id": "a", "distance": 1e999}]}', 400, "row 0"),
        (b'{"rows": [{"flight_id": "a", "distance": "5"}]}', 400, "row 0"),
        (b'{"rows": [{"flight_id": "a", "distance": true}]}', 400, "row 0"),
        (b'{"rows": [{"flight_id": 5}]}', 400, "row 0"),
        (b'{"rows": [{"flight_id": "a", "altitude": 5}]}', 400, "altitude"),
        (b'{"rows": [{"flight_id": "a", "flight_id": "b"}]}', 400, "twice"),
        (b'{"rows": [{"flight_id": "a", "\\u0066light_id": "b"}]}', 400, "twice"),
        (b'{"rows": [{"flight_id": "a"}], "rows": [{"flight_id": "b"}]}', 400, "twice"),
        (b'{"rows": [{"flight_id": "\xff"}]}', 400, ""),
        (b'{"rows": [{"flight_id": "\\ud800"}]}', 400, ""),
        (b'{"rows": [{"flight_id": "a", "scheduled": 5}]}', 400, "present moment"),
        (b'{"rows": ' + b"[" * 100_000, 400, ""),
        (b'{"rows": [{"flight_id": ' + b"[" * 5000 + b"]" * 5000 + b"}]}", 400, ""),
        (b'{"rows": [' + b",".join([b"{}"] * 300) + b"]}", 413, "300 rows"),
        (b"\x80\x04\x95\x00cposix\nsystem\n.", 400, ""),
    ],
)  # fmt: skip
def test_what_is_not_rows_is_refused_with_a_reason(rig, serve, on_loop, sent, status, told):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve(max_rows=256) as service:
            refused = await service.client.post(PREDICT, sent)
            answered = await service.client.post(PREDICT, body(row()))
            return refused, answered

    refused, answered = on_loop(scenario())
    assert refused[0] == status, refused
    assert told in json.loads(refused[1])["error"]
    assert set(json.loads(refused[1])) == {"error", "code", "hint"}
    assert answered[0] == 200


def test_a_string_with_quotation_marks_is_not_mistaken_for_a_column_twice(rig, serve, on_loop):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service:
            return await service.client.post(PREDICT, body(row('he said "hi"', carrier='\u00e9 "rows"')))

    status, answer = on_loop(scenario())
    assert status == 200
    assert json.loads(answer)["predictions"][0]["key"] == 'he said "hi"'


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/unknown/predict",
        "/v1/models/../../etc/passwd/predict",
        "/v1/models/%2e%2e%2fetc/predict",
        "/v1/models/%252e%252e/predict",
        "/v1/models/..%5c../predict",
        "/v1/models//predict",
        "/v1/models/./predict",
        "/v1/models/late%00/predict",
        "/v1/models/" + "a" * 300 + "/predict",
        "/v1/models/CON/predict",
        "/v1/models/l\u0061te\u00e9/predict".encode().decode("latin-1"),
        "/v1/events/unknown",
        "/v2/models/late/versions/9/infer",
        "/v2/models/late/versions/0/infer",
        "/v2/models/late/versions/-1/infer",
        "/v2/models/late/versions/99999999999999999999/infer",
        "/nothing",
        "/v1",
    ],
)
def test_names_that_lead_nowhere_are_not_found(rig, serve, on_loop, path):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service:
            request = (
                b"POST %b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 13\r\n\r\n"
                b'{"rows":[{}]}' % path.encode("latin-1")
            )
            return await service.raw(request)

    answer = on_loop(scenario())
    assert answer.split()[1] in {b"404", b"400"}, answer
    assert b"/tmp" not in answer


def test_a_moment_is_needed_when_rows_bring_their_own(rig, serve, on_loop):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve(clock="request") as service:
            without = await service.client.post(PREDICT, body(row(scheduled="2013-07-01T00:00:00Z"), row()))
            given = await service.client.post(PREDICT, body(row(scheduled="2013-07-01T00:00:00Z")))
            return without, given, service.predictions[-1]

    (status, told), (fine, _), record = on_loop(scenario())
    assert status == 400
    assert "row 1 has no 'scheduled'" in json.loads(told)["error"]
    assert fine == 200
    assert record.time_us == 1372636800000000


def test_a_score_that_is_no_number_fails_its_request_only(rig, serve, on_loop):
    rig.releases.put(rig.put(1, model=onnx_model(nan_below=100.0)))

    async def scenario():
        async with serve() as service:
            sent = [body(row("a", 500.0)), body(row("b", 50.0)), body(row("c", 500.0))]
            return await asyncio.gather(*(service.client.post(PREDICT, one) for one in sent)), service.predictions

    answers, records = on_loop(scenario())
    assert [status for status, _ in answers] == [200, 500, 200]
    assert {record.key: record.error for record in records} == {"a": "", "b": "serving", "c": ""}


def test_a_store_that_fails_is_told_without_telling_where(rig, serve, on_loop, monkeypatch):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service:

            def broken(*_):
                raise ZeroDivisionError("/home/secret")

            monkeypatch.setattr(service.context.features, "assemble", broken)
            return await service.client.post(PREDICT, body(row())), service.predictions

    (status, told), records = on_loop(scenario())
    assert status == 503
    assert b"secret" not in told
    assert [record.error for record in records] == ["features"]


def test_dropped_records_are_counted_and_harm_no_request(rig, serve, on_loop):
    rig.releases.put(rig.put(1))
    sink = ListSink()
    sink.full = True

    async def scenario():
        async with serve(predictions=sink) as service:
            answer = await service.client.post(PREDICT, body(row()))
            return answer, await service.client.get("/metrics")

    (status, _), (_, metrics) = on_loop(scenario())
    assert status == 200
    assert b'seakeep_recorder_gaps_total{model="late",version="1"} 1' in metrics


def test_more_in_flight_than_allowed_is_refused_at_once(rig, serve, on_loop):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve(max_in_flight=2) as service:
            one = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (
                PREDICT.encode(), len(body(row())), body(row()),
            )  # fmt: skip
            answers = await service.raw(one * 5 + one.replace(b"localhost\r\n", b"localhost\r\nconnection: close\r\n"))
            return answers, await service.client.post(PREDICT, body(row()))

    answers, (after, _) = on_loop(scenario())
    statuses = [part.split()[0] for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200"] * 2 + [b"503"] * 4
    assert answers.count(b"retry-after: 1") == 4
    assert after == 200


class TestCanary:
    def test_a_row_goes_where_its_key_says_and_the_other_version_follows_in_the_shadow(self, rig, serve, on_loop):
        first, second = rig.put(1), rig.put(2)
        rig.releases.put(first, candidate(second, 0.3))
        keys = [f"flight-{number}" for number in range(200)]
        answers, records = on_loop(self._ask(serve, keys))
        expected = {key: 2 if place_of(key, model="late", version=2) < 0.3 else 1 for key in keys}
        assert {one["key"]: one["version"] for one in answers["predictions"]} == expected
        assert [one["key"] for one in answers["predictions"]] == keys
        assert answers["model_version"] == ""
        answered = {record.id: record for record in records if record.role != "shadow"}
        shadows = [record for record in records if record.role == "shadow"]
        assert len(answered) == len(shadows) == 200
        for shadow in shadows:
            twin = answered[shadow.pair]
            assert (shadow.key, shadow.version, shadow.categories) == (twin.key, 3 - twin.version, twin.categories)
            np.testing.assert_array_equal(shadow.numbers, twin.numbers)
            assert (shadow.time_us, shadow.request) == (twin.time_us, twin.request)
            assert shadow.score == pytest.approx(expected_score(math.nan, 500, "AA", shadow.version / 8), rel=1e-14)
        assert {record.role for record in answered.values() if record.version == 2} == {"canary"}

    def test_a_candidate_of_another_definition_gets_inputs_of_its_own(self, rig, serve, on_loop):
        first = rig.put(1)
        rig.releases.put(first, candidate(rig.put(2, of=definition(version=2)), 0.5))
        _, records = on_loop(self._ask(serve, [f"k{number}" for number in range(20)]))
        shadows = [record for record in records if record.role == "shadow"]
        assert len(shadows) == 20
        assert all(not record.error and math.isfinite(record.score) for record in shadows)

    def test_a_candidate_that_fails_in_the_shadow_is_recorded_with_its_error(self, rig, serve, on_loop):
        first = rig.put(1)
        rig.releases.put(first, candidate(rig.put(2, model=onnx_model(nan_below=1e9)), 0.0))
        answers, records = on_loop(self._ask(serve, ["a", "b"]))
        assert answers["model_version"] == "1"
        assert [record.error for record in records if record.role == "shadow"] == ["serving"] * 2

    def test_a_bad_row_is_named_by_its_place_in_the_request(self, rig, serve, on_loop):
        rig.releases.put(rig.put(1), candidate(rig.put(2), 0.5))

        async def scenario():
            async with serve() as service:
                rows = [row(f"k{number}") for number in range(20)]
                rows[13]["distance"] = "far"
                return await service.client.post(PREDICT, body(*rows))

        status, told = on_loop(scenario())
        assert status == 400
        assert "row 13" in json.loads(told)["error"]

    @staticmethod
    async def _ask(serve, keys):
        async with serve() as service:
            status, answer = await service.client.post(PREDICT, body(*[row(key) for key in keys]))
            assert status == 200
            await until(lambda: sum(record.role == "shadow" for record in service.predictions) == len(keys))
            return json.loads(answer), list(service.predictions)


def test_keys_decide_who_may_do_what(rig, serve, on_loop):
    rig.releases.put(rig.put(1))
    table = KeyTable({b"asker": ("predict",), b"watcher": ("metrics",)})

    async def scenario():
        async with serve(authenticator=table) as service:
            client = service.client

            async def ask(path, key=None, *, post=False):
                headers = {"authorization": f"Bearer {key}"} if key else {}
                found = await (client.post(path, body(row()), headers) if post else client.get(path, headers))
                return found[0]

            return (
                [await ask(PREDICT, key, post=True) for key in (None, "wrong", "watcher", "asker")],
                [await ask("/v1/events/arrivals", key, post=True) for key in (None, "asker")],
                [await ask("/metrics", key) for key in (None, "asker", "watcher")],
                [await ask(path) for path in ("/v2", "/v2/models/late", "/v2/models/late/ready")],
                [await ask(path) for path in ("/v2/health/live", "/v2/health/ready")],
                service.predictions[0].principal,
            )

    predict, events, metrics, metadata, health, principal = on_loop(scenario())
    assert predict == [401, 401, 401, 200]
    assert events == [401, 401]
    assert metrics == [401, 401, 200]
    assert metadata == [401] * 3
    assert health == [200, 200]
    assert principal == "asker"
