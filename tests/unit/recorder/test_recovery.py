import shutil

from tests.recording import NOW_US, all_same, prediction, record, writer

from seakeep.clock import FixedClock
from seakeep.recorder.layout import ledger_path, parts, segment_path
from seakeep.recorder.ledger import Ledger
from seakeep.recorder.reader import scan
from seakeep.recorder.recovery import recover
from seakeep.recorder.segment import Header, add_frame, encode_header
from seakeep.records.prediction import Gap, Prediction

LATER = FixedClock(NOW_US + 5_000_000)


def dead(folder, records, *, handed: int, torn: bytes = b"", number: int = 1, accounted: int = 0):
    """What a writer leaves that was killed: an open segment, and a ledger that knows what was handed out."""
    ledger = Ledger(folder, "w")
    ledger.sequence, ledger.segment, ledger.accounted = handed, number, accounted
    ledger.close()
    buffer = bytearray(encode_header(Header("w", number, NOW_US, accounted)))
    for one in records:
        add_frame(one, buffer)
    segment_path(folder, "w", number).write_bytes(bytes(buffer) + torn)


def gaps(folder) -> list[Gap]:
    return [one for one in scan(folder) if isinstance(one, Gap)]


def test_what_was_handed_out_and_not_recorded_is_counted_exactly(tmp_path):
    dead(tmp_path, [prediction(1), prediction(2)], handed=7)
    found = recover(tmp_path, LATER)
    gap = Gap(sequence=3, writer="w", count=5, reason="crash", from_us=NOW_US + 2, to_us=NOW_US + 5_000_000)
    assert found == [gap]
    assert gaps(tmp_path) == [gap]
    assert {part.state for part in parts(tmp_path)[0]} == {"seg"}


def test_a_torn_tail_is_cut_off(tmp_path):
    buffer = bytearray()
    add_frame(prediction(3), buffer)
    dead(tmp_path, [prediction(1), prediction(2)], handed=3, torn=bytes(buffer[:-1]))
    assert [gap.count for gap in recover(tmp_path, LATER)] == [1]
    assert all_same([one for one in scan(tmp_path) if isinstance(one, Prediction)], [prediction(1), prediction(2)])


def test_records_out_of_order_and_gaps_inside_are_accounted_for(tmp_path):
    gap = Gap(sequence=2, writer="w", count=3, reason="overflow", from_us=1, to_us=2)
    dead(tmp_path, [prediction(7), gap, prediction(1), prediction(5)], handed=8)
    assert [one.count for one in recover(tmp_path, LATER)] == [2]  # 6 and 8


def test_a_second_recovery_changes_nothing(tmp_path):
    dead(tmp_path, [prediction(1)], handed=4)
    recover(tmp_path, LATER)
    before = [(path.name, path.read_bytes()) for path in sorted(tmp_path.iterdir())]
    assert recover(tmp_path, LATER) == []
    assert [(path.name, path.read_bytes()) for path in sorted(tmp_path.iterdir())] == before


def test_nothing_is_missing_when_all_is_there(tmp_path):
    dead(tmp_path, [prediction(1), prediction(2)], handed=2)
    assert recover(tmp_path, LATER) == []
    assert len(list(scan(tmp_path))) == 2


def test_a_writer_that_died_before_its_first_segment_is_accounted_for(tmp_path):
    ledger = Ledger(tmp_path, "w")
    ledger.sequence = 3
    ledger.close()
    assert [gap.count for gap in recover(tmp_path, LATER)] == [3]


def test_a_writer_that_died_between_two_segments_is_accounted_for(tmp_path):
    pen = writer(tmp_path)
    record(pen, 4)
    pen.close()
    ledger = Ledger(tmp_path, "w")
    ledger.sequence = 10
    ledger.close()
    assert [(gap.sequence, gap.count) for gap in recover(tmp_path, LATER)] == [(5, 6)]


def test_a_segment_begun_and_not_even_headed_goes(tmp_path):
    dead(tmp_path, [prediction(1)], handed=1)
    segment_path(tmp_path, "w", 2).write_bytes(b"SEAK")
    recover(tmp_path, LATER)
    assert [(part.first, part.state) for part in parts(tmp_path)[0]] == [(1, "seg")]


def test_a_living_writer_is_left_alone(tmp_path):
    pen = writer(tmp_path)
    record(pen, 3)
    pen.commit()
    assert recover(tmp_path, LATER) == []
    assert [part.state for part in parts(tmp_path)[0]] == ["open"]
    record(pen, 1)
    pen.close()
    assert len(list(scan(tmp_path))) == 4


def test_the_next_writer_settles_what_the_last_one_left(tmp_path):
    dead(tmp_path, [prediction(1)], handed=4)
    pen = writer(tmp_path)
    assert pen.next_sequence() == 5
    pen.append(prediction(5))
    pen.close()
    assert [gap.count for gap in gaps(tmp_path)] == [3]


def test_a_ledger_older_than_the_records_is_put_right(tmp_path):
    # As after a loss of power: the records were synced, the ledger's page was not.
    dead(tmp_path, [prediction(1), prediction(2), prediction(3)], handed=1)
    assert recover(tmp_path, LATER) == []
    pen = writer(tmp_path)
    assert pen.next_sequence() == 4
    pen.append(prediction(4))
    pen.close()


def test_recovery_interrupted_at_any_step_ends_the_same(tmp_path):
    # The states a kill can leave between recovery's steps, each recovered from anew.
    origin = tmp_path / "origin"
    origin.mkdir()
    dead(origin, [prediction(1), prediction(2)], handed=6)

    def copy(name: str):
        return shutil.copytree(origin, tmp_path / name)

    renamed = copy("renamed")
    ledger = Ledger(renamed, "w")
    ledger.accounted = 2
    ledger.close()
    segment_path(renamed, "w", 1).rename(segment_path(renamed, "w", 1, "seg"))

    begun = shutil.copytree(renamed, tmp_path / "begun")
    ledger = Ledger(begun, "w")
    ledger.segment = 2
    ledger.close()
    segment_path(begun, "w", 2).write_bytes(encode_header(Header("w", 2, NOW_US, 2)))

    written = shutil.copytree(begun, tmp_path / "written")
    buffer = bytearray(encode_header(Header("w", 2, NOW_US, 2)))
    add_frame(Gap(sequence=3, writer="w", count=4, reason="crash", from_us=1, to_us=2), buffer)
    segment_path(written, "w", 2).write_bytes(bytes(buffer))

    for folder in (copy("whole"), renamed, begun, written):
        recover(folder, LATER)
        found = list(scan(folder))
        assert [one.sequence for one in found if isinstance(one, Prediction)] == [1, 2], folder
        assert [gap.count for gap in found if isinstance(gap, Gap)] == [4], folder
        assert ledger_path(folder, "w").exists()
