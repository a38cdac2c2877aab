"""More than can be answered in time: what clients see of deadlines, classes, shedding, the ladder and the cache."""

import asyncio
import contextlib
import json
import math
import threading

import msgspec
import pytest
from tests.serving_rig import FileFeatures, KeyTable, Rig, definition, expected_score, onnx_model
from tests.serving_runs import INFER, PATIENT_MS, PREDICT, body, request, row, run, serving, statuses, until

from seakeep.config import KeySettings, ModelSettings
from seakeep.errors import FeaturesError
from seakeep.records.expression import as_node, col

TENSORS = [
    {"name": "carrier_recent.late_1h", "datatype": "FP64", "shape": [1], "data": [1.0]},
    {"name": "distance", "datatype": "FP64", "shape": [1], "data": [500.0]},
    {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["AA"]},
]
TIMEOUT = "x-envoy-expected-rq-timeout-ms"


def infer(**parameters):
    return json.dumps({"inputs": TENSORS, "parameters": parameters}).encode()


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.releases.put(rig.put(1))
    return rig


def hold(service):
    """Let calls wait until the function returned is called."""
    dataplane, turns = service.worker._dataplane, []
    defer, dataplane._defer = dataplane._defer, turns.append
    dataplane._worked_s = math.inf  # nor does turning others away give them a turn

    def go():
        dataplane._defer, dataplane._worked_s = defer, 0.0
        for turn in turns:
            turn()

    return go


class TestDeadlines:
    @pytest.mark.parametrize(
        ("path", "sent", "lines"),
        [
            (PREDICT, body(row()), [TIMEOUT.encode() + b": 1"]),
            (INFER, infer(), [TIMEOUT.encode() + b": 1"]),
            (INFER, infer(timeout=1000), []),
            (INFER, infer(timeout=1000), [TIMEOUT.encode() + b": 60000"]),
        ],
        ids=["rows", "tensors", "parameter", "the shorter of two"],
    )
    def test_a_request_whose_time_is_over_is_not_executed(self, rig, path, sent, lines):
        async def scenario():
            async with serving(rig) as service, service.connect() as (reader, writer):
                go = hold(service)
                writer.write(request(path, sent, *lines))
                await until(lambda: service.worker._dataplane.in_flight == 1)
                await asyncio.sleep(0.005)
                go()
                head = await reader.readuntil(b"\r\n\r\n")
                told = json.loads(await reader.readuntil(b"}"))
                fine = await service.predict()
                return head, told, fine, service.predictions

        head, told, fine, records = run(scenario())
        assert statuses(head) == [504]
        assert told["code"] == "deadline"
        assert [record.id for record in records] == [fine["predictions"][0]["id"]]

    @pytest.mark.parametrize("time", ["0", "60000"])
    def test_a_request_with_time_left_is_answered(self, rig, time):
        async def scenario():
            async with serving(rig) as service:
                rows = await service.client.post(PREDICT, body(row()), {TIMEOUT: time})
                return rows, await service.client.post(INFER, infer(timeout=int(time) * 1000), {TIMEOUT: time})

        assert [status for status, _ in run(scenario())] == [200, 200]

    @pytest.mark.parametrize("sent", ["soon", "-5", "1.5"])
    def test_a_time_that_is_none_is_the_client_s_fault(self, rig, sent):
        async def scenario():
            async with serving(rig) as service:
                rows = await service.client.post(PREDICT, body(row()), {TIMEOUT: sent})
                tensors = infer(timeout=sent if sent == "soon" else float(sent))
                return rows, await service.client.post(INFER, tensors)

        assert [status for status, _ in run(scenario())] == [400, 400]

    def test_a_second_deadline_is_refused(self, rig):
        async def scenario():
            async with serving(rig) as service:
                line = TIMEOUT.encode() + b": 5"
                twice = infer(timeout=5).replace(b'"timeout"', b'"timeout": 9, "timeout"')
                return await service.raw(request(PREDICT, body(row()), line, line)), await service.client.post(
                    INFER, twice
                )

        by_header, (by_parameter, told) = run(scenario())
        assert statuses(by_header) == [400]
        assert by_parameter == 400
        assert "is there twice" in json.loads(told)["error"]

    def test_a_model_s_default_holds_where_a_client_names_none(self, rig):
        rig.releases.put(rig.put(1), rig.put(1, name="patient"))

        async def scenario():
            models = {"late": ModelSettings(deadline_ms=1)}
            async with serving(rig, models=models) as service, contextlib.AsyncExitStack() as stack:
                go, answers = hold(service), []
                for model in ("late", "patient"):
                    reader, writer = await stack.enter_async_context(service.connect())
                    writer.write(request(f"/v1/models/{model}/predict", body(row()), b"connection: close"))
                    answers.append(reader)
                await until(lambda: service.worker._dataplane.in_flight == 2)
                await asyncio.sleep(0.005)
                go()
                return [statuses(await reader.read()) for reader in answers]

        assert run(scenario()) == [[504], [200]]


