import threading

import msgspec
import pytest
from tests.recording import NOW_US, all_same, batch, prediction, record, writer

from seakeep.clock import FixedClock
from seakeep.config import RecorderSettings
from seakeep.errors import RecorderError
from seakeep.recorder.layout import parts
from seakeep.recorder.ledger import ask_to_seal
from seakeep.recorder.reader import scan
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import EventBatch, Gap, Prediction


def test_what_is_committed_can_be_read_while_the_writer_lives(tmp_path):
    pen = writer(tmp_path)
    made = record(pen, 100)
    pen.commit()
    assert all_same(list(scan(tmp_path)), made)
    assert pen.waiting == 0
    pen.close()
    assert all_same(list(scan(tmp_path)), made)


def test_records_are_written_without_a_commit(tmp_path):
    pen = writer(tmp_path, commit_ms=1)
    record(pen, 3)
    for _ in range(2_000):
        if not pen.waiting:
            break
        threading.Event().wait(0.001)
    assert len(list(scan(tmp_path))) == 3
    pen.close()


def test_close_seals_and_the_next_writer_goes_on_counting(tmp_path):
    pen = writer(tmp_path)
    record(pen, 5)
    pen.close()
    assert [(part.first, part.state) for part in parts(tmp_path)[0]] == [(1, "seg")]
    pen = writer(tmp_path)
    assert pen.next_sequence() == 6
    pen.append(prediction(6))
    pen.close()
    assert [one.sequence for one in scan(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert [part.first for part in parts(tmp_path)[0]] == [1, 2]


def test_a_writer_that_wrote_nothing_leaves_no_segment(tmp_path):
    writer(tmp_path).close()
    assert parts(tmp_path)[0] == []


def test_segments_are_sealed_at_their_size(tmp_path):
    pen = writer(tmp_path, segment_mb=1)
    made = []
    for _ in range(4):
        made += record(pen, 1_500)
        pen.commit()
    pen.close()
    found = parts(tmp_path)[0]
    assert len(found) >= 2
    assert {part.state for part in found} == {"seg"}
    assert all_same(list(scan(tmp_path)), made)


def test_a_full_queue_drops_and_counts(tmp_path):
    pen = writer(tmp_path, queue_records=10, commit_ms=60_000)
    taken = [pen.append(prediction(pen.next_sequence())) for _ in range(25)]
    assert taken == [True] * 10 + [False] * 15
    pen.commit()
    found = list(scan(tmp_path))
    assert [one.sequence for one in found if isinstance(one, Prediction)] == list(range(1, 11))
    gap = Gap(sequence=11, writer="w", count=15, reason="overflow", from_us=NOW_US + 11, to_us=NOW_US + 25)
    assert [one for one in found if isinstance(one, Gap)] == [gap]
    pen.close()


def test_a_record_that_cannot_be_encoded_is_counted_and_the_others_are_kept(tmp_path):
    pen = writer(tmp_path, commit_ms=60_000)
    pen.append(prediction(pen.next_sequence()))
    assert not pen.append(prediction(pen.next_sequence(), request={"n": 2**80}))
    pen.append(prediction(pen.next_sequence()))
    pen.commit()
    found = list(scan(tmp_path))
    assert [one.sequence for one in found if isinstance(one, Prediction)] == [1, 3]
    assert [(one.sequence, one.count, one.reason) for one in found if isinstance(one, Gap)] == [(2, 1, "invalid")]
    pen.close()


def test_numbers_handed_out_and_never_used_are_counted_at_close(tmp_path):
    pen = writer(tmp_path)
    record(pen, 2)
    pen.next_sequence()
    pen.close()
    found = list(scan(tmp_path))
    assert [(one.sequence, one.count, one.reason) for one in found if isinstance(one, Gap)] == [(3, 1, "crash")]


def test_numbers_are_handed_out_in_rows(tmp_path):
    pen = writer(tmp_path)
    assert [pen.next_sequence(), pen.next_sequence(4), pen.next_sequence()] == [1, 2, 6]
    pen.close()


def test_a_second_writer_of_the_name_is_refused(tmp_path):
    pen = writer(tmp_path)
    with pytest.raises(RecorderError, match="another process"):
        writer(tmp_path)
    pen.close()


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "..", "-a"])
def test_names_that_are_not_file_names_are_refused(tmp_path, name):
    with pytest.raises(RecorderError, match="cannot name a writer"):
        writer(tmp_path, name)


