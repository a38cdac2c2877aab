"""What docs/recorder.md says of the format is enough to read it: a reader written from that page reads every record."""

import json
import math
import re
from pathlib import Path

import msgspec
import pytest
from tests.conformance import independent_reader as reader
from tests.recording import NOW_US, batch, prediction

from seakeep.clock import FixedClock
from seakeep.config import RecorderSettings
from seakeep.recorder.compaction import compact
from seakeep.recorder.erasure import erase
from seakeep.recorder.keyring import Keyring, rotate
from seakeep.recorder.policy import KEY
from seakeep.recorder.query import gaps
from seakeep.recorder.reader import scan
from seakeep.recorder.subject import Subject
from seakeep.recorder.writer import Writer
from seakeep.records.prediction import EventBatch, Gap, Prediction
from seakeep.security.envelope import DataKey
from seakeep.security.privacy import Protector

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "recorder.md").read_text("utf-8")
KINDS = {Prediction: "p", EventBatch: "e", Gap: "g"}
EXTREMES = [5e-324, 1.7976931348623157e308, math.inf, -math.inf, -0.0, 0.1 + 0.2, math.nan]


def pen(folder, ring, name="w", **settings):
    return Writer(folder, name, clock=FixedClock(NOW_US), settings=RecorderSettings(**settings), keyring=ring)


def write(folder, ring, *, seal=True, events=True, name="w"):
    one = pen(folder, ring, name, commit_ms=1)
    for number in range(300):
        sequence = one.next_sequence()
        changes = [
            {"request": {"é": [1, -1, 2**40, -(2**40)], "n": None, "t": True, "x": 0.5, "text": "x" * 70_000}},
            {"numbers": EXTREMES, "categories": ["", "é" * 40], "feature_times_us": []},
            {"error": "row", "score": math.nan, "decision": True},
            {"version": 2, "role": "shadow", "pair": "p", "time_us": 5},
            {"scores": (0.25, 0.7, 0.05), "answer": "é"},
        ]
        one.append(prediction(sequence, **changes[number % len(changes)]))
        if number % 50 == 0:
            one.next_sequence()  # a number that is never used
        if events and number % 3 == 0:
            one.append(batch(one.next_sequence()))
    one.commit()
    if seal:
        one.close()
    return one


def normal(value):
    """Values that compare equal if they are the same in every bit."""
    if isinstance(value, float):
        return None if math.isnan(value) else value.hex()
    if isinstance(value, dict):
        return {name: normal(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [normal(one) for one in value]
    return value


def ours(folder):
    found = [(KINDS[type(one)], normal(msgspec.structs.asdict(one))) for one in scan(folder)]
    return sorted(found, key=str)


def theirs(folder):
    return sorted(((kind, normal(one)) for kind, one in reader.records(folder)), key=str)


@pytest.fixture(params=[False, True], ids=["clear", "encrypted"])
def ring(request, tmp_path):
    (tmp_path / "r").mkdir()
    return Keyring(tmp_path / "r", tmp_path / "keys" / "k") if request.param else None


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "r"


def test_every_record_is_read_alike(folder, ring):
    write(folder, ring, events=False)
    compact(folder, ring)
    write(folder, ring, events=False)
    write(folder, ring, name="worker-1")
    living = write(folder, ring, seal=False, name="x")
    found = theirs(folder)
    assert found == ours(folder)
    assert {kind for kind, _ in found} == {"p", "e", "g"}
    assert len(found) > 1_200
    living.close()


def test_also_after_an_erasure_and_a_rotation(folder, ring, tmp_path):
    write(folder, ring, events=False)
    compact(folder, ring)
    write(folder, ring)
    subject = Subject(frozenset({"flight-5", "flight-400"}), frozenset({"flight_id"}))
    assert erase(folder, subject, clock=FixedClock(NOW_US), keyring=ring).files == 2
    if ring:
        rotate([folder], tmp_path / "keys" / "k")
    assert theirs(folder) == ours(folder)


def test_what_a_torn_end_leaves_is_read_alike(folder, ring):
    living = write(folder, ring, seal=False)
    (path,) = folder.glob("*.open")
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) - 5_000, len(whole) - 90_000):
        path.write_bytes(whole[:size])
        assert theirs(folder) == ours(folder)
    path.write_bytes(whole)
    living.close()


