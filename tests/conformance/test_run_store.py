"""Every run store keeps the promises of the port."""

import math

import pytest
from tests.registering import NOW_US, metric, run, written

from seakeep.errors import ConflictError, DataError, NotFoundError
from seakeep.records.run import Metric


def test_a_run_is_read_as_it_was_kept(state, reopen):
    kept = run(warnings=("«seven» rows — çok az",), slices={"carrier": {"": {"roc_auc": metric(0.1 + 0.2)}}})
    state.runs.add(kept, actor="ada")
    assert written(state.runs.get(kept.id)) == written(kept)
    assert written(reopen().runs.get(kept.id)) == written(kept)


def test_runs_are_listed_newest_first_and_by_model(state):
    for number, (model, started_us) in enumerate([("late", 2), ("late", 1), ("fraud", 3), ("late", 2)]):
        state.runs.add(run(f"r-{number}", model=model, started_us=started_us), actor="ada")
    assert [one.id for one in state.runs.list()] == ["r-2", "r-3", "r-0", "r-1"]
    assert [one.id for one in state.runs.list("late")] == ["r-3", "r-0", "r-1"]
    assert [one.id for one in state.runs.list("nobody")] == []


def test_a_run_that_is_not_there_is_named_with_the_nearest_that_is(state):
    state.runs.add(run("r-00aa11bb22cc"), actor="ada")
    with pytest.raises(NotFoundError, match="no run 'r-00aa11bb22cd'") as raised:
        state.runs.get("r-00aa11bb22cd")
    assert "r-00aa11bb22cc" in raised.value.hint


def test_without_any_run_the_hint_says_so(state):
    with pytest.raises(NotFoundError) as raised:
        state.runs.get("")
    assert raised.value.hint == "known: none"


def test_a_run_never_changes(state):
    state.runs.add(run(), actor="ada")
    with pytest.raises(ConflictError, match="refuses the change"):
        state.runs.add(run(seed=7), actor="eve")
    assert written(state.runs.list()) == written([run()])
    assert state.verified() == ["train"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_could_not_be_read_back_is_not_kept(state, value):
    broken = run(metrics={"roc_auc": Metric(value=value, low=0.0, high=1.0)})
    with pytest.raises(DataError, match="the run cannot be kept"):
        state.runs.add(broken, actor="ada")
    assert state.runs.list() == []
    assert state.verified() == []


def test_the_audit_log_tells_what_a_run_was_made_of(state):
    state.runs.add(run(), actor="ada")
    (entry,) = state.audit.list()
    assert (entry.actor, entry.action, entry.subject, entry.time_us) == ("ada", "train", run().id, NOW_US)
    assert (entry.details["dataset"], entry.details["artefact"]) == (run().dataset, run().artefact)
