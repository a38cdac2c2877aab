import pytest
from tests.recording import NOW_US, prediction, record

from seakeep.clock import DAY_US, FixedClock
from seakeep.config import RecorderSettings
from seakeep.recorder.compaction import compact
from seakeep.recorder.container import opened
from seakeep.recorder.layout import parts
from seakeep.recorder.query import Query, gaps, load
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.retention import SETTLED_S, Expired, Steadiness, expire, expired
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import Gap


def day(folder, moment_us, count=4, name="w", *, parquet=False):
    """Record some predictions at a moment, seal them, and make Parquet of them if asked for."""
    clock = FixedClock(moment_us)
    pen = Writer(folder, name, clock=clock, settings=RecorderSettings())
    record(pen, count, recorded_us=moment_us, time_us=moment_us)
    pen.close()
    if parquet:
        compact(folder)


def first_numbers(folder):
    return [part.first for part in parts(folder)[0]]


@pytest.mark.parametrize("parquet", [True, False])
def test_files_go_when_all_in_them_is_too_old(tmp_path, parquet):
    for number in range(5):
        day(tmp_path, NOW_US + number * DAY_US, parquet=parquet)
    now_us = NOW_US + 5 * DAY_US
    sizes = [part.path.stat().st_size for part in parts(tmp_path)[0]]
    # Of a segment only the beginning of the next one is looked at: nothing in it is newer.
    limit_us = now_us - (3 if parquet else 2) * DAY_US + 1
    gone = expire(tmp_path, older_than_us=limit_us, now_us=now_us)
    assert gone == Expired(files=3, size=sum(sizes[:3]))
    assert first_numbers(tmp_path) == [4, 5]
    assert expired(tmp_path) == {"w": 12}
    assert [one.sequence for one in scan(tmp_path)] == list(range(13, 21))
    assert expire(tmp_path, older_than_us=limit_us, now_us=now_us) == Expired()


def test_nothing_goes_by_itself(tmp_path):
    day(tmp_path, NOW_US)
    assert expire(tmp_path, now_us=NOW_US + 1000 * DAY_US) == Expired()
    assert expire(tmp_path / "none") == Expired()
    assert expired(tmp_path) == {"w": 0}


def test_all_may_go_and_is_counted(tmp_path):
    day(tmp_path, NOW_US, count=7)
    expire(tmp_path, older_than_us=NOW_US + 1, now_us=NOW_US + 1)
    assert list(scan(tmp_path)) == []
    assert expired(tmp_path) == {"w": 7}
    day(tmp_path, NOW_US, count=2)
    assert expired(tmp_path) == {"w": 7}
    assert [one.sequence for one in scan(tmp_path)] == [8, 9]


def test_the_oldest_of_all_writers_go_while_there_is_too_little_room(tmp_path):
    for number, name in enumerate(["a", "b", "a", "b", "a"]):
        day(tmp_path, NOW_US + number * DAY_US, name=name, parquet=True)
    sizes = [part.path.stat().st_size for part in parts(tmp_path)[0]]
    expire(tmp_path, now_us=NOW_US + 9 * DAY_US, max_bytes=sum(sizes) - 1)
    assert expired(tmp_path) == {"a": 4, "b": 0}
    expire(tmp_path, now_us=NOW_US + 9 * DAY_US, max_bytes=max(sizes) * 2)
    assert expired(tmp_path) == {"a": 8, "b": 4}


def test_a_segment_that_is_written_never_goes(tmp_path):
    pen = Writer(tmp_path, "w", clock=FixedClock(NOW_US), settings=RecorderSettings())
    record(pen, 3)
    pen.commit()
    assert expire(tmp_path, older_than_us=NOW_US + DAY_US, now_us=NOW_US + DAY_US, max_bytes=1) == Expired()
    pen.close()


