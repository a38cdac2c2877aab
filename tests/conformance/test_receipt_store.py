"""Every store of receipts keeps the promises of the port."""

import math

import pytest
from tests.registering import NOW_US, receipt

from seakeep.errors import DataError


def test_receipts_are_read_as_they_were_kept_oldest_first(state, reopen):
    later, earlier = receipt(NOW_US + 9, evidence=("a «b»", "c")), receipt(NOW_US)
    for one in (later, earlier, receipt(NOW_US, model="fraud")):
        state.receipts.add_receipt(one)
    assert state.receipts.receipts("late") == [earlier, later]
    assert reopen().receipts.receipts("late") == [earlier, later]
    assert state.receipts.receipts("nobody") == []


def test_of_one_rollout_the_first_receipt_is_kept_and_told_once(state):
    state.receipts.add_receipt(receipt(requests=10))
    state.receipts.add_receipt(receipt(requests=11))
    assert [one.requests for one in state.receipts.receipts("late")] == [10]
    assert state.verified() == ["receipt"]


def test_a_receipt_whose_seconds_are_no_number_is_not_kept(state):
    with pytest.raises(DataError, match="the receipt cannot be kept"):
        state.receipts.add_receipt(receipt(detect_s=math.nan))
    assert state.receipts.receipts("late") == []


def test_the_audit_log_tells_what_the_rollout_did(state):
    state.receipts.add_receipt(receipt())
    (entry,) = state.audit.list()
    assert (entry.actor, entry.action, entry.subject) == ("rollout", "receipt", "late")
    told = {name: entry.details[name] for name in ("outcome", "candidate", "requests", "failed")}
    assert told == {"outcome": "rolled-back", "candidate": "2", "requests": "1000", "failed": "0"}