def test_after_close_nothing_is_taken_and_close_may_be_called_again(tmp_path):
    pen = writer(tmp_path)
    pen.close()
    pen.close()
    assert not pen.append(prediction(1))


class Upper:
    """A policy that spells, and knows no batch."""

    def apply(self, one):
        if isinstance(one, EventBatch):
            raise RecorderError("nothing is known of it")
        return msgspec.structs.replace(one, request={"carrier": "REPLACED"})


def test_the_policy_is_applied_before_anything_is_written(tmp_path):
    pen = Writer(tmp_path, "w", clock=FixedClock(NOW_US), settings=RecorderSettings(), policy=Upper())
    assert pen.append(prediction(pen.next_sequence(), request={"carrier": "SECRET"}))
    assert not pen.append(batch(pen.next_sequence(), source="SECRET"))
    pen.close()
    data = next(tmp_path.glob("*.seg")).read_bytes()
    assert b"SECRET" not in data
    assert b"REPLACED" in data
    assert [(one.count, one.reason) for one in scan(tmp_path) if isinstance(one, Gap)] == [(1, "invalid")]


def test_another_process_has_a_segment_sealed(tmp_path):
    pen = writer(tmp_path, commit_ms=1)
    made = record(pen, 3)
    assert ask_to_seal(tmp_path, "w")
    assert [part.state for part in parts(tmp_path)[0]] == ["seg"]
    assert all_same(list(scan(tmp_path)), made)
    assert ask_to_seal(tmp_path, "w"), "there is nothing to seal"
    made += record(pen, 2)
    pen.commit()
    assert [part.state for part in parts(tmp_path)[0]] == ["seg", "open"]
    pen.close()
    assert all_same(list(scan(tmp_path)), made)
    assert not ask_to_seal(tmp_path, "w"), "the writer is gone"


def test_a_writer_that_cannot_seal_is_told(tmp_path, monkeypatch):
    pen = writer(tmp_path, commit_ms=1)
    record(pen, 1)
    pen.commit()
    monkeypatch.setattr(pen, "_seal", lambda asked: None)
    with pytest.raises(RecorderError, match="did not seal"):
        ask_to_seal(tmp_path, "w", patience_s=0.02)
    monkeypatch.undo()
    assert ask_to_seal(tmp_path, "w")
    pen.close()


def test_memory_is_bounded_also_by_large_records(tmp_path):
    pen = writer(tmp_path, queue_mb=0.5, commit_ms=60_000)
    big = {"text": "x" * 100_000}
    taken = [pen.append(prediction(pen.next_sequence(), request=big)) for _ in range(10)]
    assert taken == [True] * 6 + [False] * 4
    pen.close()


def test_commits_of_many_threads_each_cover_what_they_appended(tmp_path):
    pen = writer(tmp_path, commit_ms=60_000)
    seen: list[bool] = []

    def work() -> None:
        for _ in range(20):
            number = pen.next_sequence()
            pen.append(batch(number))
            pen.commit()
            seen.append(any(one.sequence == number for one in scan(tmp_path)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    pen.close()
    assert seen == [True] * 80
    assert sorted(one.sequence for one in scan(tmp_path)) == list(range(1, 81))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_the_thread_is_said_and_the_next_writer_counts(tmp_path, monkeypatch):
    pen = writer(tmp_path, commit_ms=1)
    record(pen, 2)
    pen.commit()
    monkeypatch.setattr(pen, "_gather", None)
    while not pen.fault:
        threading.Event().wait(0.001)
    record(pen, 3)
    with pytest.raises(RecorderError, match="thread has ended"):
        pen.commit()
    with pytest.raises(RecorderError):
        pen.close()
    handed = int.from_bytes((tmp_path / "w.ledger").read_bytes()[:8], "little")
    writer(tmp_path).close()
    found = list(scan(tmp_path))
    kept = sum(isinstance(one, Prediction) for one in found)
    assert sum(one.count for one in found if isinstance(one, Gap)) == handed - kept
