"""Models that raise, give no number, or do not return: only the requests at fault pay, and the service heals."""

import asyncio
import json
import threading

import pytest
from tests.asking import Asker, settle
from tests.faults.test_serving_workers import owner
from tests.serving_rig import TROUBLE, Rig, candidate, expected_score, onnx_model
from tests.serving_runs import PREDICT, body, row, run, serving, supervised, until

from seakeep.conversion.session import ScoringSession
from seakeep.serving.metrics import read

BAD = 2 * TROUBLE


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


@pytest.mark.parametrize(
    ("model", "code"),
    [(onnx_model(trouble="error"), "internal"), (onnx_model(nan_below=TROUBLE), "serving")],
    ids=["raises", "gives NaN"],
)
def test_a_model_that_fails_for_some_rows_fails_only_their_requests(rig, caplog, model, code):
    """Good and bad requests are executed together; each is answered once and recorded once."""
    caplog.set_level("CRITICAL", "seakeep.serving")
    rig.releases.put(rig.put(1, model=model))

    async def scenario():
        async with serving(rig) as service:
            asked = [row(f"k{number}", BAD if number % 3 == 0 else float(number)) for number in range(60)]
            mixed = service.client.post(PREDICT, body(row("m0", 1.0), row("m1", BAD)))
            answers = await asyncio.gather(mixed, *(service.client.post(PREDICT, body(one)) for one in asked))
            assert service.worker._dataplane.in_flight == 0
            return answers, service.predictions

    (mixed, *answers), records = run(scenario())
    kept = {record.key: record for record in records}
    assert len(kept) == len(records) == 62
    assert mixed[0] == 500
    for number, (status, answer) in enumerate(answers):
        told, record = json.loads(answer), kept[f"k{number}"]
        if number % 3 == 0:
            assert (status, told["code"], record.error) == (500, code, code)
        else:
            (one,) = told["predictions"]
            assert (status, record.error, one["id"]) == (200, "", record.id)
            assert one["score"] == pytest.approx(expected_score(0.0, number, "AA"), rel=1e-14)


def given_up(service, worker):
    """Whether a worker that hangs was given up: its supervisor is made to believe that it has been silent for long."""
    seen = service._watchdog._seen
    if worker in seen:
        beat, silent_s = seen[worker]
        seen[worker] = beat, max(silent_s, service._settings.hang_s - 1)
    return worker not in {one.pid for one in service.status() if one.state == "ready"}


@pytest.mark.slow
def test_a_worker_whose_model_does_not_return_says_where_is_replaced_and_the_others_go_on(rig, capfd):
    rig.releases.put(rig.put(1, model=onnx_model(trouble="hang")))
    rig.recorder.mkdir()

    async def scenario(service):
        before = {worker.index: worker.pid for worker in service.status()}
        askers = [Asker(f"a{number}", service.port) for number in range(16)]
        poison = Asker("poison", service.port)
        for one in (poison, *askers):
            await one.connect()
            await one.ask()
        owners = {one.name: owner(one.local_port, list(before.values()), service.port) for one in (poison, *askers)}
        victim = owners["poison"]
        over = asyncio.Event()
        load = [asyncio.ensure_future(asker.go_on(over)) for asker in askers]
        poisoned = asyncio.ensure_future(poison.ask(BAD))
        await until(lambda: given_up(service, victim))
        await poisoned
        await until(lambda: [one.state for one in service.status()] == ["ready"] * 2)
        counts = {asker.name: asker.asked for asker in askers}
        await until(lambda: all(asker.asked > counts[asker.name] + 20 for asker in askers))
        over.set()
        await asyncio.gather(*load)
        return [poison, *askers], owners, victim, set(before.values())

    with supervised(rig) as service:
        askers, owners, victim, before = run(scenario(service))
        after = {worker.pid for worker in service.status()}
    assert before - after == {victim}
    assert askers[0].lost == ["poison-2"]
    assert all(len(one.lost) <= (owners[one.name] == victim) for one in askers)
    assert not any(one.refused for one in askers)
    account = settle(askers, rig.recorder)
    assert account.missing == 0, "everything that was answered before the model hung had been recorded"
    told = capfd.readouterr().err
    assert "most recent call first" in told
    assert "in score" in told, "the traceback of the worker names where it hung"


