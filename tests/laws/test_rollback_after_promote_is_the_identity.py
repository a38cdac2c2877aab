"""Law 5, over random histories: what a promotion changed, a rollback takes back, whatever came before."""

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.registering import FAILED, NOW_US, PASSED, open_sqlite, release, route, version

from seakeep.clock import FixedClock
from seakeep.errors import ConflictError, NotFoundError, SeakeepError
from seakeep.records.model import Canary
from seakeep.registry.promotion import Promotion, returned

VERSIONS = st.integers(1, 4)
CANARY = Canary([0.1, 0.5, 1.0])


class Releases:
    """Releases in memory."""

    def __init__(self):
        self.kept = []

    def history(self, model):
        return list(self.kept)

    def append(self, release, *, details):
        assert release.revision == len(self.kept) + 1
        self.kept.append(release)


class Histories(RuleBasedStateMachine):
    """Promotes, advances and takes back at random, beside the simplest possible account of it: a stack of champions."""

    releases = None

    @initialize()
    def begin(self):
        self.clock = FixedClock(NOW_US)
        self.releases = self.open()
        self.promotion = Promotion(self.releases, clock=self.clock)
        self.champions, self.candidate, self.share = [], 0, 0.0

    def open(self):
        return Releases()

    def routes(self):
        return self.promotion.history("late")[-1].routes if self.promotion.history("late") else ()

    def promote(self, number, **how):
        return self.promotion.promote(version(number), results=PASSED, canary=CANARY, actor="ada", **how)

    def expect(self, kind, change):
        before = self.promotion.history("late")
        try:
            change()
        except SeakeepError as error:
            assert type(error) is kind  # noqa: PT017 -- the machine decides which is due
            assert self.promotion.history("late") == before
        else:
            assert kind is None

    @rule(number=VERSIONS, now=st.booleans())
    def let_in(self, number, now):
        champion = self.champions[-1] if self.champions else 0
        due = ConflictError if self.candidate or number == champion else None
        self.expect(due, lambda: self.promote(number, now=now))
        if due is None and (now or not champion):
            self.champions.append(number)
        elif due is None:
            self.candidate, self.share = number, 0.1

    @rule(share=st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9, 1.0]))
    def advance(self, share):
        due = None if self.candidate and share > self.share else ConflictError if self.champions else NotFoundError
        revision = len(self.promotion.history("late"))
        self.expect(due, lambda: self.promotion.advance("late", share, revision=revision, reason="x"))
        if due is None and share >= 1:
            self.champions.append(self.candidate)
            self.candidate, self.share = 0, 0.0
        elif due is None:
            self.share = share

    @rule()
    def take_back(self):
        due = None if self.candidate or len(self.champions) > 1 else NotFoundError
        self.expect(due, lambda: self.promotion.rollback("late", reason="x"))
        if due is None and not self.candidate:
            self.champions.pop()
        self.candidate, self.share = 0, 0.0

    @precondition(lambda self: self.releases and self.champions and not self.candidate)
    @rule(number=VERSIONS, now=st.booleans(), shares=st.lists(st.sampled_from([0.3, 0.5, 1.0]), max_size=3))
    def promote_and_take_back_is_the_identity(self, number, now, shares):
        if number == self.champions[-1]:
            return
        before = self.routes()
        self.promote(number, now=now)
        for share in sorted(set(shares)) if not now else []:
            self.promotion.advance("late", share, revision=len(self.promotion.history("late")), reason="x")
        self.promotion.rollback("late", reason="x")
        assert self.routes() == before

    @rule(step_us=st.sampled_from([-(10**9), -1, 0, 1, 10**6]))
    def time_passes(self, step_us):
        self.clock.value_us += step_us

    @invariant()
    def the_routes_are_those_of_the_account(self):
        if self.releases is None:
            return
        found = [(one.version, one.role, one.weight) for one in self.routes()]
        wanted = [(self.champions[-1], "champion", 1.0)] if self.champions else []
        if self.candidate:
            wanted.append((self.candidate, "candidate", self.share))
        assert found == wanted

    @invariant()
    def every_moment_has_one_release(self):
        if self.releases is None:
            return
        history = self.promotion.history("late")
        assert [one.revision for one in history] == list(range(1, len(history) + 1))
        assert all(one.from_us < other.from_us for one, other in itertools.pairwise(history))
        for one in history[-2:]:
            assert self.promotion.at("late", one.from_us) == one
            assert self.promotion.at("late", one.from_us - 1) == (
                history[one.revision - 2] if one.revision > 1 else None
            )


TestHistoriesInMemory = Histories.TestCase
TestHistoriesInMemory.settings = settings(max_examples=60, stateful_step_count=25)


def test_the_law_holds_over_the_real_store_too(tmp_path):
    """One long history of every kind of change, each promotion followed by its rollback."""
    state = open_sqlite(tmp_path)
    promotion = state.promotion()
    promotion.promote(version(1), results=PASSED, canary=CANARY, actor="ada")
    for step, number in enumerate((2, 3, 2, 4)):
        before = state.releases.routes()
        how = {"now": True} if step % 2 else {}
        promotion.promote(version(number), results=FAILED, canary=CANARY, actor="ada", override="a drill", **how)
        assert state.releases.routes() != before
        promotion.rollback("late", reason="a drill")
        assert state.releases.routes() == before
        promotion.promote(version(number), results=PASSED, canary=None, actor="ada")
    assert [one.version for one in state.releases.routes()] == [4]
    assert len(state.verified()) == len(promotion.history("late")) == 13
    state.close()


def test_taking_back_everything_ends_at_the_first_champion():
    for numbers in itertools.product((1, 2, 3), repeat=5):
        followed = [number for number, _ in itertools.groupby(numbers)]
        history = [release(revision, route(number)) for revision, number in enumerate(followed, 1)]
        seen = [followed[-1]]
        while routes := returned(history):
            seen.append(routes[0].version)
            history.append(release(len(history) + 1, *routes, action="rollback"))
        assert seen == followed[::-1]
