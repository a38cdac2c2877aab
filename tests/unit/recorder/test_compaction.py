import fcntl
import os

import pytest
from tests.recording import all_same, batch, record, writer

from seakeep.errors import RecorderError
from seakeep.recorder import compaction
from seakeep.recorder.compaction import compact
from seakeep.recorder.layout import parquet_path, parts
from seakeep.recorder.reader import scan


def sealed(folder, *counts: int, name: str = "w"):
    made = []
    for count in counts:
        pen = writer(folder, name)
        made += record(pen, count)
        pen.close()
    return made


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in {".seg", ".parquet", ".open", ".tmp"})


def test_a_run_of_segments_becomes_one_file(tmp_path):
    made = sealed(tmp_path, 3, 2, 4)
    assert compact(tmp_path) == [parquet_path(tmp_path, "w", 1, 3)]
    assert names(tmp_path) == ["w-00000001-00000003.parquet"]
    assert all_same(list(scan(tmp_path)), made)
    assert compact(tmp_path) == []


def test_open_segments_and_other_writers_are_kept_apart(tmp_path):
    sealed(tmp_path, 1, 1, name="a")
    sealed(tmp_path, 1, name="b")
    pen = writer(tmp_path, "b")
    record(pen, 1)
    pen.commit()
    compact(tmp_path)
    assert names(tmp_path) == ["a-00000001-00000002.parquet", "b-00000001-00000001.parquet", "b-00000002.open"]
    pen.close()


def test_a_file_has_a_largest_size(tmp_path, monkeypatch):
    made = sealed(tmp_path, 5, 5, 5)
    monkeypatch.setattr(compaction, "MAX_BYTES", 2 * next(tmp_path.glob("*.seg")).stat().st_size + 100)
    compact(tmp_path)
    assert names(tmp_path) == ["w-00000001-00000002.parquet", "w-00000003-00000003.parquet"]
    assert all_same(list(scan(tmp_path)), made)


def test_a_damaged_segment_stays_as_evidence(tmp_path):
    sealed(tmp_path, 2, 2, 2)
    path = tmp_path / "w-00000002.seg"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    compact(tmp_path)
    assert names(tmp_path) == ["w-00000001-00000001.parquet", "w-00000002.seg", "w-00000003-00000003.parquet"]
    assert path.read_bytes() == bytes(data)


def test_what_a_crash_left_is_removed_and_never_counted(tmp_path):
    made = sealed(tmp_path, 2, 3)
    kept = {path: path.read_bytes() for path in tmp_path.glob("*.seg")}
    compact(tmp_path)
    for path, data in kept.items():
        path.write_bytes(data)  # killed after the new name, before the old ones were removed
    (tmp_path / "w-00000009-00000009.tmp").write_bytes(b"killed while writing")
    assert all_same(list(scan(tmp_path)), made)
    assert len(parts(tmp_path)[1]) == 2
    assert compact(tmp_path) == []
    assert names(tmp_path) == ["w-00000001-00000002.parquet"]
    assert all_same(list(scan(tmp_path)), made)


def test_events_are_left_in_their_segments(tmp_path):
    pen = writer(tmp_path)
    pen.append(batch(pen.next_sequence()))
    pen.close()
    with pytest.raises(RecorderError, match="only predictions"):
        compact(tmp_path)
    assert names(tmp_path) == ["w-00000001.seg"]


def test_two_compactions_do_not_meet(tmp_path):
    sealed(tmp_path, 1)
    lock = os.open(tmp_path / "upkeep.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert compact(tmp_path) == []
    os.close(lock)
    assert len(compact(tmp_path)) == 1


def test_a_folder_that_is_not_there_has_nothing_to_compact(tmp_path):
    assert compact(tmp_path / "none") == []