def test_numbers_add_up_as_the_page_says(folder, ring):
    write(folder, ring)
    write(folder, ring)
    handed, begun, accounted, asked, answered = reader.ledger(folder / "w.ledger")
    found = list(reader.records(folder))
    kept = sum(kind != "g" for kind, _ in found)
    assert kept + sum(one["count"] for kind, one in found if kind == "g") == handed == accounted
    assert (begun, asked, answered) == (4, 0, 0), "two segments, and one for the gap of each"
    assert sum(gap.count for gap in gaps(folder)) == 12
    second = sorted(folder.glob("*.seg"))[2]
    assert reader.header_of(second)[3] == handed // 2


def test_the_examples_of_the_page_are_right():
    blocks = re.findall(r"^```\n((?:[0-9a-f]{2} .*\n)+)```$", PAGE, re.MULTILINE)
    plain, sealed = (
        bytes.fromhex("".join(re.findall(r"^(?:[0-9a-f]{2}(?: |$))+", block, re.MULTILINE))) for block in blocks
    )
    place, header = reader.frame(plain, 8)
    assert plain[:8] == b"SEAKSEG\x01"
    assert reader.unpack(header) == ["w", 1, 2, 3]
    assert place == 22
    end, payload = reader.frame(plain, place)
    assert end == len(plain)
    assert reader.unpack(payload) == ["g", 4, "w", 2, "disk", 5, 6]
    _, payload = reader.frame(sealed, 0)
    kind, content = reader.unpack(payload)
    assert kind == "x"
    assert DataKey(bytes(32)).open(place, content) == plain[place:]


def test_the_tables_of_the_page_name_every_element():
    for kind, type_ in (("p", Prediction), ("e", EventBatch), ("g", Gap)):
        table_on = PAGE[PAGE.index("| place |", PAGE.index(f'`"{kind}"`, a')) :]
        table = re.findall(r"^\| \d[^|]*\| ([^|]*)\|", table_on[: table_on.index("\n\n")], re.MULTILINE)
        names = [name for row in table for name in re.findall(r"[a-z_]+(?=,|:| |$)", row.split(":")[0].strip())]
        expected = [field.name for field in msgspec.structs.fields(type_)]
        assert [name for name in names if name in expected] == expected
        assert reader.FIELDS[kind] == expected


def test_every_setting_is_on_the_page():
    named = re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE[PAGE.index("## Settings") :], re.MULTILINE)
    fields = msgspec.structs.fields(RecorderSettings)
    assert [name for name, _ in named[: len(fields)]] == [field.name for field in fields]
    for (_, told), field in zip(named, fields, strict=False):
        assert told.strip("`") == msgspec.json.encode(field.default).decode()


def test_hashes_and_tokens_are_as_the_page_says():
    protector = Protector(b"pepper", b"t" * 32)
    for column, value in (("a", "é"), (KEY, "17"), ("b", {"y": 1, "x": [None, True]})):
        assert reader.hashed(b"pepper", column, value) == protector.hash(column, value)
        assert reader.revealed(b"t" * 32, protector.token(column, value)) == [column, value]


def test_the_figure_of_the_page_is_the_measured_one_and_within_its_limit():
    results = json.loads((ROOT / "benchmarks" / "results" / "recorder.json").read_text("utf-8"))
    (row,) = [one for one in results if one["figure"] == "recording: CPU a request"]
    assert f"costs a request {row['ours']:.1f} µs of CPU" in PAGE
    assert all(one["ours"] <= one["limit"] for one in results if one["limit"])
