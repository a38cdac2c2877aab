"""A hundred kills in a row, at random moments, while the clock jumps: nothing acknowledged is lost, nothing is doubled."""

import os
import random
import signal
import subprocess
import threading

import pytest
from tests.recording import start

from seakeep.clock import SystemClock
from seakeep.recorder.compaction import compact
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.layout import parts
from seakeep.recorder.query import gaps
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.recovery import recover
from seakeep.records.prediction import EventBatch, Prediction

KILLS = 100

# One process forks all writers, so that a hundred of them cost one start of the interpreter.
WRITERS = """
import os, random, sys, time
from pathlib import Path
from seakeep.config import RecorderSettings
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.writer import Writer
from tests.recording import batch, prediction

class JumpingClock:
    def __init__(self, turn):
        self._random, self._offset_us = random.Random(turn), 0
    def now_us(self):
        if self._random.random() < 0.02:
            self._offset_us = self._random.randrange(-10**14, 10**14)
        return 10**15 + time.time_ns() // 1000 + self._offset_us

def pen(name, clock, encrypted):
    folder = Path(sys.argv[1], name)
    folder.mkdir(exist_ok=True)
    keyring = Keyring(folder, Path(sys.argv[1], "recorder.key")) if encrypted else None
    return Writer(folder, "w", clock=clock, settings=RecorderSettings(commit_ms=2, segment_mb=1), keyring=keyring)

def write(turn):
    clock = JumpingClock(turn)
    encrypted = turn % 3 == 0
    predictions, events = pen("predictions", clock, encrypted), pen("events", clock, encrypted)
    while True:
        for _ in range(5):
            predictions.append(prediction(predictions.next_sequence(), recorded_us=clock.now_us()))
        number = events.next_sequence()
        events.append(batch(number, batch=f"{turn}-{number}", recorded_us=clock.now_us()))
        events.commit()
        os.write(1, f"{turn}-{number}\\n".encode())

for line in sys.stdin:
    child = os.fork()
    if not child:
        write(int(line))
    os.write(1, f"pid {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""


def handed_out(folder):
    return int.from_bytes((folder / "w.ledger").read_bytes()[:8], "little")


@pytest.mark.slow
def test_a_hundred_kills_in_a_row_lose_and_double_nothing(tmp_path):
    chance = random.Random(20)
    acknowledged = []
    tail = Tail(tmp_path / "predictions")
    followed = []
    keyring = None
    process = start(WRITERS, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for turn in range(KILLS):
        process.stdin.write(f"{turn}\n".encode())
        process.stdin.flush()
        said = []
        while not said or not said[-1].startswith("pid"):
            said.append(process.stdout.readline().decode().strip())
        writer = int(said[-1].removeprefix("pid "))
        said += [
            process.stdout.readline().decode().strip() for _ in range(turn % 4)
        ]  # some are killed before they told any
        threading.Event().wait(chance.uniform(0, 0.03))
        if turn % 10 == 5:
            keyring = keyring or Keyring(tmp_path / "predictions", tmp_path / "recorder.key")
            compact(tmp_path / "predictions", keyring)  # beside the writer
        os.kill(writer, signal.SIGKILL)
        while said[-1] != "dead":
            said.append(process.stdout.readline().decode().strip())
        acknowledged += [line for line in said if not line.startswith("pid") and line != "dead"]
        if turn % 7 == 0:
            followed += tail.poll()
    process.communicate()

    events, predictions = tmp_path / "events", tmp_path / "predictions"
    for folder in (events, predictions):
        recover(folder, SystemClock())
        assert all(part.state != "open" for part in parts(folder)[0])
    batches = [one.batch for one in scan(events) if isinstance(one, EventBatch)]
    assert len(acknowledged) > KILLS
    assert len(batches) == len(set(batches)), "doubled"
    assert set(acknowledged) <= set(batches), "lost"
    numbers = [one.sequence for one in scan(predictions) if isinstance(one, Prediction)]
    assert len(numbers) == len(set(numbers)), "doubled"
    for folder, kept in ((events, len(batches)), (predictions, len(numbers))):
        assert kept + sum(gap.count for gap in gaps(folder)) == handed_out(folder), "not counted"
    assert any(gap.reason == "crash" for gap in gaps(predictions)), "no kill hit anything"
    followed += tail.poll()
    tail.close()
    assert sorted(one.sequence for one in followed if isinstance(one, Prediction)) == sorted(numbers)
    assert not list(predictions.glob("*.tmp"))
