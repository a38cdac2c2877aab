import itertools
import math

import pytest
from tests.registering import FAILED, NOW_US, PASSED, open_sqlite, release, route, version

from seakeep.clock import FixedClock
from seakeep.errors import ConflictError, GateError, NotFoundError
from seakeep.records.model import Canary
from seakeep.records.release import Way
from seakeep.registry.promotion import CONTROLLER, entered, returned, widened

CANARY = Canary([0.1, 0.5, 1.0])


@pytest.fixture
def state(tmp_path):
    state = open_sqlite(tmp_path)
    yield state
    state.close()


@pytest.fixture
def clock():
    return FixedClock(NOW_US)


@pytest.fixture
def promotion(state, clock):
    return state.promotion(clock)


def promote(promotion, number, *, results=PASSED, canary=CANARY, actor="ada", **how):
    return promotion.promote(version(number), results=results, canary=canary, actor=actor, **how)


def answering(promotion, model="late"):
    return [(one.version, one.role, one.weight) for one in promotion.history(model)[-1].routes]


def test_without_a_champion_a_version_answers_everything_at_once(promotion):
    first = promote(promotion, 1)
    assert first.routes == (route(1),)
    assert (first.revision, first.action, first.actor, first.from_us) == (1, "promote", "ada", NOW_US)
    assert first.reason == "passed 1 gates; answers at once"


def test_beside_a_champion_a_version_gets_the_first_stage(promotion):
    promote(promotion, 1)
    second = promote(promotion, 2)
    assert second.routes == (route(1), route(2, "candidate", 0.1))
    assert (second.champion, second.candidate) == second.routes
    assert second.reason == "passed 1 gates; answers for 10 % of the keys"


@pytest.mark.parametrize(
    ("share", "told"), [(0.001, "0.1 %"), (0.005, "0.5 %"), (0.07, "7 %"), (0.333, "33.3 %"), (0.999, "99.9 %")]
)
def test_a_share_is_told_as_it_is(promotion, share, told):
    promote(promotion, 1)
    assert promote(promotion, 2, canary=Canary([share, 1.0])).reason.endswith(f"answers for {told} of the keys")


@pytest.mark.parametrize("how", [{"now": True}, {"canary": None}, {"canary": Canary([1.0])}])
def test_a_version_may_take_over_at_once(promotion, how):
    promote(promotion, 1)
    assert promote(promotion, 2, **how).routes == (route(2),)


@pytest.mark.parametrize(("results", "message"), [(FAILED, "roc_auc: 0.610, required at least 0.7"), ((), "no gate")])
@pytest.mark.parametrize("override", ["", " ", "\n"])
def test_what_did_not_pass_is_not_promoted_without_a_reason(promotion, state, results, message, override):
    with pytest.raises(GateError, match=message) as raised:
        promote(promotion, 1, results=results, override=override)
    assert "--override REASON" in raised.value.hint
    assert promotion.history("late") == []
    assert state.verified() == []


def test_only_the_gates_that_failed_are_named(promotion):
    with pytest.raises(GateError) as raised:
        promote(promotion, 1, results=(*PASSED, *FAILED))
    assert "roc_auc" in raised.value.message
    assert "parity" not in raised.value.message


def test_an_override_is_kept_in_the_release_and_in_the_log(promotion, state):
    promote(promotion, 1, results=(*PASSED, *FAILED), override="the holidays are over")
    assert promotion.history("late")[0].reason == "override: the holidays are over"
    (entry,) = state.audit.list()
    assert entry.details["override"] == "the holidays are over"
    assert entry.details["gates"] == "parity: passed; roc_auc: failed"
    assert state.verified() == ["promote"]


def test_the_champion_is_not_promoted_again(promotion):
    promote(promotion, 1)
    with pytest.raises(ConflictError, match="late:1 is the champion already"):
        promote(promotion, 1)


@pytest.mark.parametrize("how", [{}, {"now": True}])
@pytest.mark.parametrize("number", [2, 3])
def test_while_a_candidate_is_rolled_out_no_other_is_let_in(promotion, how, number):
    promote(promotion, 1)
    promote(promotion, 2)
    with pytest.raises(ConflictError, match="late:2 is being rolled out") as raised:
        promote(promotion, number, **how)
    assert "seakeep rollback late" in raised.value.hint
    assert len(promotion.history("late")) == 2


