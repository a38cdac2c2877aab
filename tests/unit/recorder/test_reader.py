import pytest
from tests.recording import NOW_US, all_same, batch, prediction, record, same, writer

from seakeep.clock import FixedClock
from seakeep.errors import RecorderError
from seakeep.recorder.compaction import compact
from seakeep.recorder.reader import Tail, scan


@pytest.fixture
def tail(tmp_path):
    one = Tail(tmp_path)
    yield one
    one.close()


def sequences(records) -> list[int]:
    return [one.sequence for one in records]


def test_a_folder_without_records_gives_none(tmp_path, tail):
    assert list(scan(tmp_path / "none")) == []
    assert tail.poll() == []


def test_scan_reads_all_writers_and_forms(tmp_path):
    first, second = writer(tmp_path, "a"), writer(tmp_path, "b")
    made = record(first, 3)
    first.close()
    compact(tmp_path)
    made += record(second, 2)
    second.append(batch(second.next_sequence()))
    second.commit()
    assert all_same(list(scan(tmp_path)), [*made, batch(3)])
    second.close()


def test_scan_says_what_it_cannot_read(tmp_path):
    pen = writer(tmp_path)
    record(pen, 3)
    pen.close()
    path = next(tmp_path.glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(RecorderError, match="cannot be read"):
        list(scan(tmp_path))
    damage = []
    assert sequences(scan(tmp_path, damage=damage)) == [1, 3]
    assert len(damage) == 1


def test_a_sealed_segment_that_was_cut_off_is_damaged(tmp_path):
    pen = writer(tmp_path)
    record(pen, 3)
    pen.close()
    path = next(tmp_path.glob("*.seg"))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(RecorderError):
        list(scan(tmp_path))


def test_a_foreign_file_is_an_error(tmp_path):
    (tmp_path / "w-00000001.seg").write_bytes(b"something else")
    with pytest.raises(RecorderError, match="not a segment"):
        list(scan(tmp_path))


def test_each_record_is_given_once_as_it_comes(tmp_path, tail):
    pen = writer(tmp_path)
    made = []
    for count in (1, 5, 0, 2):
        fresh = record(pen, count)
        pen.commit()
        assert all_same(tail.poll(), fresh)
        made += fresh
    assert tail.poll() == []
    pen.close()
    assert tail.poll() == []
    assert all_same(Tail(tmp_path).poll(), made)


def test_the_end_of_a_segment_is_read_though_it_was_sealed_and_compacted_meanwhile(tmp_path, tail):
    pen = writer(tmp_path)
    record(pen, 2)
    pen.commit()
    assert sequences(tail.poll()) == [1, 2]
    record(pen, 2)
    pen.close()
    compact(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix in {".open", ".seg", ".parquet"}] == [".parquet"]
    assert sequences(tail.poll()) == [3, 4]
    assert tail.poll() == []


def test_segments_compacted_before_they_were_seen_come_from_parquet_once(tmp_path, tail):
    for numbers in (2, 3, 4):
        pen = writer(tmp_path)
        record(pen, numbers)
        pen.close()
        if numbers == 2:
            assert sequences(tail.poll()) == [1, 2]
    compact(tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    assert sequences(tail.poll()) == [3, 4, 5, 6, 7, 8, 9]
    assert tail.poll() == []


def test_gaps_are_given_also_from_parquet(tmp_path, tail):
    pen = writer(tmp_path)
    pen.next_sequence()
    pen.close()
    compact(tmp_path)
    assert [one.count for one in tail.poll()] == [1]
    assert [one.count for one in Tail(tmp_path).poll()] == [1]


def test_several_writers_are_followed(tmp_path, tail):
    first, second = writer(tmp_path, "a"), writer(tmp_path, "b")
    record(first, 1)
    record(second, 2)
    first.commit()
    second.commit()
    assert len(tail.poll()) == 3
    record(first, 2)
    first.close()
    third = writer(tmp_path, "c")
    record(third, 1)
    third.close()
    assert len(tail.poll()) == 3
    second.close()


def test_half_a_record_waits_for_its_other_half(tmp_path, tail):
    pen = writer(tmp_path)
    record(pen, 3)
    pen.commit()
    path = next(tmp_path.glob("*.open"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert sequences(tail.poll()) == [1, 2]
    with path.open("r+b") as file:
        file.seek(len(whole) - 10)
        file.write(whole[-10:])
    assert sequences(tail.poll()) == [3]
    assert tail.damage == []
    pen.close()


def test_a_tail_since_a_moment_leaves_out_what_is_older(tmp_path):
    clock = FixedClock(NOW_US)
    for moment in (0, 100, 200):
        clock.value_us = NOW_US + moment
        pen = writer(tmp_path, clock=clock)
        record(pen, 2, recorded_us=NOW_US + moment)
        pen.close()
    assert sequences(Tail(tmp_path, since_us=NOW_US + 100).poll()) == [3, 4, 5, 6]
    compact(tmp_path)
    assert sequences(Tail(tmp_path, since_us=NOW_US + 100).poll()) == [3, 4, 5, 6]


def test_a_tail_since_a_moment_does_not_read_older_segments(tmp_path):
    clock = FixedClock(NOW_US)
    for moment in (0, 1_000, 2_000):
        clock.value_us = NOW_US + moment
        pen = writer(tmp_path, clock=clock)
        record(pen, 2, recorded_us=NOW_US + moment)
        pen.close()
    oldest = tmp_path / "w-00000001.seg"
    oldest.write_bytes(b"not even a segment")
    assert sequences(Tail(tmp_path, since_us=NOW_US + 1_500).poll()) == [5, 6]


def test_a_tail_reports_damage_and_goes_on(tmp_path, tail):
    pen = writer(tmp_path)
    record(pen, 3)
    pen.close()
    path = next(tmp_path.glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert sequences(tail.poll()) == [1, 3]
    assert len(tail.damage) == 1


def test_records_are_the_same_in_every_bit(tmp_path, tail):
    pen = writer(tmp_path)
    made = record(pen, 1, score=float("nan"), numbers=[5e-324, -0.0, 1e308])
    pen.commit()
    assert same(tail.poll()[0], made[0])
    pen.close()
    assert prediction(1) != made[0]
