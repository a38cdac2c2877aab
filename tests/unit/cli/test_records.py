"""``records`` and ``erase``, after three days of traffic."""

import json

import pytest
from tests.flights import MODEL

from seakeep.backends.files.keys import load_or_create_protector
from seakeep.cli.records import erasure_text
from seakeep.recorder import query
from seakeep.records.erasure import Erasure

pytestmark = pytest.mark.slow

DONE = Erasure(
    subject="blake2b:00", time_us=1, predictions=1_200, events=3, features=4, files=5, searched_files=6,
    searched_bytes=7_000, left=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def someone(recorded):
    """The key of a flight that asked, and its predictions."""
    key = query.load(recorded.home.predictions, query.Query(model=MODEL)).key[0]
    return key, query.of_key(recorded.home.predictions, key)


def test_status_tells_what_is_there_and_what_is_missing(seakeep, at, recorded):
    rows = json.loads(seakeep("records", "status", *at("recorded"), "--json").out)
    assert [row["name"] for row in rows] == ["predictions", "events"]
    assert all(row["files"] > 0 and row["size"] > 0 and row["encrypted"] == row["expired"] == 0 for row in rows)
    lost = {gap.reason for gap in query.gaps(recorded.home.predictions)}
    assert set(rows[0]["missing"]) == lost
    said = seakeep("records", "status", *at("recorded")).out.splitlines()
    assert said[0].split() == ["records", "files", "MB", "encrypted", "missing", "let", "go"]
    assert said[2].split()[0] == "predictions"


def test_list_finds_the_predictions_of_a_key(seakeep, at, someone):
    key, expected = someone
    rows = json.loads(seakeep("records", "list", key, *at("recorded"), "--json").out)
    assert [row["id"] for row in rows] == [one.id for one in expected]
    assert expected[0].id in seakeep("records", "list", key, *at("recorded")).out
    assert seakeep("records", "list", "nobody", *at("recorded")).out == "no prediction for 'nobody' is recorded\n"


def test_reveal_reads_a_token_and_nothing_else(seakeep, at, recorded):
    token = load_or_create_protector(recorded.home.keys).token("passenger", "Ada")
    assert seakeep("records", "reveal", token, *at("recorded")).out == "Ada\n"
    told = json.loads(seakeep("records", "reveal", token, *at("recorded"), "--json").out)
    assert told == {"column": "passenger", "value": "Ada"}
    assert (
        "'token:x' is no token of this project" in seakeep("records", "reveal", "token:x", *at("recorded"), code=1).err
    )


def test_there_is_no_key_to_rotate_where_nothing_is_encrypted(seakeep, at):
    said = seakeep("records", "rotate-key", *at("recorded"), code=1).err
    assert "the records are not encrypted" in said
    assert "recorder.encrypt = true" in said


def test_an_erasure_asks_first(seakeep, at, someone, recorded):
    key, expected = someone
    said = seakeep("erase", key, *at("recorded"), code=2).err
    assert "an erasure cannot be undone; say --yes" in said
    assert len(query.of_key(recorded.home.predictions, key)) == len(expected) > 0


def test_what_is_damaged_is_not_vouched_for(seakeep, flights_at):
    folder = flights_at("recorded")
    path = next((folder / ".seakeep" / "recorder" / "events").glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    said = seakeep("erase", "17", "--yes", "--project", folder, code=4)
    assert f"damaged    {path.name}" in said.out
    assert "audit log" not in said.err


def test_the_result_in_words():
    assert erasure_text(DONE).splitlines() == [
        "taken out  1,200 predictions, 3 events, 4 states of features",
        "searched   6 files, 7,000 bytes, and every record",
        "left       nothing",
    ]
    import msgspec

    some = msgspec.structs.replace(DONE, left=2, unreadable=("w-1.seg",), datasets=("ab" * 32,))
    assert erasure_text(some).splitlines()[2:] == [
        "left       2 places",
        "damaged    w-1.seg: what cannot be read cannot be vouched for",
        "training   dataset versions abababababab hold it, and stay as they are: so do the models trained on them",
    ]
    assert DONE.complete
    assert not some.complete


def test_an_erasure_of_nobody_says_so_and_is_entered(seakeep, flights_at):
    folder = flights_at("recorded")
    said = seakeep("erase", "nobody-at-all", "--yes", "--project", folder)
    assert "nothing names 'nobody-at-all'" in said.err
    assert "left       nothing" in said.out
    assert " erase " in seakeep("audit", "list", "--project", folder).out
