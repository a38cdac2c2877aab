import json

import pytest
from tests.serving_rig import KeyTable, candidate, onnx_model
from tests.serving_runs import INFER, PREDICT, body, events_body, request, row, statuses, until

EVENT = {"flight_id": "x", "landed": 5, "carrier": "AA", "arr_delay": 4.0}


def test_what_there_is_can_be_asked_for(rig, serve, on_loop):
    rig.releases.put(rig.put(3), candidate(rig.put(4), 0.5), rig.put(1, name="other"))

    async def scenario():
        async with serve() as service:
            paths = [
                "/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/late", "/v2/models/late/versions/4",
                "/v2/models/late/ready", "/v2/models/late/versions/4/ready", "/v2/models/other/ready?verbose=1",
            ]  # fmt: skip
            return [(path, *await service.client.get(path)) for path in paths]

    found = {path: (status, json.loads(answer)) for path, status, answer in on_loop(scenario())}
    assert {status for status, _ in found.values()} == {200}
    told = {path: answer for path, (_, answer) in found.items()}
    assert told["/v2"] == told["/v2/"] == {"name": "seakeep", "version": "test", "extensions": ["binary_tensor_data"]}
    assert told["/v2/health/live"] == {"live": True}
    assert told["/v2/health/ready"] == {
        "ready": True, "draining": False, "models": {"late": [3, 4], "other": [1]}, "failed": [],
    }  # fmt: skip
    assert told["/v2/models/late"] == told["/v2/models/late/versions/4"]
    assert told["/v2/models/late"]["versions"] == ["3", "4"]
    assert told["/v2/models/late/ready"] == {"name": "late", "version": "3", "ready": True}
    assert told["/v2/models/late/versions/4/ready"] == {"name": "late", "version": "4", "ready": True}
    assert told["/v2/models/other/ready?verbose=1"]["version"] == "1"


def test_a_path_takes_what_it_is_for_and_says_so(rig, serve, on_loop):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service:
            posted = [await service.raw(request(path, b"{}")) for path in ("/v2", "/metrics", "/v2/models/late/ready")]
            got = [await service.raw(request(path, method=b"GET")) for path in (PREDICT, INFER, "/v1/events/arrivals")]
            return posted, got

    posted, got = on_loop(scenario())
    for answers, told in ((posted, b"this path takes GET"), (got, b"this path takes POST")):
        for answer in answers:
            assert statuses(answer) == [405]
            assert b"\r\nallow: GET, HEAD, POST\r\n" in answer
            assert told in answer


def test_a_model_that_could_not_be_loaded_makes_the_worker_not_ready_and_is_named(rig, serve, on_loop, caplog):
    broken = rig.put(2, name="broken")
    (rig.folder / "bundles" / broken.bundle).write_bytes(b"")
    rig.releases.put(rig.put(1), broken)

    async def scenario():
        async with serve(ready=False) as service:
            client = service.client
            asked = [await client.get("/v2/health/ready"), await client.get("/v2/health/live")]
            return (
                asked,
                await client.post(PREDICT, body(row())),
                await client.post("/v1/models/broken/predict", body(row())),
            )

    ((status, told), (live, _)), (fine, _), (unavailable, why) = on_loop(scenario())
    assert (status, live, fine, unavailable) == (503, 200, 200, 503)
    assert json.loads(told) == {
        "ready": False, "draining": False, "models": {"late": [1]},
        "failed": [{"model": "broken", "version": 2, "code": "integrity"}],
    }  # fmt: skip
    assert json.loads(why)["error"] == "model 'broken' is not loaded yet"


def test_a_worker_that_drains_is_not_ready(rig, serve, on_loop):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service, service.connect() as (reader, writer):
            await until(lambda: len(service.worker._http.connections) == 2)
            service.worker.stop()
            await until(lambda: service.worker._protocol.draining)
            writer.write(request("/v2/health/ready", method=b"GET"))
            return await reader.read()

    answer = on_loop(scenario())
    assert statuses(answer) == [503]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["draining"] is True


@pytest.mark.parametrize(
    ("sent", "key", "status", "told"),
    [
        (events_body(EVENT), "a b", 400, "idempotency key"),
        (events_body(EVENT), "k" * 201, 400, "idempotency key"),
        (events_body(), "", 400, "there are no events"),
        (events_body(*[EVENT] * 9), "", 413, "9 events are more than 8"),
        (events_body(EVENT, {"landed": 5}), "", 400, "row 1"),
        (body(EVENT), "", 400, "unknown field `rows`"),
        (b"", "", 400, "cannot be read"),
    ],
)
def test_events_that_cannot_be_taken_are_refused_with_a_reason(rig, serve, on_loop, sent, key, status, told):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve(max_rows=8) as service:
            headers = {"idempotency-key": key} if key else None
            return await service.client.post("/v1/events/arrivals", sent, headers), service.events

    (found, answer), events = on_loop(scenario())
    assert (found, events) == (status, [])
    assert told in json.loads(answer)["error"]


