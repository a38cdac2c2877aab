import errno
import os

import pytest
from tests.recording import NOW_US, prediction

from seakeep.recorder import appender as appender_module
from seakeep.recorder.appender import Appender, Group
from seakeep.recorder.keyring import Keyring, unlock
from seakeep.recorder.layout import parts
from seakeep.recorder.ledger import Ledger
from seakeep.recorder.reader import scan
from seakeep.records.prediction import Gap

GAP = Gap(sequence=2, writer="w", count=5, reason="overflow", from_us=1, to_us=2)


@pytest.fixture
def ledger(tmp_path):
    one = Ledger(tmp_path, "w")
    yield one
    one.close()


def group(*records) -> Group:
    one = Group()
    for record in records:
        one.add(record)
    return one


def sequences(folder, **options) -> list[int]:
    return [record.sequence for record in scan(folder, **options)]


def test_a_group_is_written_synced_and_accounted_for(ledger, tmp_path):
    appender = Appender(ledger, NOW_US)
    todo = group(prediction(1), GAP, prediction(7))
    appender.write(todo)
    assert len(todo) == len(todo.buffer) == 0
    assert appender.accounted == 7
    assert appender.size == next(tmp_path.glob("*.open")).stat().st_size
    assert sequences(tmp_path) == [1, 2, 7]
    assert ledger.accounted == 0
    appender.seal()
    assert ledger.accounted == 7
    assert sequences(tmp_path) == [1, 2, 7]


def test_whole_frames_stay_when_the_disk_is_full_in_the_middle_of_one(ledger, tmp_path, monkeypatch):
    appender = Appender(ledger, NOW_US)
    todo = group(prediction(1), prediction(2), prediction(3))
    room = todo.ends[1] + 10
    real = os.pwrite

    def pwrite(file: int, data: bytes, offset: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(file, bytes(data)[:room], offset)
        room -= written
        return written

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space"):
        appender.write(todo)
    monkeypatch.undo()
    assert len(todo) == 1
    assert [part.state for part in parts(tmp_path)[0]] == ["seg"]
    assert sequences(tmp_path) == [1, 2]
    assert ledger.accounted == 2

    again = Appender(ledger, NOW_US)
    again.write(todo)
    again.seal()
    assert sequences(tmp_path) == [1, 2, 3]
    assert ledger.accounted == 3


def test_nothing_of_a_group_counts_when_the_disk_cannot_sync_it(ledger, tmp_path, monkeypatch):
    appender = Appender(ledger, NOW_US)
    appender.write(group(prediction(1)))

    def fdatasync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    todo = group(prediction(2), prediction(3))
    with pytest.raises(OSError, match="Input/output"):
        appender.write(todo)
    assert len(todo) == 2
    assert sequences(tmp_path) == [1]
    assert ledger.accounted == 1


def test_an_empty_segment_goes_and_its_number_is_spent(ledger, tmp_path):
    Appender(ledger, NOW_US).seal()
    assert parts(tmp_path)[0] == []
    assert ledger.segment == 1


def test_a_segment_that_cannot_be_begun_leaves_nothing(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: len(data) - 1)
    with pytest.raises(OSError, match="No space"):
        Appender(ledger, NOW_US)
    assert parts(tmp_path)[0] == []


def test_whole_blocks_stay_when_the_disk_is_full_in_the_middle_of_one(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(appender_module, "_BLOCK_BYTES", 500)  # two records
    keyring = Keyring(tmp_path, tmp_path / "keys" / "k")
    appender = Appender(ledger, NOW_US, keyring)
    todo = group(*[prediction(number) for number in range(1, 8)])
    room = len(todo.buffer) // 2
    real = os.pwrite

    def pwrite(file: int, data: bytes, offset: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(file, bytes(data)[:room], offset)
        room -= written
        return written

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space"):
        appender.write(todo)
    monkeypatch.setattr(os, "pwrite", real)
    assert sequences(tmp_path) == [1, 2]
    assert (ledger.accounted, len(todo)) == (2, 5)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.seg")]

    again = Appender(ledger, NOW_US, keyring)
    again.write(todo)
    again.write(group(prediction(8)))
    again.seal()
    assert sequences(tmp_path) == list(range(1, 9))
    assert ledger.accounted == 8
    assert [path.stat().st_size for path in tmp_path.glob("*1.seg")] == sizes
    assert len({unlock(path).secret for path in tmp_path.glob("*.seg")}) == 2


def test_an_encrypted_segment_that_cannot_be_begun_leaves_no_key(ledger, tmp_path, monkeypatch):
    keyring = Keyring(tmp_path, tmp_path / "keys" / "k")
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: len(data) - 1)
    with pytest.raises(OSError, match="No space"):
        Appender(ledger, NOW_US, keyring)
    assert list(tmp_path.glob("*.key")) == []
