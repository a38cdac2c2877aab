"""Laws of the ladder: whatever is declared, an answer comes from the best rung that its trigger leaves, and from no other."""

from hypothesis import given
from hypothesis import strategies as st

from seakeep.serving.ladder import below

RUNGS = ("stale", "standby", "rule")
triggers = st.sampled_from(["features", "model", "pressure"])
declarations = st.sets(st.sampled_from(RUNGS)).map(lambda some: tuple(rung for rung in RUNGS if rung in some))


@given(triggers, declarations)
def test_only_declared_rungs_are_tried_from_the_top_down_and_the_rule_is_the_last(trigger, given_rungs):
    tried = below(trigger, given_rungs)
    assert set(tried) <= set(given_rungs)
    assert list(tried) == sorted(tried, key=RUNGS.index)
    assert ("rule" in tried) == ("rule" in given_rungs)


@given(triggers, declarations, declarations)
def test_declaring_more_never_takes_a_rung_away(trigger, some, more):
    both = tuple(rung for rung in RUNGS if rung in {*some, *more})
    assert set(below(trigger, some)) <= set(below(trigger, both))


@given(declarations)
def test_where_features_do_not_come_nothing_is_asked_that_needs_them(given_rungs):
    assert "standby" not in below("features", given_rungs)
