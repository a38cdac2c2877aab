"""A search over the flights' version: what is chosen, registered, refused, and what leaves everything as it was.

The cage makes two candidates once; times are given, so that no busy machine decides.
"""

import msgspec
import numpy as np
import pytest
from tests import flights

from seakeep.cli.build import run_summary
from seakeep.conversion import providers
from seakeep.conversion.enginesettings import EngineSettings, settings_of
from seakeep.conversion.optimise.workshop import Made
from seakeep.errors import ConfigError, ConversionError, NotFoundError, ParityError, RerunMismatch
from seakeep.project import build, optimise
from seakeep.project.optimise import accelerated, check
from seakeep.records.optimise import Limits, Recipe
from seakeep.records.run import Metric
from seakeep.registry.bundle import parse_bundle

HALF = Recipe(by="trees", told="20 of 40 trees", settings={"trees": 20})
FEW = Recipe(by="trees", told="4 of 40 trees", settings={"trees": 4})
US = {"the source": 100.0, HALF.told: 60.0, FEW.told: 20.0}
LOOSE = Limits(loss=0.5)


class Given:
    """Stands in for the stop-watch."""

    def __init__(self, models, rows, *, batch):
        assert set(models) <= set(US)
        assert batch >= 1

    def __call__(self, names, calls):
        return [np.linspace(US[name], 1.01 * US[name], calls) for name in names]


@pytest.fixture(scope="module")
def project(flights_root, tmp_path_factory):
    folder = flights.copy(flights.stage(flights_root, "converted"), tmp_path_factory.mktemp("optimise") / "flights")
    real, kept = optimise.make_all, []

    def made(request, source, learn, calibrate):
        if not kept:
            few = msgspec.structs.replace(request, recipes=(HALF, FEW))
            kept.extend(real(few, source, learn, calibrate))
        return kept

    with pytest.MonkeyPatch.context() as patch, flights.opened(folder) as opened:
        patch.setattr(optimise, "make_all", made)
        patch.setattr(optimise, "DROPPED", ())
        unkept = Made(recipe=optimise.NATIVE, fault="not made: not here")
        patch.setattr(optimise.Optimiser, "_native", lambda *_: unkept)
        patch.setattr(providers, "find_gpu", lambda *_: None)
        patch.setattr(optimise.assess, "InTurn", Given)
        run = opened.stores.runs.list()[0]
        learnt = opened._builder.learnt(run)
        patch.setattr(opened._builder, "learnt", lambda _run: learnt)
        yield opened


@pytest.fixture(scope="module")
def found(project):
    return project.optimiser.search(f"{flights.MODEL}:1", LOOSE, actor="ada")


@pytest.fixture(scope="module")
def run(project, found):
    return project.stores.runs.get(found.version.run)


def state(project):
    stores = project.stores
    return [len(one) for one in (stores.versions.list(flights.MODEL), stores.runs.list(), stores.audit.list())]


@pytest.mark.slow
def test_the_fastest_within_the_limits_is_a_version_with_where_it_comes_from(project, found, run):
    source = project.stores.runs.get(project.resolve(f"{flights.MODEL}:1").run)
    assert found.chosen == FEW.told
    assert (found.version.number, found.version.author) == (2, "ada")
    assert (run.origin.version, run.origin.run, run.origin.recipe) == (f"{flights.MODEL}:1", source.id, FEW)
    assert run.origin.attempts == found.attempts
    assert run.origin.confirmed == found.confirmed
    assert f"made of {flights.MODEL}:1 ({source.id}) by: 4 of 40 trees" in run_summary(run)
    assert "made of" not in run_summary(source)
    assert (run.dataset, run.code, run.definition_digest) == (source.dataset, source.code, source.definition_digest)
    assert run.artefact != source.artefact
    assert run.metrics.keys() == source.metrics.keys()
    assert run.baselines.keys() == source.baselines.keys()
    project.verify_audit()


@pytest.mark.slow
def test_its_proof_is_against_its_own_estimator(project, found, run):
    bundle = project.bundle(found.version)
    assert bundle.proof.passed
    assert bundle.proof.artefact_sha256 == run.artefact
    assert bundle.proof.mutants == bundle.proof.mutants_caught > 0
    files = project.stores.bundles._folders.read(found.version.bundle)
    assert parse_bundle("x", files).run.origin == run.origin


@pytest.mark.slow
def test_its_gates_are_judged_as_any_version_s(project, found):
    results = {one.gate: one for one in project.gates(found.version.ref)}
    assert results["parity"].passed
    assert "not measured" not in {one.observed for one in results.values()}


@pytest.mark.slow
def test_it_is_made_again_to_the_byte_and_what_would_be_another_is_told(project, run, monkeypatch):
    assert project.rerun(run.id).artefact == run.artefact

    def other(request, source, learn, calibrate):
        assert request.recipes == (FEW,)
        return [Made(recipe=FEW, artefact=b"another")]

    monkeypatch.setattr(build, "make_all", other)
    with pytest.raises(RerunMismatch):
        project.rerun(run.id)
    monkeypatch.setattr(build, "make_all", lambda *_: [Made(recipe=FEW, fault="not made: no trees")])
    with pytest.raises(ConversionError, match="not made: no trees") as caught:
        project.rerun(run.id)
    assert run.origin.run in caught.value.hint


