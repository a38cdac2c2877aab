"""What folders lack is told: damage with its place, gaps by their reasons."""

from tests.recording import flip, record, writer

from seakeep.recorder.losses import Losses, losses
from seakeep.records.prediction import Gap


def gap(count, reason):
    return Gap(sequence=1, writer="w", count=count, reason=reason, from_us=0, to_us=1)


def test_of_whole_records_and_of_no_folder_there_is_nothing_to_tell(tmp_path):
    pen = writer(tmp_path / "a")
    record(pen, 50)
    pen.close()
    assert losses(tmp_path / "a", tmp_path / "none") == Losses()
    assert Losses().sentences == ()


def test_a_flipped_byte_is_told_with_its_place(tmp_path):
    pen = writer(tmp_path / "a")
    record(pen, 50)
    pen.close()
    flip(tmp_path / "a")
    (place,) = losses(tmp_path / "a").damage
    (sentence,) = losses(tmp_path / "a").sentences
    assert sentence == f"{place.length:,} bytes at offset {place.offset:,} of {place.file} cannot be read"


def test_gaps_are_counted_by_their_reason():
    found = Losses(gaps=(gap(2, "crash"), gap(1_500, "overflow"), gap(3, "crash")))
    assert found.sentences == ("1,505 records are missing, which was counted: 1,500 overflow, 5 crash",)
