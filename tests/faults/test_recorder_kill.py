"""Kill -9 at any moment: what was acknowledged is there exactly once, and the rest is counted exactly."""

import subprocess
import threading

import pytest
from tests.recording import start

from seakeep.clock import SystemClock
from seakeep.recorder.compaction import compact
from seakeep.recorder.layout import parts
from seakeep.recorder.query import Query, gaps, load
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.recovery import recover
from seakeep.records.prediction import EventBatch, Gap

PREDICT = """
import sys, pathlib
from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.writer import Writer
from tests.recording import prediction
pen = Writer(pathlib.Path(sys.argv[1]), "w", clock=SystemClock(), settings=RecorderSettings(commit_ms=2, segment_mb=1))
print("ready", flush=True)
while True:
    number = pen.next_sequence()
    pen.append(prediction(number))
    if pen.waiting > 2000:
        pen.commit()
"""

ACKNOWLEDGE = """
import sys, pathlib
from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.writer import Writer
from tests.recording import batch
pen = Writer(pathlib.Path(sys.argv[1]), "w", clock=SystemClock(), settings=RecorderSettings(commit_ms=2))
while True:
    number = pen.next_sequence()
    pen.append(batch(number, batch=f"{sys.argv[2]}-{number}"))
    pen.commit()
    print(f"{sys.argv[2]}-{number}", flush=True)
"""


def handed_out(folder) -> int:
    return int.from_bytes((folder / "w.ledger").read_bytes()[:8], "little")


@pytest.mark.slow
def test_every_number_handed_out_is_a_record_or_in_a_gap(tmp_path):
    tail = Tail(tmp_path)
    followed = []
    for delay in (0.0, 0.003, 0.01, 0.03, 0.06, 0.1):
        process = start(PREDICT, tmp_path, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        threading.Event().wait(delay)
        followed += tail.poll()
        process.kill()
        process.wait()
        process.stdout.close()
        handed = handed_out(tmp_path)
        recover(tmp_path, SystemClock())
        found = list(scan(tmp_path))
        numbers = [one.sequence for one in found if not isinstance(one, Gap)]
        assert len(numbers) == len(set(numbers)), "doubled"
        assert len(numbers) + sum(gap.count for gap in found if isinstance(gap, Gap)) == handed
        assert all(part.state != "open" for part in parts(tmp_path)[0])
    assert any(gap.reason == "crash" for gap in gaps(tmp_path)), "no kill hit anything"
    compact(tmp_path)
    followed += tail.poll()
    tail.close()
    assert sorted(one.sequence for one in followed if not isinstance(one, Gap)) == sorted(numbers)
    assert len(load(tmp_path, Query(model="late-arrival"))) == len(numbers)


@pytest.mark.slow
def test_every_acknowledged_batch_is_there_once(tmp_path):
    acknowledged: list[str] = []
    for turn, count in enumerate((1, 2, 5, 20, 80, 200)):
        process = start(ACKNOWLEDGE, tmp_path, turn, stdout=subprocess.PIPE)
        assert process.stdout is not None
        acknowledged += [process.stdout.readline().decode().strip() for _ in range(count)]
        process.kill()
        # What was acknowledged before the kill, and not read by us yet, counts too.
        acknowledged += process.stdout.read().decode().split("\n")[:-1]
        process.wait()
        process.stdout.close()
        recover(tmp_path, SystemClock())
    found = [one.batch for one in scan(tmp_path) if isinstance(one, EventBatch)]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    # One batch may be on its way in each turn: it is there, unacknowledged, or counted.
    missing = sum(gap.count for gap in gaps(tmp_path))
    assert len(found) + missing == handed_out(tmp_path)
    assert len(found) + missing <= len(acknowledged) + 6


COMPACT = """
import sys, pathlib
from seakeep.recorder.compaction import compact
print("ready", flush=True)
compact(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_compaction_killed_at_any_moment_neither_doubles_nor_loses(tmp_path):
    from tests.recording import record, writer

    made = 0
    for delay in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        for _ in range(3):
            pen = writer(tmp_path, queue_records=10_000)
            made += len(record(pen, 2_000))
            pen.close()
        process = start(COMPACT, tmp_path, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        threading.Event().wait(delay)
        process.kill()
        process.wait()
        process.stdout.close()
        numbers = load(tmp_path, Query(model="late-arrival")).id.tolist()
        assert len(numbers) == len(set(numbers)) == made
    compact(tmp_path)
    assert {part.state for part in parts(tmp_path)[0]} == {"parquet"}
    assert len(load(tmp_path, Query(model="late-arrival"))) == made