PRIORITY = "seakeep-priority"
KEYS = {
    "shop": KeySettings(priority="critical"),
    "batch": KeySettings(priority="sheddable"),
    "page": KeySettings(rows_per_second=2),
}
HEAVY = 1.0
"""Seconds that a row is believed to take: one that waits is too many."""


def known(keys=("shop", "page", "batch")):
    return KeyTable({key.encode(): ("predict", "metrics") for key in keys})


async def ask(service, key, path=PREDICT, sent=None, **headers):
    """The status, the headers that matter and what was told."""
    lines = [f"{name}: {value}".encode() for name, value in headers.items()]
    lines += [b"authorization: Bearer " + key.encode(), b"connection: close"]
    answer = await service.raw(request(path, sent or body(row()), *lines))
    head, _, told = answer.partition(b"\r\n\r\n")
    retry = head.lower().partition(b"retry-after: ")[2].partition(b"\r\n")[0]
    return statuses(answer)[0], int(retry or 0), json.loads(told)


async def standing(service, stack, *askers):
    """Requests that wait, long enough to be a standing queue; each an answer to come."""
    answers, waiting = [], service.worker._dataplane.in_flight
    for number, (key, lines) in enumerate(askers, 1):
        reader, writer = await stack.enter_async_context(service.connect())
        head = [b"authorization: Bearer " + key.encode(), b"connection: close", *lines]
        writer.write(request(PREDICT, body(row(f"{key}-{number}")), *head))
        await until(lambda number=number: service.worker._dataplane.in_flight == waiting + number)
        answers.append(asyncio.ensure_future(reader.read()))
    service.worker._dataplane._queues["late"].row_s = HEAVY
    await asyncio.sleep(0.005)
    return answers


