import contextlib
import os
import subprocess
import threading

import pytest
from tests.recording import NOW_US, all_same, batch, prediction, start

from seakeep.clock import FixedClock
from seakeep.config import RecorderSettings
from seakeep.errors import RecorderError
from seakeep.recorder import erasure
from seakeep.recorder.compaction import compact
from seakeep.recorder.container import opened
from seakeep.recorder.erasure import Erased, count, erase
from seakeep.recorder.keyring import Keyring
from seakeep.recorder.layout import parts
from seakeep.recorder.query import Query, gaps, load
from seakeep.recorder.reader import Tail, scan
from seakeep.recorder.subject import Subject
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import EventBatch, Gap, Prediction

CLOCK = FixedClock(NOW_US)
ADA = Subject(forms=frozenset({"ada-lovelace", "token:abc"}), columns=frozenset({"passenger", "flight_id"}))


@pytest.fixture(params=[False, True], ids=["clear", "encrypted"])
def keyring(request, tmp_path):
    folder = tmp_path / "r"
    folder.mkdir()
    return Keyring(folder, tmp_path / "keys" / "k") if request.param else None


@pytest.fixture
def folder(tmp_path, keyring):
    return tmp_path / "r"


def pen(folder, keyring, name="w"):
    return Writer(folder, name, clock=CLOCK, settings=RecorderSettings(commit_ms=1), keyring=keyring)


def asked(number, who):
    """Predictions that name a passenger in every place there is."""
    changes = {
        0: {"key": who},
        1: {"request": {"passenger": who, "carrier": "UA"}},
        2: {"categories": ["UA", who]},
        3: {"request": {"passenger": f"{who}-junior", "note": who}},  # somebody else
    }
    return prediction(number, **changes[number % 4])


def keyed(number, who):
    return prediction(number, key=who)


def told(number, *who):
    cells = list(who)
    return batch(number, columns={"passenger": cells, "arr_delay": [float(place) for place in range(len(cells))]})


def write(folder, keyring, makes, name="w"):
    one = pen(folder, keyring, name)
    made = [make(one.next_sequence()) for make in makes]
    for record in made:
        assert one.append(record)
    one.commit()
    return one, made


def bytes_of(folder):
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_every_record_of_the_subject_goes_and_all_others_stay_in_every_bit(folder, keyring):
    makes = [lambda n, who=who: asked(n, who) for who in ["ada-lovelace", "grace-hopper"] * 20]
    compacted, first = write(folder, keyring, makes)
    compacted.close()
    compact(folder, keyring)
    sealed, second = write(folder, keyring, makes)
    sealed.close()
    living, third = write(folder, keyring, makes, name="x")
    made = first + second + third
    gone = [one for one in made if ADA.asked(one)]
    assert 0 < len(gone) < len(made) // 2
    assert count(folder, ADA) == Erased(predictions=len(gone))

    assert erase(folder, ADA, clock=CLOCK, keyring=keyring) == Erased(predictions=len(gone), files=3)
    left = [one for one in scan(folder) if isinstance(one, Prediction)]
    assert all_same(sorted(left, key=str), sorted((one for one in made if not ADA.asked(one)), key=str))
    lost = [gap for gap in gaps(folder) if gap.reason == "erased"]
    assert sum(gap.count for gap in lost) == len(gone)
    assert count(folder, ADA) == Erased()
    assert len(load(folder, Query(model="late-arrival"))) == len(left)
    living.close()
    assert erase(folder, ADA, clock=CLOCK, keyring=keyring) == Erased()


def test_no_byte_is_left(folder, keyring):
    one, _ = write(folder, keyring, [lambda n: keyed(n, "ada-lovelace"), lambda n: keyed(n, "grace-hopper")] * 50)
    one.close()
    compact(folder, keyring)
    one, _ = write(folder, keyring, [lambda n: keyed(n, "token:abc"), lambda n: told(n, "ada-lovelace", "grace")])
    if keyring is None:
        assert b"ada-lovelace" in bytes_of(folder)
    erase(folder, ADA, clock=CLOCK, keyring=keyring)
    one.close()
    held = bytes_of(folder)
    for part in parts(folder)[0]:
        if part.state == "parquet":
            with opened(part.path) as name, open(name, "rb") as file:  # noqa: PTH123 -- it may be in memory alone
                held += file.read()
    assert b"ada-lovelace" not in held
    assert b"token:abc" not in held


