"""A full disk: requests go on, what could not be kept is counted, and recording resumes when there is room."""

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.recording import prediction, record, start, writer

from seakeep.clock import FixedClock
from seakeep.errors import RecorderError
from seakeep.recorder.compaction import compact
from seakeep.recorder.erasure import erase
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.query import gaps
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.subject import Subject
from seakeep.records.prediction import Gap, Prediction


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(ballast: Path) -> None:
    """Take every page that is left."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4_096)):
            pass


def settled(pen, limit_s: float = 10.0) -> bool:
    for _ in range(int(limit_s / 0.005)):
        if not pen.waiting:
            return True
        threading.Event().wait(0.005)
    return False


def numbers(folder) -> list[int]:
    return [one.sequence for one in scan(folder) if isinstance(one, Prediction)]


@pytest.fixture(params=[False, True], ids=["clear", "encrypted"])
def keyring(request, small_disk, tmp_path):
    (small_disk / "recorder").mkdir()
    return Keyring(small_disk / "recorder", tmp_path / "recorder.key") if request.param else None


def test_a_full_disk_costs_records_not_requests(small_disk, keyring):
    folder = small_disk / "recorder"
    pen = writer(folder, queue_records=200, commit_ms=2, keyring=keyring)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(700_000))
    tail = Tail(folder)
    taken = []
    for number in range(1, 3_001):
        assert pen.next_sequence() == number
        taken.append(pen.append(prediction(number)))
        if number % 100 == 0:
            threading.Event().wait(0.004)
    assert pen.fault
    assert not all(taken)
    with pytest.raises(RecorderError, match="could not be written"):
        pen.commit()
    followed = tail.poll()

    ballast.unlink()
    assert settled(pen)
    assert pen.fault == ""
    pen.append(prediction(pen.next_sequence()))
    pen.close()

    kept = [place + 1 for place, one in enumerate(taken) if one] + [3_001]
    assert numbers(folder) == kept
    assert sum(gap.count for gap in gaps(folder)) == 3_001 - len(kept)
    assert {gap.reason for gap in gaps(folder)} <= {"disk", "overflow"}
    assert any(gap.reason == "disk" for gap in gaps(folder))
    followed += tail.poll()
    tail.close()
    assert [one.sequence for one in followed if isinstance(one, Prediction)] == kept


def test_closing_on_a_full_disk_says_so_and_the_next_start_counts(small_disk, keyring):
    folder = small_disk / "recorder"
    pen = writer(folder, commit_ms=2, keyring=keyring)
    record(pen, 10)
    pen.commit()
    ballast = small_disk / "ballast"
    fill(ballast)
    record(pen, 500)
    with pytest.raises(RecorderError, match="could not be written"):
        pen.close()
    ballast.unlink()
    pen = writer(folder)
    pen.close()
    found = list(scan(folder))
    kept = sum(isinstance(one, Prediction) for one in found)
    assert kept >= 10
    assert [(one.count, one.reason) for one in found if isinstance(one, Gap)] == [(510 - kept, "crash")]


def test_compaction_on_a_full_disk_leaves_the_segments(small_disk, keyring):
    folder = small_disk / "recorder"
    pen = writer(folder, commit_ms=2, keyring=keyring)
    record(pen, 1_000)
    pen.close()
    ballast = small_disk / "ballast"
    fill(ballast)
    before = numbers(folder)
    with pytest.raises(RecorderError, match="cannot write"):
        compact(folder, keyring)
    assert numbers(folder) == before
    assert not [*folder.glob("*.parquet"), *folder.glob("*.aes")]
    ballast.unlink()
    assert len(compact(folder, keyring)) == 1
    assert numbers(folder) == before
    assert len(list(folder.glob("*.key"))) == (1 if keyring else 0)


def test_erasure_on_a_full_disk_loses_nothing_and_is_done_when_there_is_room(small_disk, keyring):
    folder = small_disk / "recorder"
    subject = Subject(frozenset({"flight-7"}), frozenset())
    for _ in range(2):
        pen = writer(folder, commit_ms=2, keyring=keyring)
        record(pen, 300)
        pen.close()
        if not list(folder.glob("*-00000001-*")):
            compact(folder, keyring)
    before = numbers(folder)
    ballast = small_disk / "ballast"
    fill(ballast)
    with pytest.raises(RecorderError, match="cannot write"):
        erase(folder, subject, clock=FixedClock(0), keyring=keyring)
    assert numbers(folder) == before
    ballast.unlink()
    assert erase(folder, subject, clock=FixedClock(0), keyring=keyring).predictions == 1
    assert len(numbers(folder)) == len(before) - 1


LIMITED = """
import resource, sys, pathlib
from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.writer import Writer
from tests.recording import prediction
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
pen = Writer(pathlib.Path(sys.argv[1]), "w", clock=SystemClock(), settings=RecorderSettings(commit_ms=1))
for _ in range(20):
    for _ in range(50):
        pen.append(prediction(pen.next_sequence()))
    try:
        pen.commit()
    except Exception as error:
        print(type(error).__name__, flush=True)
pen.close()
"""


def test_a_limit_on_file_size_begins_another_segment(tmp_path):
    process = start(LIMITED, tmp_path, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"RecorderError" in output, "the limit was never met"
    assert numbers(tmp_path) == list(range(1, 1_001))
    assert gaps(tmp_path) == []
    assert len(list(tmp_path.glob("*.seg"))) >= 3
    assert all(path.stat().st_size <= 100_000 for path in tmp_path.iterdir())


def test_a_disk_that_cannot_sync_takes_nothing_for_granted(tmp_path, monkeypatch):
    import os

    pen = writer(tmp_path, commit_ms=60_000)
    record(pen, 5)
    pen.commit()
    real, failing = os.fdatasync, [True]

    def fdatasync(file: int) -> None:
        if failing:
            failing.pop()
            raise OSError(5, "Input/output error")
        real(file)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    record(pen, 5)
    with pytest.raises(RecorderError, match="Input/output error"):
        pen.commit()
    pen.commit()
    pen.close()
    assert numbers(tmp_path) == list(range(1, 11))
    assert gaps(tmp_path) == []
    assert len(list(tmp_path.glob("*.seg"))) == 2