class TestShedding:
    def test_lower_classes_are_turned_away_first_and_a_stranger_cannot_jump_the_queue(self, rig):
        async def scenario():
            async with (
                serving(rig, keys=KEYS, queue_ms=10, authenticator=known()) as service,
                contextlib.AsyncExitStack() as stack,
            ):
                go = hold(service)
                waiting = await standing(service, stack, ("page", []))
                refused = [
                    await ask(service, "batch", **{PRIORITY: "critical"}),
                    await ask(service, "page", **{PRIORITY: "critical"}),
                    await ask(service, "page", INFER, infer(priority=1)),
                    await ask(service, "shop"),
                ]
                waiting.append(asyncio.ensure_future(ask(service, "shop", **{PRIORITY: "critical"})))
                await until(lambda: service.worker._dataplane.in_flight == 2)
                service.worker._dataplane._queues["late"].row_s = 0.006  # one critical row may wait, two rows may not
                refused.append(await ask(service, "page", INFER, infer(priority=1)))
                waiting.append(asyncio.ensure_future(ask(service, "shop", INFER, infer(priority=1))))
                await until(lambda: service.worker._dataplane.in_flight == 3)
                go()
                return refused, await asyncio.gather(*waiting), service.predictions

        refused, (first, rows, tensors), records = run(scenario())
        assert {(status, told["code"]) for status, _, told in refused} == {(503, "unavailable")}
        assert all(retry >= 1 for _, retry, _ in refused)
        assert (statuses(first), rows[0], tensors[0]) == ([200], 200, 200)
        assert [record.principal for record in records if record.key] == [
            "shop",
            "page",
        ]  # in the order of their classes

    def test_the_time_to_come_back_is_that_of_the_queue(self, rig):
        async def scenario():
            async with serving(rig, queue_ms=10) as service, contextlib.AsyncExitStack() as stack:
                go = hold(service)
                await standing(service, stack, *[("anybody", [])] * 3)
                told = [(await ask(service, "x"))[1] for _ in range(4)]
                go()
                return told

        told = run(scenario())
        assert told[0] >= 3
        assert told == sorted(told)
        assert told[-1] > told[0]

    def test_one_that_waits_gives_way_to_a_higher_class_when_there_is_no_room(self, rig):
        async def scenario():
            async with (
                serving(rig, keys=KEYS, max_in_flight=2, authenticator=known()) as service,
                contextlib.AsyncExitStack() as stack,
            ):
                go = hold(service)
                low, normal = await standing(service, stack, ("batch", []), ("page", []))
                service.worker._dataplane._queues["late"].row_s = 0.0
                equal = await ask(service, "batch")
                higher = asyncio.ensure_future(ask(service, "shop", **{PRIORITY: "critical"}))
                given_way = await low
                go()
                return equal, given_way, await higher, await normal

        equal, given_way, higher, normal = run(scenario())
        assert (equal[0], statuses(given_way), higher[0], statuses(normal)) == (503, [503], 200, [200])
        assert b"\r\nretry-after: " in given_way

    def test_a_key_that_has_used_up_its_quota_is_told_so_and_others_are_not_hurt(self, rig):
        async def scenario():
            async with serving(rig, keys=KEYS, authenticator=known()) as service:
                asked = [await ask(service, "page", sent=body(*[row()] * 200)) for _ in range(2)]
                tensors = await ask(service, "page", INFER, infer())
                metrics = await service.raw(
                    request("/metrics", b"", b"authorization: Bearer page", b"connection: close", method=b"GET")
                )
                return asked, tensors, await ask(service, "shop"), metrics

        (taken, held), tensors, other, metrics = run(scenario())
        assert (taken[0], held[0], tensors[0], other[0]) == (200, 429, 429, 200)
        assert held[2]["code"] == "quota"
        assert 90 <= held[1] <= 99
        assert "2 rows a second" in held[2]["error"]
        assert b'seakeep_errors_total{model="",version="",code="quota"} 2' in metrics

    @pytest.mark.parametrize("asked", [{"priority": -1}, {"priority": "high"}, {"priority": 2**32}])
    def test_a_class_that_there_is_not_is_the_client_s_fault(self, rig, asked):
        async def scenario():
            async with serving(rig) as service:
                return await service.client.post(INFER, infer(**asked)), await ask(service, "x", **{PRIORITY: "urgent"})

        (tensors, _), rows = run(scenario())
        assert (tensors, rows[0]) == (400, 400)


def test_a_model_that_would_hold_the_loop_works_apart_and_the_loop_goes_on(rig):
    """While its batch is executed the others are answered, who waits too long is told so, and what came is the next batch."""

    async def scenario():
        async with serving(rig) as service, contextlib.AsyncExitStack() as stack:
            await service.predict()
            plane = service.worker._dataplane
            plane._queues["late"]._heavy = True
            gate, execute, sizes = threading.Event(), plane._runner.run, []

            def slow(version, parts):
                sizes.append(len(parts))
                gate.wait(30)
                return execute(version, parts)

            plane._runner.run = slow
            answers = []
            for number, lines in enumerate([[], [], [TIMEOUT.encode() + b": 20"]]):
                reader, writer = await stack.enter_async_context(service.connect())
                writer.write(request(PREDICT, body(row(f"k{number}")), b"connection: close", *lines))
                answers.append(asyncio.ensure_future(reader.read()))
                if not lines:  # one with so little time may be told before anybody has looked
                    await until(lambda number=number: plane.in_flight == number + 1 and plane._queues["late"].busy)
            live = await service.client.get("/v2/health/live")
            late = await answers[2]
            gate.set()
            done = await asyncio.gather(*answers[:2])
            return live, late, done, sizes, service.predictions

    live, late, done, sizes, records = run(scenario())
    assert live[0] == 200
    assert statuses(late) == [504]
    assert [statuses(answer) for answer in done] == [[200], [200]]
    assert sizes == [1, 1]
    assert [record.key for record in records] == ["f1", "k0", "k1"]
    assert [record.error for record in records] == [""] * 3


