"""Native models that crash, hang, exit or refuse: only the calls in them pay, the worker and the other models go on."""

import asyncio
import json
import os
import signal
import threading

import pytest
from tests.serving_rig import Rig, candidate, expected_score
from tests.serving_runs import PREDICT, body, row, run, serving, until
from tests.strange_model import PROGRAM, strange_model

from seakeep.conversion import nativesession, process
from seakeep.serving.metrics import read

OTHER = "/v1/models/other/predict"


@pytest.fixture
def rig(tmp_path, monkeypatch):
    """A natively served champion, and another model that the engine executes."""
    monkeypatch.setattr(process, "PROGRAM", PROGRAM)
    monkeypatch.setattr(nativesession, "FIRST_WAIT_S", 0.01)
    made = Rig(tmp_path)
    made.releases.put(made.put(1, model=strange_model()), made.put(1, name="other"))
    return made


def state(service):
    return service.worker._dataplane.traffic["late"].champion.session.state


async def recovered(service):
    """A row's score once the process was started again."""
    await until(lambda: state(service).pid)
    (one,) = (await service.predict(row("later")))["predictions"]
    return one["score"]


async def ask(service, path=PREDICT, **asked):
    status, answer = await service.client.post(path, body(row(**asked)))
    return status, json.loads(answer)


@pytest.mark.parametrize("what", ["die", "exit"])
def test_a_crash_fails_the_calls_in_it_and_nothing_else(rig, caplog, what):
    caplog.set_level("CRITICAL", "seakeep.serving")

    async def scenario():
        async with serving(rig) as service:
            before = state(service).pid
            crashed = await ask(service, key="poison", carrier=what)
            other = await ask(service, OTHER, key="other")
            score = await recovered(service)
            assert not service.worker._stop.is_set()
            service.worker._report()
            return before, state(service), crashed, other, score, service.predictions

    before, after, crashed, other, score, records = run(scenario())
    assert (crashed[0], crashed[1]["code"]) == (500, "crashed")
    assert "ended while it answered" in crashed[1]["error"]
    assert other[0] == 200
    assert score == pytest.approx(expected_score(0.0, 500.0, "AA"), rel=1e-14)
    assert after.pid != before
    assert {record.key: record.error for record in records} == {"poison": "crashed", "other": "", "later": ""}
    (counted,) = [one for one in read(rig.metrics).versions if one.model == "late"]
    assert counted.counters["native_restarts"] == 1
    assert counted.counters["native_processes"] == 0, "the worker has stopped, and its processes with it"


def test_a_row_that_the_model_refuses_fails_its_call_alone_and_needs_no_new_process(rig, caplog):
    caplog.set_level("CRITICAL", "seakeep.serving")

    async def scenario():
        async with serving(rig) as service:
            before = state(service).pid
            asked = [ask(service, key=f"k{one}", carrier="raise" if one % 4 == 0 else "AA") for one in range(20)]
            answers = await asyncio.gather(*asked)
            return answers, before, state(service)

    answers, before, after = run(scenario())
    assert [status for status, _ in answers] == [500 if one % 4 == 0 else 200 for one in range(20)]
    assert answers[0][1]["code"] == "serving"
    assert (after.pid, after.restarts) == (before, 0)


def test_a_model_that_hangs_is_given_up_its_process_ended_and_the_worker_goes_on(rig, caplog):
    async def scenario():
        async with serving(rig, hang_s=1) as service:
            before = state(service).pid
            hung = asyncio.ensure_future(ask(service, key="hung", carrier="hang"))
            await until(lambda: service.worker._dataplane.execution._running)
            waiting = asyncio.ensure_future(ask(service, key="waits"))
            other = await ask(service, OTHER, key="other")
            answers = await hung, await waiting
            score = await recovered(service)
            assert not service.worker._stop.is_set()
            return before, state(service).pid, answers, other, score

    before, after, (hung, waited), other, score = run(scenario())
    assert (hung[0], hung[1]["code"]) == (500, "internal")
    assert waited[0] in {200, 503}
    assert other[0] == 200
    assert score == pytest.approx(expected_score(0.0, 500.0, "AA"), rel=1e-14)
    assert before != after
    assert "the process of its model is ended" in caplog.text


def test_where_a_process_was_killed_calls_are_told_to_come_back_and_soon_answered(rig, monkeypatch):
    started, may_start = nativesession.ModelProcess, threading.Event()

    def when_it_may(model):
        may_start.wait(60)
        return started(model)

    async def scenario():
        async with serving(rig) as service:
            monkeypatch.setattr(nativesession, "ModelProcess", when_it_may)
            os.kill(state(service).pid, signal.SIGKILL)
            await until(lambda: not state(service).pid)
            told = await ask(service, key="early")
            may_start.set()
            return told, await recovered(service)

    try:
        (status, told), score = run(scenario())
    finally:
        may_start.set()
    assert (status, told["code"]) == (503, "unavailable")
    assert "started again" in told["error"]
    assert score == pytest.approx(expected_score(0.0, 500.0, "AA"), rel=1e-14)


def test_a_native_candidate_scores_in_the_shadow_and_its_crash_reaches_no_answer(rig):
    rig.releases.put(rig.put(2), candidate(rig.put(3, model=strange_model()), 0.0))

    async def scenario():
        async with serving(rig) as service:
            traffic = service.worker._dataplane.traffic
            await until(lambda: traffic is not None and service.worker._dataplane.traffic["late"].candidate)
            session = service.worker._dataplane.traffic["late"].candidate.session
            answers = [await ask(service, key="a"), await ask(service, key="b", carrier="die")]
            await until(lambda: session.state.restarts == 1)
            answers.append(await ask(service, key="c"))
            await until(lambda: not service.worker._shadow.waiting)
            return answers, service.predictions

    answers, records = run(scenario())
    assert [status for status, _ in answers] == [200] * 3
    assert {record.key: record.error for record in records if record.role == "shadow"} == {
        "a": "", "b": "crashed", "c": ""
    }  # fmt: skip
