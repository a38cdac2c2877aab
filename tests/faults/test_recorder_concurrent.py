"""A tail, a scan and compaction at work while writers write, seal and restart: never doubled, never lost."""

import threading

import pytest

from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.compaction import compact
from seakeep.recorder.query import Query, load
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.writer import Writer
from tests.recording import prediction

PER_LIFE, LIVES = 400, 12


@pytest.mark.slow
def test_a_tail_sees_each_record_once_while_everything_moves(tmp_path):
    stop = threading.Event()
    followed, scans, faults = [], [], []

    def write(name: str) -> None:
        for _ in range(LIVES):
            pen = Writer(tmp_path, name, clock=SystemClock(), settings=RecorderSettings(commit_ms=1))
            for _ in range(PER_LIFE):
                number = pen.next_sequence()
                pen.append(prediction(number, id=f"{name}{number}"))
                if number % 50 == 0:
                    pen.commit()
            pen.close()

    def guarded(work) -> None:
        try:
            while not stop.is_set():
                work()
        except Exception as error:  # noqa: BLE001 -- carried into the main thread
            faults.append(error)

    tail = Tail(tmp_path)

    def poll() -> None:
        followed.extend(tail.poll())

    def look() -> None:
        ids = [one.id for one in scan(tmp_path)]
        scans.append((len(ids), len(set(ids))))

    writers = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    readers = [threading.Thread(target=guarded, args=(work,)) for work in (poll, look, lambda: compact(tmp_path))]
    for thread in [*readers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert faults == []
    followed += tail.poll()
    tail.close()
    total = 2 * LIVES * PER_LIFE
    assert len(followed) == total
    assert len({one.id for one in followed}) == total
    assert all(count == distinct for count, distinct in scans), "a scan saw a record twice"
    counts = [count for count, _ in scans]
    assert counts == sorted(counts), "a scan missed what an earlier one saw"
    assert len(load(tmp_path, Query(model="late-arrival"))) == total