def test_a_file_that_is_read_goes_another_time(tmp_path):
    day(tmp_path, NOW_US, parquet=True)
    day(tmp_path, NOW_US, parquet=True)
    late = {"older_than_us": NOW_US + 1, "now_us": NOW_US + 1}
    with opened(parts(tmp_path)[0][0].path):
        assert expire(tmp_path, **late, max_bytes=1) == Expired(in_use=1)
    assert expire(tmp_path, **late).files == 2


def test_readers_that_are_late_see_what_is_left(tmp_path, monkeypatch):
    for _ in range(3):
        day(tmp_path, NOW_US, parquet=True)
    day(tmp_path, NOW_US)
    tail = Tail(tmp_path)
    from seakeep.recorder import query, reader

    real = reader.parts

    def listed(folder):
        found = real(folder)
        expire(tmp_path, older_than_us=NOW_US + 1, now_us=NOW_US + 1)
        return found

    for module in (query, reader):
        monkeypatch.setattr(module, "parts", listed)
    assert len(load(tmp_path, Query(model="late-arrival"))) == 0
    assert list(scan(tmp_path)) == gaps(tmp_path) == tail.poll() == []
    monkeypatch.undo()
    assert expired(tmp_path) == {"w": 16}
    tail.close()


def test_gaps_age_as_records_do(tmp_path):
    clock = FixedClock(NOW_US)
    pen = Writer(tmp_path, "w", clock=clock, settings=RecorderSettings())
    pen.next_sequence()
    pen.close()
    compact(tmp_path)
    assert isinstance(next(iter(scan(tmp_path))), Gap)
    assert expire(tmp_path, older_than_us=NOW_US, now_us=NOW_US) == Expired()
    assert expire(tmp_path, older_than_us=NOW_US + 1, now_us=NOW_US + 1).files == 1


@pytest.mark.parametrize("parquet", [True, False])
def test_what_a_wrong_clock_dated_in_the_future_goes_with_what_follows_it(tmp_path, parquet):
    day(tmp_path, NOW_US + 400 * DAY_US, parquet=parquet)
    day(tmp_path, NOW_US, parquet=parquet)
    day(tmp_path, NOW_US + 9 * DAY_US, parquet=parquet)
    now_us = NOW_US + 10 * DAY_US
    assert expire(tmp_path, older_than_us=now_us - 30 * DAY_US, now_us=now_us) == Expired()
    # Of a segment only the beginning of the next one is looked at: nothing in it is newer.
    days, left = (5, [3]) if parquet else (1, [])
    expire(tmp_path, older_than_us=now_us - days * DAY_US + 1, now_us=now_us)
    assert first_numbers(tmp_path) == left


def test_a_segment_written_while_the_clock_was_set_back_is_as_old_as_its_newest_record(tmp_path):
    clock = FixedClock(NOW_US + 9 * DAY_US)
    pen = Writer(tmp_path, "w", clock=clock, settings=RecorderSettings())
    pen.append(prediction(pen.next_sequence(), recorded_us=clock.now_us()))
    pen.commit()
    clock.value_us = NOW_US
    pen.close()
    day(tmp_path, NOW_US)
    now_us = NOW_US + 10 * DAY_US
    assert expire(tmp_path, older_than_us=NOW_US + 5 * DAY_US, now_us=now_us) == Expired()


def test_the_clock_must_have_been_steady_for_a_while():
    clock, steady = FixedClock(NOW_US), [0.0]
    look = Steadiness(clock, lambda: steady[0])

    def later(seconds, wall=None):
        steady[0] += seconds
        clock.value_us += int((seconds if wall is None else wall) * 1_000_000)
        return look.settled()

    assert not later(0)
    assert not later(SETTLED_S - 1)
    assert later(1)
    assert later(100, wall=130), "a correction of half a minute is none"
    assert not later(1, wall=365 * 86_400), "a jump ahead"
    assert not later(SETTLED_S - 1)
    assert later(1)
    assert not later(1, wall=-3_600), "a jump back"
    assert later(SETTLED_S)
