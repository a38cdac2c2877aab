"""A full disk while a worker records: requests are answered, what could not be kept is counted, and it resumes."""

import json

import pytest
from tests.faults.test_recorder_disk import fill, small_disk  # noqa: F401 -- a fixture
from tests.serving_rig import Rig
from tests.serving_runs import PREDICT, body, events_body, row, run, serving, until

from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.query import gaps
from seakeep.recorder.reader import scan
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import EventBatch, Prediction

EVENT = {"flight_id": "x", "landed": 5, "carrier": "AA", "arr_delay": 40.0}


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.releases.put(rig.put(1))
    return rig


def pen(folder, name):
    return Writer(folder, name, clock=SystemClock(), settings=RecorderSettings(commit_ms=2, queue_mb=0.05))


def test_a_full_disk_costs_records_not_answers_and_the_gap_is_counted(rig, small_disk):  # noqa: F811
    folder = small_disk / "predictions"

    async def scenario():
        predictions = pen(folder, "worker-0")
        async with serving(rig, predictions=predictions) as service:
            before = [await service.predict(row(f"before-{n}")) for n in range(20)]
            await until(lambda: not predictions.waiting)
            fill(small_disk / "ballast")
            during = [await service.predict(*[row(f"during-{n}-{m}") for m in range(10)]) for n in range(200)]
            assert predictions.fault
            _, page = await service.client.get("/metrics")
            (small_disk / "ballast").unlink()
            await until(lambda: not predictions.waiting)
            after = await service.predict(row("after"))
            return [*before, *during, after], page.decode()

    answers, page = run(scenario())
    ids = {one["id"] for answer in answers for one in answer["predictions"]}
    kept = [record for record in scan(folder) if isinstance(record, Prediction)]
    missing = sum(gap.count for gap in gaps(folder))
    assert missing > 0
    assert len(kept) + missing == len(ids) == 2021
    assert {record.id for record in kept} <= ids
    assert {"before-0", "before-19", "after"} <= {record.key for record in kept}
    assert {"disk"} <= {gap.reason for gap in gaps(folder)} <= {"disk", "overflow"}
    assert f'seakeep_recorder_gaps_total{{model="late",version="1"}} {missing}\n' in page


def test_events_that_do_not_reach_the_disk_are_refused_until_they_do(rig, small_disk, caplog):  # noqa: F811
    folder = small_disk / "events"

    async def scenario():
        events = pen(folder, "worker-0")
        async with serving(rig, events=events) as service:

            async def send(key):
                status, told = await service.client.post(
                    "/v1/events/arrivals", events_body(EVENT), {"idempotency-key": key}
                )
                return status, json.loads(told)

            first = await send("first")
            fill(small_disk / "ballast")
            # What still fits into pages the file has is taken; then nothing is.
            refused = [await send(f"full-{number}") for number in range(60)]
            predicted, _ = await service.client.post(PREDICT, body(row()))
            (small_disk / "ballast").unlink()
            await until(lambda: not events.waiting)
            again = [await send(f"full-{number}") for number in range(60)]
            return first, refused, predicted, again

    first, refused, predicted, again = run(scenario())
    assert first == (200, {"accepted": 1, "duplicate": False})
    assert predicted == 200
    assert {status for status, _ in refused} <= {200, 503}
    assert refused[-1] == (
        503,
        {
            "error": "the request could not be answered because of a fault in the server",
            "code": "recorder",
            "hint": "try again; if it persists, look into the server's log",
        },
    )
    assert [status for status, _ in again] == [200] * 60
    assert [told["duplicate"] for _, told in again] == [status == 200 for status, _ in refused]
    acknowledged = {"first", *(f"full-{number}" for number in range(60))}
    assert {record.batch for record in scan(folder) if isinstance(record, EventBatch)} == acknowledged
