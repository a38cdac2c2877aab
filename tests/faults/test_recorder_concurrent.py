"""A tail, a scan and compaction at work while writers write, seal and restart: never doubled, never lost."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.recording import prediction

from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.compaction import compact
from seakeep.recorder.query import Query, load
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import Prediction, Record

PER_LIFE, LIVES = 400, 12


class Looker(threading.Thread):
    """Does something again and again until it is told to stop; keeps what went wrong."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work, self._stop_now = work, threading.Event()
        self.fault: Exception | None = None
        self.start()

    def run(self) -> None:
        while not self._stop_now.is_set() and self.fault is None:
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 -- carried into the main thread
                self.fault = error

    def finish(self) -> None:
        self._stop_now.set()
        self.join()
        if self.fault:
            raise self.fault


def write(folder: Path, name: str) -> None:
    for _ in range(LIVES):
        pen = Writer(folder, name, clock=SystemClock(), settings=RecorderSettings(commit_ms=1))
        for _ in range(PER_LIFE):
            number = pen.next_sequence()
            pen.append(prediction(number, id=f"{name}{number}"))
            if number % 50 == 0:
                pen.commit()
        pen.close()


@pytest.mark.slow
def test_each_record_is_seen_once_while_everything_moves(tmp_path):
    followed: list[Record] = []
    scans: list[list[str]] = []
    tail = Tail(tmp_path)
    lookers = [
        Looker(lambda: followed.extend(tail.poll())),
        Looker(lambda: scans.append([one.id for one in scan(tmp_path) if isinstance(one, Prediction)])),
        Looker(lambda: compact(tmp_path)),
    ]
    writers = [threading.Thread(target=write, args=(tmp_path, name)) for name in ("a", "b")]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    for looker in lookers:
        looker.finish()
    followed += tail.poll()
    tail.close()
    total = 2 * LIVES * PER_LIFE
    assert len(followed) == len({one.id for one in followed}) == total
    assert all(len(ids) == len(set(ids)) for ids in scans), "a scan saw a record twice"
    assert all(set(earlier) <= set(later) for earlier, later in itertools.pairwise(scans)), "a scan missed a record"
    assert len(load(tmp_path, Query(model="late-arrival"))) == total
