"""Every store of pages keeps the promises of the port."""

from tests.registering import NOW_US, page


def test_pages_are_read_as_they_were_kept_oldest_first(state, reopen):
    later, earlier = page(NOW_US + 9, reasons=("a «b»", "c")), page(NOW_US)
    assert all(state.pages.add(one) for one in (later, earlier, page(NOW_US, model="fraud")))
    assert state.pages.pages("late") == [earlier, later]
    assert reopen().pages.pages("late") == [earlier, later]
    assert state.pages.pages("nobody") == []


def test_of_one_moment_the_first_page_is_kept_and_told_once(state):
    assert state.pages.add(page(reasons=("first",)))
    assert not state.pages.add(page(reasons=("second",)))
    assert [one.reasons for one in state.pages.pages("late")] == [("first",)]
    assert state.verified() == ["page"]


def test_the_audit_log_tells_why_somebody_was_told(state):
    state.pages.add(page(reasons=("slow", "wrong")))
    (entry,) = state.audit.list()
    assert (entry.actor, entry.action, entry.subject) == ("watch", "page", "late:1")
    assert entry.details["reasons"] == "slow; wrong"