def test_a_candidate_advances_stage_by_stage_until_it_is_the_champion(promotion, state):
    promote(promotion, 1)
    promote(promotion, 2)
    promotion.advance("late", 0.5, revision=2, reason="as good")
    assert answering(promotion) == [(1, "champion", 1.0), (2, "candidate", 0.5)]
    last = promotion.advance("late", 1.0, revision=3, reason="as good")
    assert last.routes == (route(2),)
    assert (last.action, last.actor, last.reason) == ("advance", CONTROLLER, "as good")
    assert [entry.details["share"] for entry in state.audit.list() if entry.action == "advance"] == ["0.5", "1"]


def test_only_what_is_at_the_revision_that_was_seen_changes(promotion):
    promote(promotion, 1)
    promote(promotion, 2)
    for revision in (0, 1, 3):
        with pytest.raises(ConflictError, match=f"at revision 2, not {revision}"):
            promotion.advance("late", 0.5, revision=revision, reason="x")
        if revision:
            with pytest.raises(ConflictError, match=f"at revision 2, not {revision}"):
                promotion.rollback("late", revision=revision, reason="x")
    assert len(promotion.history("late")) == 2


def test_without_a_candidate_nothing_advances(promotion):
    promote(promotion, 1)
    with pytest.raises(ConflictError, match="late has no candidate"):
        promotion.advance("late", 0.5, revision=1, reason="x")


@pytest.mark.parametrize("share", [0.5, 0.49, 0.0, -1.0, math.nan, -math.inf])
def test_a_share_that_is_not_larger_is_no_advance(promotion, share):
    promote(promotion, 1)
    promote(promotion, 2)
    promotion.advance("late", 0.5, revision=2, reason="x")
    with pytest.raises(ConflictError, match="late:2 answers 50 % of the keys"):
        promotion.advance("late", share, revision=3, reason="x")
    assert answering(promotion) == [(1, "champion", 1.0), (2, "candidate", 0.5)]


def test_of_a_model_that_was_never_released_nothing_changes(promotion):
    with pytest.raises(NotFoundError, match="nothing of late was ever released"):
        promotion.advance("late", 0.5, revision=0, reason="x")
    for revision in (None, 0, 1):
        with pytest.raises(NotFoundError, match="nothing of late was ever released") as raised:
            promotion.rollback("late", revision=revision, reason="x")
    assert raised.value.hint == "seakeep promote late@candidate"
    assert promotion.history("late") == []


def test_the_first_champion_cannot_be_taken_back(promotion):
    promote(promotion, 1)
    with pytest.raises(NotFoundError, match="late has no champion before this one"):
        promotion.rollback("late", reason="x")
    assert answering(promotion) == [(1, "champion", 1.0)]


def test_a_candidate_is_taken_back_before_its_champion_is(promotion, state):
    promote(promotion, 1)
    promote(promotion, 2, now=True)
    promote(promotion, 3)
    promotion.advance("late", 0.5, revision=3, reason="x")
    back = promotion.rollback("late", revision=4, reason="slower")
    assert back.routes == (route(2),)
    assert (back.action, back.actor, back.reason) == ("rollback", CONTROLLER, "slower")
    assert promotion.rollback("late", reason="x", actor="ada").routes == (route(1),)
    taken = [entry.details["taken-back"] for entry in state.audit.list() if entry.action == "rollback"]
    assert taken == ["3", "2"]
    with pytest.raises(NotFoundError):
        promotion.rollback("late", reason="x")


def test_going_back_twice_goes_back_further_and_not_forth(promotion):
    for number in (1, 2, 3):
        promote(promotion, number, now=True)
    assert [promotion.rollback("late", reason="x").champion.version for _ in range(2)] == [2, 1]


def test_what_was_taken_back_may_come_again(promotion):
    promote(promotion, 1)
    promote(promotion, 2, now=True)
    promotion.rollback("late", reason="x")
    promote(promotion, 2, now=True)
    assert promotion.rollback("late", reason="x").champion.version == 1
    promote(promotion, 3, now=True)
    assert promotion.rollback("late", reason="x").champion.version == 1