def test_one_whose_time_is_over_in_a_batch_that_hangs_is_told_so_at_once(rig):
    async def scenario():
        async with serving(rig) as service:
            await service.predict()
            plane = service.worker._dataplane
            plane._queues["late"]._heavy = True
            gate, execute = threading.Event(), plane._runner.run
            plane._runner.run = lambda version, parts: gate.wait(30) and execute(version, parts)
            told = await ask(service, "x", **{TIMEOUT: "500"})
            waiting = plane.in_flight
            gate.set()
            await until(lambda: len(service.predictions) == 2)
            return told, waiting, plane.in_flight, service.predictions[1]

    told, waiting, after, record = run(scenario())
    assert (told[0], waiting, after) == (504, 0, 0)
    assert record.error == "deadline"


class Hanging(FileFeatures):
    """Features that can be made to hang or to fail, and that remember what they gave."""

    def __init__(self, path):
        super().__init__(path)
        self.gate, self.fails, self.remembered, self.asked_age_s = threading.Event(), False, {}, []
        self.gate.set()

    def assemble(self, definition, table, times_us):
        assert self.gate.wait(30)
        if self.fails:
            raise ConnectionError("the store is gone")
        found = super().assemble(definition, table, times_us)
        self.remembered.update(zip(table["carrier"].tolist(), found.numbers[:, 0].tolist(), strict=True))
        return found

    def recall(self, definition, table, times_us, most_age_s):
        self.asked_age_s.append(most_age_s)
        if not set(table["carrier"].tolist()) <= self.remembered.keys():
            raise FeaturesError("not remembered")
        return super().assemble(definition, table, times_us)


RULE = ModelSettings(features_ms=PATIENT_MS)
STALE = ModelSettings(features_ms=PATIENT_MS, stale_s=60)


@contextlib.contextmanager
def impatient(service):
    """For a while, lookups may take next to no time; otherwise they are waited for, however slow the machine is."""
    limits = service.worker._dataplane.execution._stand_ins._limits_s
    before, limits["late"] = limits["late"], 0.03
    yield
    limits["late"] = before


def ruled(name="late"):
    return msgspec.structs.replace(definition(name), rule=as_node(col("distance") / 1000))


