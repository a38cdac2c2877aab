"""Law 11: the audit chain verifies, and one changed, removed, inserted or moved byte or entry breaks it."""

import contextlib
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.registering import fill, open_sqlite

from seakeep.errors import IntegrityError
from seakeep.records.release import AuditEntry
from seakeep.security.audit import digest_of, follow, verify

TEXTS = st.text(max_size=12)
CHANGES = st.tuples(st.integers(-(2**53), 2**53), TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3))


@st.composite
def chains(draw):
    entries = []
    for time_us, actor, action, subject, details in draw(st.lists(CHANGES, min_size=1, max_size=6)):
        last = entries[-1] if entries else None
        entries.append(follow(last, time_us=time_us, actor=actor, action=action, subject=subject, details=details))
    return entries


@given(chains())
def test_every_chain_that_was_followed_verifies(entries):
    assert verify(entries) == len(entries)
    assert all(entry.digest == digest_of(entry) for entry in entries)


@given(chains(), st.data())
def test_a_changed_field_is_found(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    name = data.draw(st.sampled_from(AuditEntry.__struct_fields__))
    old = getattr(entries[place], name)
    other = {int: st.integers(-(2**53), 2**53), str: TEXTS, dict: st.dictionaries(TEXTS, TEXTS, max_size=3)}[type(old)]
    new = data.draw(other.filter(lambda value: value != old))
    changed = AuditEntry(
        **{field: getattr(entries[place], field) for field in AuditEntry.__struct_fields__} | {name: new}
    )
    with pytest.raises(IntegrityError):
        verify([*entries[:place], changed, *entries[place + 1 :]])


@given(chains(), st.data())
def test_an_order_of_entries_other_than_theirs_is_found(entries, data):
    other = data.draw(st.lists(st.sampled_from(entries), min_size=1, max_size=len(entries) + 2))
    if other == entries[: len(other)]:
        assert verify(other) == len(other)
    else:
        with pytest.raises(IntegrityError):
            verify(other)


@given(chains(), chains(), st.data())
def test_an_entry_of_another_log_is_found_wherever_another_entry_follows_it(entries, others, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    stranger = data.draw(st.sampled_from(others).filter(lambda entry: entry != entries[place]))
    with pytest.raises(IntegrityError):
        verify([*entries[:place], stranger, *entries[place:]])
    if place + 1 < len(entries):
        with pytest.raises(IntegrityError):
            verify([*entries[:place], stranger, *entries[place + 1 :]])


# The log as it stands in the file


@contextlib.contextmanager
def rows_of(folder):
    """The stored entries, and how to replace them, as somebody with the rights to the file can."""
    connection = sqlite3.connect(folder / "state.db", isolation_level=None)
    connection.execute("DROP TRIGGER IF EXISTS audit_no_UPDATE")
    rows = connection.execute("SELECT record FROM audit ORDER BY number").fetchall()
    yield (
        [record for (record,) in rows],
        lambda number, record: connection.execute("UPDATE audit SET record = ? WHERE number = ?", (record, number)),
    )
    connection.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    state = open_sqlite(folder)
    fill(state)
    yield folder, state
    state.close()


def found(state):
    try:
        state.verified()
    except IntegrityError:
        return True
    return False


@pytest.mark.slow
def test_every_flipped_bit_of_a_stored_entry_is_found(filled):
    folder, state = filled
    with rows_of(folder) as (records, replace):
        number, record = 4, records[3]
        for place in range(len(record)):
            replace(number, record[:place] + bytes([record[place] ^ 1 << place % 8]) + record[place + 1 :])
            assert found(state), f"byte {place}: {record[place : place + 1]!r}"
        replace(number, record)
        assert not found(state)


@pytest.mark.parametrize("space", [b" ", b"\t", b"\n"])
def test_a_space_that_changes_no_meaning_is_found_too(filled, space):
    folder, state = filled
    with rows_of(folder) as (records, replace):
        record = records[0]
        for changed in (space + record, record + space, record.replace(b":", b":" + space, 1)):
            replace(1, changed)
            assert found(state)
        replace(1, record)
        assert not found(state)


@settings(max_examples=150)
@given(data=st.data())
def test_every_byte_that_is_changed_removed_or_inserted_in_a_stored_entry_is_found(filled, data):
    folder, state = filled
    with rows_of(folder) as (records, replace):
        number = data.draw(st.integers(1, len(records)))
        record = records[number - 1]
        place, length = data.draw(st.integers(0, len(record) - 1)), data.draw(st.integers(0, 3))
        changed = record[:place] + data.draw(st.binary(max_size=3)) + record[place + length :]
        try:
            replace(number, changed)
            assert found(state) is (changed != record)
        finally:
            replace(number, record)
