"""From a version to production: references, gates with evidence, and what they need of each other."""

import msgspec
import pytest
from tests.flights import MODEL, change, opened, twin

from seakeep.errors import ConflictError, GateError, IntegrityError, NotFoundError

pytestmark = pytest.mark.slow


@pytest.fixture
def project(flights_at):
    with opened(flights_at("promoted")) as project:
        yield project


@pytest.fixture
def converted(flights_at):
    with opened(flights_at("converted")) as project:
        yield project


def test_the_candidate_is_the_newest_version_until_one_is_promoted(converted):
    assert converted.resolve(f"{MODEL}@candidate").number == 1
    with pytest.raises(NotFoundError, match="has no champion yet") as caught:
        converted.resolve(MODEL)
    assert caught.value.hint == f"promote one: seakeep promote {MODEL}@candidate"
    assert converted.promote(f"{MODEL}@candidate", actor="ann").champion.version == 1
    assert converted.resolve(MODEL) == converted.resolve(f"{MODEL}:1") == converted.resolve(f"{MODEL}@champion")
    with pytest.raises(NotFoundError, match="has no candidate") as caught:
        converted.resolve(f"{MODEL}@candidate")
    assert "seakeep train, then seakeep convert" in caught.value.hint


def test_the_candidate_of_a_rollout_stays_it_when_newer_versions_come(project):
    second = twin(project)
    project.promote(second.ref, actor="ann")
    third = twin(project)
    assert project.resolve(f"{MODEL}@candidate") == second
    with pytest.raises(ConflictError, match=f"{MODEL}:2 is being rolled out"):
        project.promote(third.ref, actor="ann")
    project.rollback(MODEL)
    assert project.resolve(f"{MODEL}@candidate") == third


def test_gates_are_judged_on_evidence_and_kept_with_an_entry_in_the_audit_log(converted):
    results = converted.gates(f"{MODEL}:1", actor="ann")
    assert [one.gate for one in results] == [
        "roc_auc", "baselines", "champion", "slices:carrier", "latency", "parity",
    ]  # fmt: skip
    assert all(one.passed and one.observed and one.required and one.evidence for one in results)
    assert converted.stores.gates.get(MODEL, 1) == results
    entry = converted.stores.audit.list()[-1]
    assert (entry.action, entry.subject, entry.actor) == ("judge", f"{MODEL}:1", "ann")
    assert set(entry.details) >= {one.gate for one in results}


def test_a_version_is_compared_with_the_champion_but_not_with_itself(project):
    (alone,) = [one for one in project.gates(MODEL) if one.gate == "champion"]
    (beside,) = [one for one in project.gates(twin(project).ref) if one.gate == "champion"]
    assert alone.passed
    assert beside.passed
    assert f"{MODEL}:1" in f"{beside.observed} {beside.required} {beside.evidence}"
    assert alone.observed != beside.observed


def test_a_gate_that_failed_stops_the_promotion_before_anything_answers(project):
    change(project.folder, ("at_least=0.65", "at_least=0.99"))
    with opened(project.folder) as strict:
        version = twin(strict)
        with pytest.raises(GateError, match="roc_auc") as caught:
            strict.promote(version.ref, actor="ann")
        assert "--override REASON" in caught.value.hint
        assert len(strict.history(MODEL)) == 1
        release = strict.promote(version.ref, actor="ann", override="it is known")
        assert release.reason == "override: it is known"
        assert release.candidate.weight == 0.01


def test_a_run_whose_validation_rows_were_changed_cannot_be_judged(converted):
    run = converted.stores.runs.list()[0]
    path = converted.home.artefacts / run.sealed / "validation"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match=f"validation of {run.sealed[:12]} was changed"):
        converted.gates(f"{MODEL}:1")
    assert converted.stores.gates.get(MODEL, 1) == ()


def test_the_canary_is_that_of_the_declaration(project):
    change(project.folder, ("Canary([0.01, 0.1, 0.5, 1.0])", "Canary([0.25, 1.0])"))
    with opened(project.folder) as again:
        release = again.promote(twin(again).ref, actor="ann")
        assert [(route.version, route.weight) for route in release.routes] == [(1, 1.0), (2, 0.25)]
        assert msgspec.structs.asdict(release)["action"] == "promote"