class TestLadder:
    @pytest.fixture
    def features(self, rig):
        return Hanging(rig.folder / "features.jsonl")

    @pytest.fixture
    def rules(self, rig):
        rig.releases.put(rig.put(1, of=ruled()))

    @pytest.mark.parametrize("how", ["hangs", "fails"])
    def test_a_store_that_does_not_answer_is_stood_in_for_by_older_features_and_then_by_the_rule(
        self, rig, rules, features, how
    ):
        async def scenario():
            models = {"late": STALE}
            async with serving(rig, models=models, features=features) as service:
                full = await service.predict(row("full"))
                if how == "hangs":
                    features.gate.clear()
                features.fails = True
                with impatient(service):
                    found = [await service.predict(row("stale")), await service.predict(row("rule", 300.0, "DL"))]
                live, _ = await service.client.get("/v2/health/live")
                direct = await service.client.post(INFER, infer())
                features.fails = False
                features.gate.set()
                await until(lambda: not service.worker._dataplane._queues["late"].stuck)
                after = await service.predict(row("after", 300.0, "DL"))
                metrics = await service.client.get("/metrics")
                return [full, *found, after], live, direct, metrics[1], service.predictions

        answers, live, direct, metrics, records = run(scenario())
        told = [answer["predictions"][0] for answer in answers]
        assert [one.get("rung", "") for one in told] == ["", "stale", "rule", ""]
        assert told[1]["score"] == told[0]["score"]
        assert (told[2]["score"], told[2]["decision"]) == (0.3, False)
        assert (live, direct[0]) == (200, 200)
        assert features.asked_age_s[0] == 60
        by_key = {(record.key, record.role): record for record in records}
        assert by_key["rule", "rule"].numbers == []
        assert by_key["rule", "rule"].pair == by_key["rule", "champion"].id
        assert by_key["rule", "champion"].error == "features"
        assert by_key["stale", "stale"].numbers[1] == 500.0
        assert {by_key[key].id for key in (("rule", "rule"), ("stale", "stale"))} == {told[1]["id"], told[2]["id"]}
        assert b'seakeep_rule_rows_total{model="late",version="1"} 1' in metrics
        assert b'seakeep_stale_rows_total{model="late",version="1"} 1' in metrics

    def test_without_a_rung_a_store_that_hangs_is_told_and_holds_nobody_else(self, rig, features):
        rig.releases.put(rig.put(1), rig.put(1, name="other"))

        async def scenario():
            async with serving(rig, models={"late": RULE}, features=features) as service:
                await service.predict()
                features.gate.clear()
                with impatient(service):
                    told = [await service.client.post(PREDICT, body(row())) for _ in range(3)]
                pinned = await service.client.post("/v2/models/other/infer", infer())
                features.gate.set()
                await until(lambda: not service.worker._dataplane._queues["late"].stuck)
                return told, pinned, await service.predict()

        told, pinned, after = run(scenario())
        assert [status for status, _ in told] == [503] * 3
        assert {json.loads(answer)["code"] for _, answer in told} == {"features"}
        assert pinned[0] == 200
        assert "rung" not in after["predictions"][0]

    def test_half_the_time_that_a_client_gives_is_kept_for_what_stands_in(self, rig, rules, features):
        async def scenario():
            models = {"late": ModelSettings(features_ms=20_000)}
            async with serving(rig, models=models, features=features) as service:
                features.gate.clear()
                found = await service.client.post(PREDICT, body(row()), {TIMEOUT: "1500"})
                features.gate.set()
                return found

        status, told = run(scenario())
        assert status == 200
        assert json.loads(told)["predictions"][0]["rung"] == "rule"

    @pytest.mark.parametrize("standby", [True, False])
    def test_a_model_that_fails_is_stood_in_for_by_the_smaller_version_or_the_rule(self, rig, standby):
        broken = rig.put(1, of=ruled(), model=onnx_model(nan_below=1000.0))
        smaller = msgspec.structs.replace(rig.put(2), role="standby", weight=0.0)
        rig.releases.put(broken, *([smaller] if standby else []))

        async def scenario():
            async with serving(rig) as service:
                rows = await service.predict(row("bad", 500.0))
                fine = await service.predict(row("good", 2000.0))
                wrong = await service.client.post(PREDICT, body(row("bad", "far")))
                tensors = await service.client.post(INFER, infer())
                return rows, fine, wrong, tensors, service.predictions

        rows, fine, wrong, tensors, records = run(scenario())
        (told,) = rows["predictions"]
        assert "rung" not in fine["predictions"][0]
        assert wrong[0] == 400
        attempt, answer = (one for one in records if one.key == "bad" and one.error != "row")
        assert (attempt.error, attempt.role, answer.error, answer.pair) == ("serving", "champion", "", attempt.id)
        if standby:
            expected = expected_score(math.nan, 500, "AA", 2 / 8)
            assert (told["rung"], told["version"], rows["model_version"]) == ("standby", 2, "2")
            assert told["score"] == pytest.approx(expected, rel=1e-14)
            assert (answer.role, answer.version) == ("standby", 2)
            found = json.loads(tensors[1])
            assert (tensors[0], found["model_version"], found["parameters"]["rung"]) == (200, "2", "standby")
        else:
            assert (told["rung"], told["version"], told["score"]) == ("rule", 1, 0.5)
            assert tensors[0] == 500  # it brings the inputs: there is no row for the rule to read

    def test_where_too_much_is_asked_the_rule_answers_in_the_place_of_a_refusal(self, rig, rules):
        async def scenario():
            async with serving(rig, queue_ms=10) as service, contextlib.AsyncExitStack() as stack:
                go = hold(service)
                (first,) = await standing(service, stack, ("anybody", []))
                waiting = asyncio.ensure_future(ask(service, "x"))
                await until(lambda: service.worker._dataplane.in_flight == 2)
                tensors = await ask(service, "x", INFER, infer())
                go()
                return await first, await waiting, tensors

        first, (status, _, told), tensors = run(scenario())
        assert (statuses(first), status, told["predictions"][0]["rung"]) == ([200], 200, "rule")
        assert tensors[0] == 503