def test_a_model_that_hangs_apart_is_given_up_after_a_while_and_the_worker_ends_in_order(rig, monkeypatch, caplog):
    """Meanwhile what waits behind it stays little, and other models answer; who asked in vain is told."""
    rig.releases.put(rig.put(1), rig.put(1, name="other"))
    release, held = threading.Event(), threading.Event()

    async def scenario():
        async with serving(rig, hang_s=60) as service:
            await service.predict(row("a"))
            plane, score = service.worker._dataplane, ScoringSession.score
            queue = plane._queues["late"]
            queue._heavy = True
            late = plane.traffic["late"].champion.session

            def hanging(self, *inputs):
                if self is late and not held.is_set():
                    held.set()
                    release.wait(60)
                return score(self, *inputs)

            monkeypatch.setattr(ScoringSession, "score", hanging)
            hung = asyncio.ensure_future(service.client.post(PREDICT, body(row("hung"))))
            await until(held.is_set)
            waiting = [asyncio.ensure_future(service.client.post(PREDICT, body(row(f"w{n}")))) for n in range(3)]
            await until(lambda: len(queue) == len(waiting))
            queue._wait_s = queue._calm_s = queue._busy_until_s = (
                0.0  # the batch is late by far, and none may wait so long
            )
            refused = await service.client.post(PREDICT, body(row("refused")))
            other = await service.client.post("/v1/models/other/predict", body(row("other")))
            plane.execution._running["late"][1].seen_s = 60.0
            await until(lambda: service.worker._stop.is_set())
            return await hung, await asyncio.gather(*waiting), refused, other, service.predictions

    try:
        hung, waiting, refused, other, records = run(scenario())
    finally:
        release.set()
    assert (hung[0], json.loads(hung[1])["code"]) == (500, "internal")
    assert [status for status, _ in waiting] == [200] * 3
    assert (refused[0], other[0]) == (503, 200)
    assert {record.key: record.error for record in records} == dict.fromkeys(["a", "other", "w0", "w1", "w2"], "") | {
        "hung": "internal"
    }
    assert "late does not come back" in caplog.text


def test_a_candidate_that_hangs_in_the_shadow_holds_no_answer_and_is_counted_when_the_worker_ends(rig, monkeypatch):
    rig.releases.put(rig.put(1), candidate(rig.put(2), 0.0))
    monkeypatch.setattr("seakeep.serving.shadow.FINISH_S", 0.05)
    score, hangs, release = ScoringSession.score, asyncio.Event(), threading.Event()

    async def scenario():
        async with serving(rig) as service:
            await until(lambda: service.worker._dataplane.traffic["late"].candidate)
            other, loop = service.worker._dataplane.traffic["late"].candidate.session, asyncio.get_running_loop()

            def hanging(self, *inputs):
                if self is other:
                    loop.call_soon_threadsafe(hangs.set)
                    release.wait(60)
                return score(self, *inputs)

            monkeypatch.setattr(ScoringSession, "score", hanging)
            first = await service.predict(row("a"))
            await hangs.wait()
            answers = [first, *[await service.predict(row(key)) for key in "bcd"]]
            return answers, service.predictions

    try:
        answers, records = run(scenario())
    finally:
        release.set()
    assert [answer["predictions"][0]["version"] for answer in answers] == [1] * 4
    assert [record.role for record in records] == ["champion"] * 4
    (counted,) = [one for one in read(rig.metrics).versions if one.version == 2]
    assert counted.counters["shadow_dropped"] == 4