def test_models_are_released_independently(promotion):
    promote(promotion, 1)
    promotion.promote(version(7, model="fraud"), results=PASSED, canary=CANARY, actor="ada")
    promote(promotion, 2)
    assert answering(promotion) == [(1, "champion", 1.0), (2, "candidate", 0.1)]
    assert answering(promotion, "fraud") == [(7, "champion", 1.0)]


def test_what_was_in_production_is_known_to_the_microsecond(promotion, clock):
    released = []
    for number, moment_us in enumerate((NOW_US, NOW_US + 1, NOW_US + 1_000), 1):
        clock.value_us = moment_us
        released.append(promote(promotion, number, now=True))
    assert promotion.at("late", NOW_US - 1) is None
    assert promotion.at("late", 0) is None
    assert promotion.at("late", NOW_US) == released[0]
    assert promotion.at("late", NOW_US + 1) == released[1]
    assert promotion.at("late", NOW_US + 999) == released[1]
    assert promotion.at("late", NOW_US + 1_000) == released[2]
    assert promotion.at("late", 2**63) == released[2]
    assert promotion.at("fraud", NOW_US) is None


@pytest.mark.parametrize("step_us", [0, -1, -(10**15)])
def test_a_release_is_never_dated_before_the_one_it_follows(promotion, clock, step_us):
    promote(promotion, 1)
    clock.value_us += step_us
    promote(promotion, 2)
    clock.value_us += step_us
    promotion.rollback("late", reason="x")
    history = promotion.history("late")
    assert [one.from_us for one in history] == [NOW_US, NOW_US + 1, NOW_US + 2]
    assert [promotion.at("late", one.from_us) for one in history] == history


def test_of_two_who_saw_the_same_release_the_second_is_told(promotion, state):
    promote(promotion, 1)

    class Stale:
        """What a process read before somebody else wrote."""

        def __init__(self):
            self.seen = state.releases.history("late")

        def history(self, model):
            return self.seen

        def append(self, release, *, details):
            state.releases.append(release, details=details)

    late = type(promotion)(Stale(), clock=FixedClock(NOW_US))
    promote(promotion, 2)
    for change in (lambda: promote(late, 3), lambda: late.advance("late", 1.0, revision=1, reason="x")):
        with pytest.raises(ConflictError):
            change()
    assert state.verified() == ["promote", "promote"]
    assert answering(promotion) == [(1, "champion", 1.0), (2, "candidate", 0.1)]


# The pure parts


def test_entering_keeps_the_champions_route_as_it_is():
    last = release(4, route(1))
    assert entered(last, route(2), 0.25) == (route(1), route(2, "candidate", 0.25))
    assert entered(last, route(2), 1.0) == (route(2),)
    assert entered(None, route(2, "candidate", 0.3), 0.01) == (route(2),)


def test_widening_changes_the_candidates_share_alone():
    assert widened(release(2, route(1), route(2, "candidate", 0.1)), 0.5) == (route(1), route(2, "candidate", 0.5))


def test_there_is_nothing_to_return_to_from_nothing():
    assert returned([]) is None
    assert returned([release(1)]) is None


@pytest.mark.parametrize("depth", range(1, 6))
def test_as_many_champions_can_be_taken_back_as_were_followed(depth):
    history = [release(number) for number in range(1, depth + 1)]
    for expected in range(depth - 1, 0, -1):
        routes = returned(history)
        assert routes == (route(expected),)
        history.append(release(len(history) + 1, *routes, action="rollback"))
    assert returned(history) is None


def test_champions_that_alternate_are_taken_back_in_turn():
    history = [release(number, route(1 + number % 2)) for number in range(1, 7)]
    seen = []
    while routes := returned(history):
        seen.append(routes[0].version)
        history.append(release(len(history) + 1, *routes, action="rollback"))
    assert seen == [2, 1, 2, 1, 2][-len(seen) :]
    assert len(seen) == 5
    assert all(a != b for a, b in itertools.pairwise(seen))