class TestCache:
    def test_a_request_that_comes_again_is_told_again_but_not_beyond_its_time_nor_a_switch(self, rig, monkeypatch):
        async def scenario():
            models = {"late": ModelSettings(cache_s=30)}
            async with serving(rig, models=models) as service:
                found = [await service.predict(row("a")) for _ in range(3)]
                found.append(await service.predict(row("b")))
                tensors = [json.loads((await service.client.post(INFER, infer()))[1]) for _ in range(2)]
                cache = service.worker._dataplane._caches["late"]
                monkeypatch.setattr(cache, "_stale_s", -1.0)
                found.append(await service.predict(row("a")))
                monkeypatch.setattr(cache, "_stale_s", 30.0)
                rig.releases.put(rig.put(2))
                await until(lambda: service.worker._dataplane.traffic["late"].champion.number == 2)
                found.append(await service.predict(row("a")))
                metrics = (await service.client.get("/metrics"))[1]
                return found, tensors, metrics, service.predictions

        found, tensors, metrics, records = run(scenario())
        told = [answer["predictions"][0] for answer in found]
        assert [one.get("rung", "") for one in told] == ["", "cached", "cached", "", "", ""]
        assert [one["version"] for one in told] == [1, 1, 1, 1, 1, 2]
        assert len({one["id"] for one in told}) == 6
        assert {one["score"] for one in told[:5]} == {told[0]["score"]}
        assert told[5]["score"] != told[0]["score"]
        assert [one["parameters"].get("rung") for one in tensors] == [None, "cached"]
        assert [record.id for record in records if record.role == "cached"][:2] == [told[1]["id"], told[2]["id"]]
        assert {record.pair for record in records if record.role == "cached" and record.key} == {told[0]["id"]}
        assert b'seakeep_cached_rows_total{model="late",version="1"} 3' in metrics
        assert b'seakeep_cache_missed_rows_total{model="late",version="1"} 4' in metrics
        assert b'seakeep_cache_missed_rows_total{model="late",version="2"} 1' in metrics

    def test_what_is_kept_is_told_though_too_much_is_asked(self, rig):
        async def scenario():
            models = {"late": ModelSettings(cache_s=30)}
            async with serving(rig, queue_ms=10, models=models) as service, contextlib.AsyncExitStack() as stack:
                await service.predict(row("known"))
                go = hold(service)
                await standing(service, stack, ("anybody", []))
                again, other = await service.predict(row("known")), await ask(service, "x", sent=body(row("other")))
                go()
                return again, other

        again, other = run(scenario())
        assert again["predictions"][0]["rung"] == "cached"
        assert other[0] == 503


def test_in_an_a_b_test_the_same_customer_gets_the_same_version_from_every_worker_for_as_long_as_it_lasts(rig):
    other = msgspec.structs.replace(rig.put(2), role="candidate", weight=0.5, held=True, by="carrier")
    rig.releases.put(rig.put(1), other)
    carriers = [f"C{number}" for number in range(20)]

    async def asked():
        async with serving(rig) as service:
            answers = [await service.predict(*[row(f"{n}-{one}", carrier=one) for one in carriers]) for n in range(2)]
            await until(lambda: not service.worker._shadow.waiting)
            return [[one["version"] for one in told["predictions"]] for told in answers], service.predictions

    first, records = run(asked())
    again, _ = run(asked())  # another worker
    assert first == again
    assert first[0] == first[1]
    assert set(first[0]) == {1, 2}
    pairs = [record for record in records if record.role == "shadow"]
    assert len(pairs) == 2 * len(carriers)  # both versions score every request: what they say compares, pair by pair
