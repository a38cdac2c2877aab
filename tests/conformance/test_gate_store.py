"""Every store of gate results keeps the promises of the port."""

from tests.registering import FAILED, NOW_US, PASSED


def test_a_version_that_was_never_evaluated_has_no_results(state):
    assert state.gates.get("late", 1) == ()


def test_the_newest_evaluation_counts_and_the_older_one_stays_in_the_log(state, reopen):
    state.gates.put("late", 1, FAILED, actor="ada", now_us=NOW_US + 9)
    state.gates.put("late", 1, (*PASSED, *FAILED), actor="ada", now_us=NOW_US)
    assert state.gates.get("late", 1) == (*PASSED, *FAILED)
    assert reopen().gates.get("late", 1) == (*PASSED, *FAILED)
    first, second = state.audit.list()
    assert first.details["roc_auc"] == "failed: 0.610"
    assert second.details["parity"] == "passed: equal"
    assert {first.subject, second.subject} == {"late:1"}
    assert state.verified() == ["judge", "judge"]


def test_results_belong_to_one_version_of_one_model(state):
    state.gates.put("late", 1, PASSED, actor="ada", now_us=NOW_US)
    assert state.gates.get("late", 2) == ()
    assert state.gates.get("fraud", 1) == ()


def test_an_evaluation_without_gates_is_kept_too(state):
    state.gates.put("late", 1, PASSED, actor="ada", now_us=NOW_US)
    state.gates.put("late", 1, (), actor="ada", now_us=NOW_US)
    assert state.gates.get("late", 1) == ()