class TestStandby:
    def test_it_is_beside_the_champion_and_stays_there_whatever_else_is_released(self, promotion):
        promote(promotion, 1)
        told = promote(promotion, 3, way=Way(standby=True))
        assert told.reason == "passed 1 gates; answers where the others cannot"
        assert answering(promotion) == [(1, "champion", 1.0), (3, "standby", 0.0)]
        promote(promotion, 2)
        assert answering(promotion) == [(1, "champion", 1.0), (2, "candidate", 0.1), (3, "standby", 0.0)]
        promotion.advance("late", 1.0, revision=3, reason="proved")
        assert answering(promotion) == [(2, "champion", 1.0), (3, "standby", 0.0)]
        promotion.rollback("late", reason="r", actor="ada")
        assert answering(promotion) == [(1, "champion", 1.0), (3, "standby", 0.0)]

    def test_a_candidate_that_is_taken_back_leaves_it(self, promotion):
        for number, way in ((1, {}), (3, {"way": Way(standby=True)}), (2, {})):
            promote(promotion, number, **way)
        promotion.rollback("late", reason="r", actor="ada")
        assert answering(promotion) == [(1, "champion", 1.0), (3, "standby", 0.0)]

    def test_a_new_one_takes_its_place_and_it_can_be_taken_away(self, promotion):
        for number, way in ((1, {}), (3, {"way": Way(standby=True)}), (4, {"way": Way(standby=True)})):
            promote(promotion, number, **way)
        assert answering(promotion) == [(1, "champion", 1.0), (4, "standby", 0.0)]
        taken = promotion.withdraw("late", reason="too old", actor="ada")
        assert (taken.action, taken.standby) == ("rollback", None)
        assert answering(promotion) == [(1, "champion", 1.0)]
        with pytest.raises(NotFoundError, match="no version of late stands by"):
            promotion.withdraw("late", reason="r", actor="ada")

    def test_one_that_becomes_the_champion_stands_by_no_more(self, promotion):
        promote(promotion, 1)
        promote(promotion, 3, way=Way(standby=True))
        promote(promotion, 3, now=True)
        assert answering(promotion) == [(3, "champion", 1.0)]

    def test_it_needs_a_champion_that_is_another(self, promotion):
        with pytest.raises(ConflictError, match="no champion yet"):
            promote(promotion, 1, way=Way(standby=True))
        promote(promotion, 1)
        with pytest.raises(ConflictError, match="is the champion already"):
            promote(promotion, 1, way=Way(standby=True))

    def test_gates_and_the_audit_log_are_the_same_as_for_any_other(self, promotion, state):
        promote(promotion, 1)
        with pytest.raises(GateError):
            promote(promotion, 3, results=FAILED, way=Way(standby=True))
        promote(promotion, 3, way=Way(standby=True))
        promotion.withdraw("late", reason="r", actor="eve")
        assert [(one.action, one.actor) for one in state.audit.list()][-2:] == [("promote", "ada"), ("rollback", "eve")]


class TestAB:
    def test_it_has_its_share_by_a_column_until_it_is_ended(self, promotion):
        promote(promotion, 1)
        told = promote(promotion, 2, way=Way(share=0.5, by="customer"))
        assert told.reason == "passed 1 gates; answers for 50 % of the customer, until that is ended"
        assert (told.candidate.held, told.candidate.by, told.candidate.weight) == (True, "customer", 0.5)
        with pytest.raises(ConflictError, match="is being rolled out"):
            promote(promotion, 3)

    def test_it_ends_with_the_new_version_or_with_the_old_one(self, promotion):
        promote(promotion, 1)
        promote(promotion, 2, way=Way(share=0.5))
        promotion.rollback("late", reason="no better", actor="ada")
        assert answering(promotion) == [(1, "champion", 1.0)]
        promote(promotion, 2, way=Way(share=0.5))
        ended = promote(promotion, 2, now=True)
        assert ended.routes == (route(2),)

    @pytest.mark.parametrize("share", [-0.5, 1.0, 2.0])
    def test_what_is_no_share_is_refused(self, promotion, share):
        promote(promotion, 1)
        with pytest.raises(ConflictError, match="is not a share"):
            promote(promotion, 2, way=Way(share=share))