def test_events_lose_the_subjects_rows_and_their_batches_still_count_once(folder, keyring):
    makes = [
        lambda n: told(n, "ada-lovelace", "grace", "ada-lovelace"),
        lambda n: told(n, "grace"),
        lambda n: told(n, "ada-lovelace"),
    ]
    one, made = write(folder, keyring, makes)
    assert erase(folder, ADA, clock=CLOCK, keyring=keyring) == Erased(events=3, files=1)
    left = [record for record in scan(folder) if isinstance(record, EventBatch)]
    assert [record.batch for record in left] == [record.batch for record in made]
    assert [record.columns for record in left] == [
        {"passenger": ["grace"], "arr_delay": [1.0]},
        made[1].columns,
        {"passenger": [], "arr_delay": []},
    ]
    one.close()
    assert gaps(folder) == []


def test_what_a_writer_has_in_memory_is_reached(folder, keyring):
    one = Writer(folder, "w", clock=CLOCK, settings=RecorderSettings(commit_ms=50), keyring=keyring)
    one.append(keyed(one.next_sequence(), "ada-lovelace"))
    assert erase(folder, ADA, clock=CLOCK, keyring=keyring).predictions == 1
    one.append(keyed(one.next_sequence(), "grace"))
    one.close()
    assert [record.key for record in scan(folder) if isinstance(record, Prediction)] == ["grace"]


WRITE = """
import sys, pathlib
from seakeep.clock import SystemClock
from seakeep.config import RecorderSettings
from seakeep.recorder.writer import Writer
from tests.recording import prediction
pen = Writer(pathlib.Path(sys.argv[1]), "w", clock=SystemClock(), settings=RecorderSettings(commit_ms=2))
for _ in range(20):
    pen.append(prediction(pen.next_sequence(), key="ada-lovelace"))
pen.commit()
print("ready", flush=True)
sys.stdin.read()
pen.close()
"""