@pytest.mark.slow
def test_the_table_holds_the_source_all_candidates_and_what_was_not_tried(found):
    told = {one.told: one for one in found.attempts}
    assert list(told)[:3] == ["the source", HALF.told, FEW.told]
    assert told["the source"].flips == 0
    assert told[HALF.told].size_bytes < told["the source"].size_bytes
    assert told[FEW.told].flips > told[HALF.told].flips > 0
    assert told[FEW.told].pareto
    untried = {one.told: one.fault for one in found.attempts if one.fault.startswith("not tried")}
    assert set(untried) == {"cuda", "tensorrt", "tensorrt half"}
    assert told["native runtime"].fault == "not made: not here"
    assert untried["tensorrt half"] == f"not tried: {providers.providers()[2].told}"
    assert found.known_by == "roc_auc"
    assert found.confirmed.rows > 1_000


@pytest.mark.slow
def test_a_dry_run_tells_the_same_and_registers_nothing(project, found):
    before = state(project)
    dry = project.optimiser.search(f"{flights.MODEL}:1", LOOSE, dry_run=True)
    assert (dry.chosen, dry.version) == (found.chosen, None)
    assert dry.attempts == found.attempts
    assert state(project) == before


@pytest.mark.slow
def test_if_nothing_keeps_the_limits_it_is_refused_with_the_nearest(project, found):
    before = state(project)
    refused = project.optimiser.search(f"{flights.MODEL}:1", msgspec.structs.replace(LOOSE, p99_ms=0.01))
    assert (refused.chosen, refused.version) == ("", None)
    assert f"the nearest is: {FEW.told}, p99 may be 0.020 ms, above 0.01" in refused.refusal
    assert state(project) == before


@pytest.mark.slow
def test_a_source_that_keeps_the_limits_stays_if_nothing_is_better(project, found):
    kept = project.optimiser.search(f"{flights.MODEL}:1", Limits(loss=0.0))
    assert (kept.chosen, kept.refusal, kept.version) == ("", "", None)
    assert "may lose" in kept.attempts[2].fault


@pytest.mark.slow
def test_what_the_test_rows_or_the_proof_refute_is_passed_over(project, found, monkeypatch):
    real = optimise._Table.confirm

    def refuted(table, entry):
        told = real(table, entry)
        high = Metric(value=9.0, low=9.0, high=9.0)
        return msgspec.structs.replace(told, loss=high) if entry.recipe == FEW else told

    def unproved(*_):
        raise ParityError("it answers otherwise", hint="")

    monkeypatch.setattr(optimise._Table, "confirm", refuted)
    monkeypatch.setattr(project._builder, "proved", unproved)
    before = state(project)
    told = project.optimiser.search(f"{flights.MODEL}:1", LOOSE)
    assert told.chosen == ""
    assert told.attempts[2].fault == "on the test rows it may lose 9.0000, above 0.5"
    assert told.attempts[1].told == HALF.told
    assert told.attempts[1].fault == "its proof failed: it answers otherwise"
    assert state(project) == before


@pytest.mark.slow
def test_a_version_whose_run_is_gone_and_one_that_is_not_there_are_told(project, found):
    version = project.resolve(f"{flights.MODEL}:1")
    bundle = project.bundle(version)
    lost = msgspec.structs.replace(bundle.run, id="r-0000000dead0")
    digest = project.stores.bundles.put(lost, bundle.model, bundle.proof, created_us=lost.started_us)
    orphan = msgspec.structs.replace(version, bundle=digest, run=lost.id)
    kept = project.stores.versions.add(orphan, actor="test", now_us=0)
    with pytest.raises(NotFoundError, match="no run 'r-0000000dead0'"):
        project.optimiser.search(kept.ref)
    with pytest.raises(NotFoundError, match=f"no version {flights.MODEL}:99"):
        project.optimiser.search(f"{flights.MODEL}:99")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(p99_ms=0.0), "p99_ms is 0.0"),
        (Limits(p99_ms=float("nan")), "p99_ms is nan"),
        (Limits(size_mb=-1.0), "size_mb is -1.0"),
        (Limits(loss=-0.1), "loss is -0.1"),
        (Limits(loss=float("inf")), "loss is inf"),
        (Limits(batch=0), "batch is 0"),
        (Limits(batch=10**6), "batch is 1000000"),
    ],
)
def test_limits_that_are_none_are_refused_before_anything_is_read(limits, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check(limits)
    assert caught.value.hint


@pytest.mark.parametrize(("usable", "tried"), [((), 0), (("cuda",), 1), (("cuda", "tensorrt"), 3)])
def test_what_a_machine_can_compute_by_is_tried_and_why_not_otherwise(usable, tried, monkeypatch):
    kinds = ("cpu", "cuda", "tensorrt")
    found = [providers.Provider(kind=kind, usable=kind in usable, told=f"about {kind}") for kind in kinds]
    monkeypatch.setattr(providers, "providers", lambda: found)
    recipes, untried = accelerated(5_000)
    assert len(recipes) == tried
    assert [one.told for one in recipes] + list(untried) == ["cuda", "tensorrt", "tensorrt half"]
    assert all(fault == f"not tried: about {told.partition(' ')[0]}" for told, fault in untried.items())
    if tried == 3:
        assert settings_of(recipes[0]) == EngineSettings(accelerator="cuda")
        half = EngineSettings(accelerator="tensorrt", half=True, usual_rows=5_000, most_rows=5_000)
        assert settings_of(recipes[2]) == half
