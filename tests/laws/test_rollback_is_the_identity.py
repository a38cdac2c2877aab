"""Law 5: rollback after promote leaves everything that answers as it was before."""

import pytest
from tests.flights import MODEL, Server, opened, twin, wait_for

from seakeep.errors import ConflictError, NotFoundError

pytestmark = pytest.mark.slow


@pytest.fixture
def project(flights_at):
    with opened(flights_at("promoted")) as project:
        yield project


def lenient(project):
    """A version that answers otherwise: the same model, but every score is a yes."""
    return twin(project, threshold=0.0)


@pytest.mark.parametrize("now", [True, False])
def test_the_routes_after_it_are_the_routes_before_it(project, now):
    before = project.stores.releases.routes()
    other = lenient(project)
    during = project.promote(other.ref, actor="ann", now=now)
    assert during.routes != tuple(before)
    assert {route.version for route in during.routes} == ({2} if now else {1, 2})
    after = project.rollback(MODEL, actor="ben", reason="second thoughts")
    assert project.stores.releases.routes() == before == list(after.routes)
    assert project.resolve(MODEL).number == 1


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_as_many_rollbacks_as_promotions_lead_back(project, depth):
    before = project.stores.releases.routes()
    for _ in range(depth):
        project.promote(lenient(project).ref, actor="ann", now=True)
    assert project.resolve(MODEL).number == depth + 1
    for _ in range(depth):
        project.rollback(MODEL, actor="ann")
    assert project.stores.releases.routes() == before
    with pytest.raises(NotFoundError, match="has no champion before this one"):
        project.rollback(MODEL)


def test_history_forgets_neither(project):
    first = project.history(MODEL)[0]
    promoted = project.promote(lenient(project).ref, actor="ann", now=True)
    back = project.rollback(MODEL, actor="ben", reason="second thoughts")
    assert [(one.action, one.actor) for one in project.history(MODEL)][1:] == [("promote", "ann"), ("rollback", "ben")]
    assert back.reason == "second thoughts"
    for moment, release in ((promoted.from_us - 1, first), (promoted.from_us, promoted), (back.from_us, back)):
        assert project.history(MODEL, at_us=moment) == [release]
    assert project.history(MODEL, at_us=first.from_us - 1) == []
    assert project.verify_audit() == len(project.stores.audit.list())
    assert [entry.action for entry in project.stores.audit.list()][-2:] == ["promote", "rollback"]


def test_who_rolls_back_a_release_that_is_gone_is_told(project):
    seen = project.promote(lenient(project).ref, actor="ann")
    project.rollback(MODEL, actor="ann")
    with pytest.raises(ConflictError, match="is at revision 3, not 2"):
        project.stores.promotion.rollback(MODEL, revision=seen.revision, reason="late")


def test_a_running_server_answers_as_before(project, history):
    rows = history.requests.rows[:50]
    with Server(project.folder) as server:

        def answers():
            return [(one["key"], one["score"], one["decision"], one["version"]) for one in server.predict(rows)]

        def answers_of(number):
            found = answers()
            return found if {one[-1] for one in found} == {number} else None

        before = answers()
        assert {version for *_, version in before} == {1}
        project.promote(lenient(project).ref, actor="ann", now=True)
        during = wait_for(lambda: answers_of(2))
        assert [one[:2] for one in during] == [one[:2] for one in before]
        assert all(decision for _, _, decision, _ in during)
        assert not all(decision for _, _, decision, _ in before)
        project.rollback(MODEL, actor="ann")
        assert wait_for(lambda: answers_of(1)) == before
