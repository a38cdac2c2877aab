"""Every audit store keeps the promises of the port: what the other stores change, it tells."""

import threading

import pytest
from tests.registering import NOW_US, digest, fill, key, run, version

from seakeep.errors import ConflictError
from seakeep.security.audit import GENESIS, RECORD, verify


def test_an_empty_log_is_a_chain(state):
    assert state.audit.list() == []
    assert state.verified() == []


def test_every_change_is_told_once_in_order(state, reopen):
    fill(state)
    told = ["train", "register", "judge", "promote", "receipt", "page", "create-key", "revoke-key"]
    assert state.verified() == told
    assert reopen().verified() == told
    entries = state.audit.list()
    assert [entry.number for entry in entries] == list(range(1, 9))
    assert [entry.previous for entry in entries] == [GENESIS, *(entry.digest for entry in entries[:-1])]


def test_every_entry_names_the_record_it_tells_of(state):
    fill(state)
    entries, records = state.audit.evidence()
    assert [*entries] == state.audit.list()
    assert sorted(records) == sorted(entry.details[RECORD] for entry in entries)
    assert len(set(records)) == 8


def test_what_was_refused_is_not_told(state):
    fill(state)
    before = state.audit.list()
    state.runs.add(run("r-2"), actor="ada")
    with pytest.raises(ConflictError):
        state.runs.add(run("r-2"), actor="ada")
    state.versions.add(version(1), actor="ada", now_us=NOW_US)
    state.keys.revoke("ci", actor="ada", now_us=NOW_US)
    assert len(state.audit.list()) == len(before) + 1


def test_texts_of_any_alphabet_are_told_as_they_are(state):
    state.keys.add(key(), actor='Ada "ç" \\ 🛥\n\0')
    (entry,) = state.audit.list()
    assert entry.actor == 'Ada "ç" \\ 🛥\n\0'
    assert state.verified() == ["create-key"]


def test_writers_side_by_side_give_one_chain(reopen):
    def work(name):
        state = reopen()
        for number in range(15):
            state.versions.add(version(bundle=digest((name, number))), actor=name, now_us=NOW_US)
        state.close()

    workers = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert verify(reopen().audit.list()) == 45
    assert [one.number for one in reopen().versions.list("late")] == list(range(45, 0, -1))
