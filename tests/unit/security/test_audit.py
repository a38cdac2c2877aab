import hashlib

import msgspec
import pytest

from seakeep.errors import IntegrityError
from seakeep.security.audit import GENESIS, RECORD, digest_of, follow, verify, verify_records


def chain(length, records=()):
    entries = []
    for number in range(length):
        details = {"n": str(number)} | ({RECORD: records[number]} if records else {})
        last = entries[-1] if entries else None
        entries.append(follow(last, time_us=number, actor="ada", action="promote", subject="late", details=details))
    return entries


def edited(entries, place, **changes):
    """With one entry changed and its own digest made right again."""
    entry = msgspec.structs.replace(entries[place], **changes)
    return [*entries[:place], msgspec.structs.replace(entry, digest=digest_of(entry)), *entries[place + 1 :]]


def test_the_first_entry_follows_nothing():
    (entry,) = chain(1)
    assert (entry.number, entry.previous) == (1, GENESIS)
    assert verify([entry]) == 1
    assert verify([]) == 0


def test_a_digest_is_over_the_previous_one_and_the_canonical_rest():
    entry = follow(None, time_us=7, actor="ada", action="train", subject="r-1", details={"b": "2", "a": "1"})
    rest = (
        '{"action":"train","actor":"ada","details":{"a":"1","b":"2"},"number":1,'
        f'"previous":"{GENESIS}","subject":"r-1","time_us":7}}'
    )
    assert entry.digest == hashlib.sha256((GENESIS + rest).encode()).hexdigest()


def test_the_order_of_details_does_not_matter_and_they_are_copied():
    given = {"b": "2", "a": "1"}
    entry = follow(None, time_us=0, actor="", action="", subject="", details=given)
    same = follow(None, time_us=0, actor="", action="", subject="", details=dict(reversed(given.items())))
    given["a"] = "3"
    assert entry.digest == same.digest == digest_of(entry)


@pytest.mark.parametrize(
    "changes",
    [
        {"time_us": 99},
        {"actor": "eve"},
        {"action": "rollback"},
        {"subject": "fraud"},
        {"details": {}},
        {"details": {"n": "1 "}},
        {"digest": "f" * 64},
        {"digest": ""},
    ],
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_changed_entry_is_named(changes, place):
    entries = chain(5)
    entries[place] = msgspec.structs.replace(entries[place], **changes)
    with pytest.raises(IntegrityError, match=f"entry {place + 1} of the audit log was changed"):
        verify(entries)


def test_an_entry_that_was_changed_together_with_its_digest_is_not_followed():
    with pytest.raises(IntegrityError, match="entry 3 of the audit log does not follow"):
        verify(edited(chain(5), 1, actor="eve"))
    with pytest.raises(IntegrityError, match="entry 2 of the audit log does not follow"):
        verify(edited(chain(5), 1, previous=GENESIS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e[1:], "entry 1 of the audit log is missing: 2 stands in its place"),
        (lambda e: [*e[:2], *e[3:]], "entry 3 of the audit log is missing: 4"),
        (lambda e: [e[0], *e], "entry 2 of the audit log is missing: 1"),
        (lambda e: [e[1], e[0], *e[2:]], "entry 1 of the audit log is missing: 2"),
        (lambda e: e[::-1], "entry 1 of the audit log is missing: 5"),
        (lambda e: [*e[:4], chain(6)[5]], "entry 5 of the audit log is missing: 6"),
        (lambda e: edited(e[1:], 0, number=1), "entry 1 of the audit log does not follow"),
    ],
)
def test_what_was_removed_inserted_or_moved_is_named(change, message):
    with pytest.raises(IntegrityError, match=message) as raised:
        verify(change(chain(5)))
    assert "backup" in raised.value.hint


def test_the_log_and_the_records_tell_the_same():
    verify_records(chain(3, "abc"), ["c", "a", "b"])
    verify_records(chain(3, "aab"), ["a", "b", "a"])
    verify_records([], [])


def test_a_log_that_was_cut_at_its_end_is_a_chain_that_does_not_tell_of_every_record():
    entries = chain(3, "abc")
    assert verify(entries[:1]) == 1
    with pytest.raises(IntegrityError, match="does not tell of 2 records"):
        verify_records(entries[:1], "abc")


@pytest.mark.parametrize("records", ["ab", "abx", "aab", ""])
def test_a_record_that_was_changed_or_removed_is_named_by_its_entry(records):
    with pytest.raises(IntegrityError, match=r"entry \d of the audit log tells of promote late, which was changed"):
        verify_records(chain(3, "abc"), records)


def test_a_record_that_was_told_once_counts_once():
    with pytest.raises(IntegrityError, match="entry 2"):
        verify_records(chain(2, "aa"), "a")
    with pytest.raises(IntegrityError, match="does not tell of 1 records"):
        verify_records(chain(1, "a"), "aa")


def test_an_entry_that_tells_of_no_record_is_not_believed():
    with pytest.raises(IntegrityError, match="entry 1"):
        verify_records(chain(1), [])