@pytest.mark.parametrize("length", ["x", "-1", "+5", "1e3", "", "9" * 13, "0x10", "\u0663".encode().decode("latin-1")])
def test_a_length_that_is_no_length_is_refused(rig, serve, on_loop, length):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service:
            return await service.client.post(INFER, b"{}", {"inference-header-content-length": length})

    status, answer = on_loop(scenario())
    assert status == 400
    assert "not a length" in json.loads(answer)["error"]


def test_paths_that_clients_make_up_are_not_kept_without_bound(rig, serve, on_loop):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service:
            found = {(await service.client.get(f"/v2/models/late/versions/{n}/ready"))[0] for n in range(2, 1500)}
            return found, len(service.worker._rest._routes), await service.predict()

    found, kept, answer = on_loop(scenario())
    assert found == {404}
    assert kept <= 1024
    assert answer["model_version"] == "1"


def test_a_key_is_checked_before_the_body_is_read(rig, serve, on_loop):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve(authenticator=KeyTable({b"asker": ("predict",)})) as service:
            head = request(PREDICT, bytes(1000)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            return await service.raw(head)

    answer = on_loop(scenario())
    assert statuses(answer) == [401]
    assert b"\r\nwww-authenticate: Bearer\r\n" in answer


def test_metrics_count_answers_errors_and_what_led_nowhere(rig, serve, on_loop):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service:
            client = service.client
            await service.predict(row(), row())
            await client.post(PREDICT, body(row(distance="far")))
            await client.get("/nothing")
            await client.post("/v1/events/arrivals", events_body(EVENT, EVENT))
            return (await client.get("/metrics"))[1].decode()

    page = on_loop(scenario())
    assert 'seakeep_requests_total{model="late",version="1"} 2' in page
    assert 'seakeep_rows_total{model="late",version="1"} 2' in page
    assert 'seakeep_errors_total{model="late",version="1",code="row"} 1' in page
    assert 'seakeep_errors_total{model="",version="",code="not-found"} 1' in page
    assert 'seakeep_rows_total{model="",version=""} 2' in page
    assert 'seakeep_workers{state="ready"} 1' in page


def test_a_page_of_metrics_is_rendered_once_for_all_who_ask_within_a_moment(rig, serve, on_loop, monkeypatch):
    rig.releases.put(rig.put(1))

    async def scenario():
        async with serve() as service:
            monkeypatch.setattr("seakeep.serving.rest.METRICS_S", 1000.0)
            first = (await service.client.get("/metrics"))[1]
            await service.predict(row())
            again = (await service.client.get("/metrics"))[1]
            monkeypatch.setattr("seakeep.serving.rest.METRICS_S", 0.0)
            return first, again, (await service.client.get("/metrics"))[1].decode()

    first, again, later = on_loop(scenario())
    assert first == again
    assert 'seakeep_requests_total{model="late",version="1"} 1' in later


def test_tensors_for_which_the_model_has_no_score_are_an_error_and_recorded_as_one(rig, serve, on_loop):
    rig.releases.put(rig.put(1, model=onnx_model(nan_below=50.0)))

    def tensors(distance):
        columns = (("carrier_recent.late_1h", "FP64", 1.0), ("distance", "FP64", distance), ("carrier", "BYTES", "AA"))
        inputs = [{"name": name, "datatype": kind, "shape": [1], "data": [value]} for name, kind, value in columns]
        return json.dumps({"inputs": inputs}).encode()

    async def scenario():
        async with serve() as service:
            return [
                await service.client.post(INFER, tensors(distance)) for distance in (500.0, 5.0)
            ], service.predictions

    ((fine, _), (failed, told)), records = on_loop(scenario())
    assert (fine, failed, json.loads(told)["code"]) == (200, 500, "serving")
    assert [(record.error, record.key, record.request) for record in records] == [("", "", {}), ("serving", "", {})]


def test_an_answer_of_several_versions_names_none_for_the_whole(rig, serve, on_loop):
    rig.releases.put(rig.put(1), candidate(rig.put(2), 0.5))

    async def scenario():
        async with serve() as service:
            mixed = await service.predict(*[row(f"k{n}") for n in range(40)])
            one = await service.predict(row("k1"))
            return mixed, one

    mixed, one = on_loop(scenario())
    assert mixed["model_version"] == ""
    assert {answer["version"] for answer in mixed["predictions"]} == {1, 2}
    assert one["model_version"] == str(one["predictions"][0]["version"])