@pytest.mark.parametrize("alive", [True, False])
def test_segments_of_other_processes_are_reached_dead_or_alive(tmp_path, alive):
    process = start(WRITE, tmp_path, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    if not alive:
        process.kill()
        process.wait()
    assert erase(tmp_path, ADA, clock=CLOCK) == Erased(predictions=20, files=1)
    assert b"ada-lovelace" not in bytes_of(tmp_path)
    process.communicate()
    assert [(gap.count, gap.reason) for gap in gaps(tmp_path)] == [(20, "erased")]


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("form", ["parquet", "seg"])
def test_cut_off_at_any_moment_nothing_else_is_lost_or_doubled_and_the_next_call_ends_it(
    folder, keyring, place, form, monkeypatch
):
    one, made = write(folder, keyring, [lambda n: keyed(n, "ada-lovelace"), lambda n: keyed(n, "grace")] * 3)
    one.close()
    if form == "parquet":
        compact(folder, keyring)
    calls = 0

    def interrupting(function):
        def call(*given, **named):
            nonlocal calls
            calls += 1
            if calls == place:
                raise KeyboardInterrupt
            return function(*given, **named)

        return call

    for name in ("rename", "unlink", "fsync", "open"):
        monkeypatch.setattr(os, name, interrupting(getattr(os, name)))
    with contextlib.suppress(KeyboardInterrupt):
        erase(folder, ADA, clock=CLOCK, keyring=keyring)
    monkeypatch.undo()
    left = [record.key for record in scan(folder) if isinstance(record, Prediction)]
    assert left.count("grace") == 3
    assert left.count("ada-lovelace") in {0, 3}
    erase(folder, ADA, clock=CLOCK, keyring=keyring)
    assert [record.key for record in scan(folder) if isinstance(record, Prediction)] == ["grace"] * 3
    assert sum(gap.count for gap in gaps(folder)) == 3
    kept = {file.name for file in folder.iterdir() if file.suffix in {".seg", ".parquet", ".aes", ".key", ".tmp"}}
    assert len(kept) == (2 if keyring else 1)
    assert len(made) == 6


def test_it_waits_for_who_reads_and_says_so_in_the_end(folder, keyring, monkeypatch):
    one, _ = write(folder, keyring, [lambda n: keyed(n, "ada-lovelace")])
    one.close()
    compact(folder)
    if keyring:
        compact(folder, keyring)
    (part,) = parts(folder)[0]
    monkeypatch.setattr(erasure, "PATIENCE_S", 0.05)
    with opened(part.path), pytest.raises(RecorderError, match="is being read"):
        erase(folder, ADA, clock=CLOCK, keyring=keyring)
    monkeypatch.undo()
    reading, release = threading.Event(), threading.Event()

    def read():
        with opened(part.path):
            reading.set()
            release.wait()

    reader = threading.Thread(target=read)
    reader.start()
    reading.wait()
    eraser = threading.Thread(target=erase, args=(folder, ADA), kwargs={"clock": CLOCK, "keyring": keyring})
    eraser.start()
    release.set()
    reader.join()
    eraser.join()
    assert not part.path.exists()


def test_a_tail_goes_on_as_if_nothing_had_happened(folder, keyring):
    tail = Tail(folder)
    one, made = write(folder, keyring, [lambda n: keyed(n, "grace"), lambda n: keyed(n, "ada-lovelace")])
    assert len(tail.poll()) == 2
    erase(folder, ADA, clock=CLOCK, keyring=keyring)
    one.append(keyed(one.next_sequence(), "grace"))
    one.close()
    assert [record.key for record in tail.poll()] == ["grace"]
    compact(folder, keyring)
    assert tail.poll() == []
    tail.close()
    assert len(made) == 2


def test_numbers_are_found_as_they_were_sent(tmp_path):
    subject = Subject(frozenset({"17"}), frozenset({"passenger"}))
    makes = [lambda n, who=who: prediction(n, request={"passenger": who}) for who in (17, "17", 17.5, 117, True)]
    one, _ = write(tmp_path, None, makes)
    one.append(told(one.next_sequence(), 17, 18))
    assert erase(tmp_path, subject, clock=CLOCK) == Erased(predictions=2, events=1, files=1)
    one.close()


def test_texts_that_json_and_sql_write_in_their_own_way_are_found(tmp_path):
    who = 'it\'s "Ada" \\ é\n'
    subject = Subject(frozenset({who}), frozenset({"passenger"}))
    makes = [
        lambda n, change=change: prediction(n, **change) for change in ({"key": who}, {"request": {"passenger": who}})
    ]
    one, _ = write(tmp_path, None, makes)
    one.close()
    compact(tmp_path)
    assert erase(tmp_path, subject, clock=CLOCK).predictions == 2


def test_what_is_damaged_is_told_and_left(tmp_path):
    one, _ = write(tmp_path, None, [lambda n: keyed(n, "ada-lovelace")] * 3)
    one.close()
    path = parts(tmp_path)[0][0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert erase(tmp_path, ADA, clock=CLOCK) == Erased(unreadable=(path.name,))
    assert path.exists()


def test_what_was_encrypted_stays_encrypted(tmp_path):
    keyring = Keyring(tmp_path, tmp_path / "keys" / "k")
    one, _ = write(tmp_path, keyring, [lambda n: keyed(n, "ada-lovelace")])
    one.close()
    with pytest.raises(RecorderError, match="is encrypted, and so must be"):
        erase(tmp_path, ADA, clock=CLOCK)
    assert erase(tmp_path, ADA, clock=CLOCK, keyring=keyring).predictions == 1


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path, monkeypatch):
    one, _ = write(tmp_path, None, [lambda n: keyed(n, "ada-lovelace"), lambda n: keyed(n, "grace")])
    one.close()

    def fsync(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(RecorderError, match="No space left"):
        erase(tmp_path, ADA, clock=CLOCK)
    monkeypatch.undo()
    assert len(list(scan(tmp_path))) == 2
    assert not list(tmp_path.glob("*.tmp"))
    assert erase(tmp_path, ADA, clock=CLOCK).predictions == 1
    assert [one.reason for one in scan(tmp_path) if isinstance(one, Gap)] == ["erased"]


def test_a_folder_that_is_not_there_holds_nobody(tmp_path):
    assert erase(tmp_path / "none", ADA, clock=CLOCK) == count(tmp_path / "none", ADA) == Erased()
