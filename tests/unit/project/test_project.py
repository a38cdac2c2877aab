"""The facade over a small shop: one train, convert and promote through it, and the faults of each of its methods."""

import msgspec
import pytest
from tests.flights import MODEL, opened

from seakeep.clock import FixedClock, parse_moment
from seakeep.errors import (
    ConfigError,
    DataError,
    IntegrityError,
    NotFoundError,
    PlatformError,
    ProjectFaults,
)
from seakeep.project import open_project
from seakeep.records.release import Receipt

NOW = FixedClock(parse_moment("2024-04-09"))


@pytest.mark.slow
def test_the_path_from_a_table_to_a_champion(shop):
    project = open_project(shop(), clock=NOW)
    assert list(project.models) == ["returned"]
    assert project.status() == project.receipts() == []
    assert project.follow() is None
    run = project.train(actor="ann")
    assert (run.as_of_us, run.started_us, run.model) == (NOW.now_us(), NOW.now_us(), "returned")
    assert project.stores.artefacts.manifest(run.sealed).run == run.id
    version, proof = project.convert(run.id, actor="ann")
    assert proof.passed
    assert project.convert(actor="ben") == (version, proof)  # the newest run; the same version, however often
    assert project.bundle(version).run.id == run.id
    with pytest.raises(NotFoundError, match="has no champion yet"):
        project.morning()
    release = project.promote("returned@candidate", actor="ann", override="a small test")
    assert release.from_us == NOW.now_us()
    assert project.history(at_us=NOW.now_us()) == [release]
    assert project.resolve("returned").author == "ann"
    assert project.follow().by_version == {}
    with pytest.raises(NotFoundError, match="has no recorded predictions yet"):
        project.morning()
    actions = [(entry.actor, entry.action) for entry in project.stores.audit.list()]
    assert actions == [("ann", "train"), ("ann", "register"), ("ann", "judge"), ("ann", "promote")]
    assert project.verify_audit() == 4
    assert {entry.time_us for entry in project.stores.audit.list()} == {NOW.now_us()}


def test_what_is_not_there_is_told(shop):
    project = open_project(shop(), clock=NOW)
    for call, message in {
        lambda: project.train("return"): "no model 'return'",
        lambda: project.train(trainer="train_badly"): "no function 'train_badly'",
        lambda: project.convert(): "there is no run yet",
        lambda: project.convert("r-1"): "there is no run 'r-1'",
        lambda: project.rerun("r-1"): "there is no run 'r-1'",
        lambda: project.resolve("returned:1"): "there is no version returned:1",
        lambda: project.resolve("returned@candidate"): "has no candidate",
        lambda: project.resolve("other"): "no model 'other'",
        lambda: project.rollback(): "nothing of returned was ever released",
        lambda: project.rollback("other"): "no model 'other'",
        lambda: project.history("other"): "no model 'other'",
        lambda: project.status("other"): "no model 'other'",
        lambda: project.receipts("other"): "no model 'other'",
        lambda: project.follow("other"): "no model 'other'",
        lambda: project.why("x"): "no prediction 'x'",
    }.items():
        with pytest.raises(NotFoundError, match=message) as caught:
            call()
        assert caught.value.hint
    assert project.history() == []
    assert project.verify_audit() == 0


def test_a_train_without_rows_by_then_names_the_source(shop):
    project = open_project(shop(), clock=NOW)
    with pytest.raises(DataError, match="has no event that could be known by then"):
        project.train(as_of_us=parse_moment("2020-01-01"))


def test_a_folder_that_is_no_project_is_told(tmp_path, shop):
    with pytest.raises(ConfigError, match=r"cannot read .*seakeep.toml"):
        open_project(tmp_path)
    with pytest.raises(ProjectFaults, match=r"seakeep.toml:3: unknown section \[servin\]"):
        open_project(shop(toml='[project]\nname = "x"\n[servin]\n'))


def test_a_home_that_is_a_file_is_told(shop):
    folder = shop(toml='[project]\nname = "x"\nhome = "learn.py"\n')
    with pytest.raises(PlatformError, match=r"cannot make the folder .*learn.py: File exists") as caught:
        open_project(folder)
    assert "project.home" in caught.value.hint


def test_the_home_can_be_elsewhere(shop, tmp_path):
    project = open_project(shop(toml=f'[project]\nname = "x"\nhome = "{tmp_path}/state"\n'))
    assert project.home.root == tmp_path / "state"
    assert project.home.database.exists()


@pytest.mark.slow
def test_a_changed_bundle_does_not_open(flights_at):
    with opened(flights_at("converted")) as project:
        version = project.resolve(f"{MODEL}:1")
        path = project.home.bundles / version.bundle / "parity.json"
        path.write_bytes(path.read_bytes().replace(b'"passed": true', b'"passed":false'))
        with pytest.raises(IntegrityError, match=r"parity.json of \w+ was changed"):
            project.bundle(version)


@pytest.mark.slow
def test_receipts_come_newest_first(flights_at):

    fields = dict.fromkeys(("champion", "candidate", "requests", "failed", "answered_by_candidate"), 1)
    times = dict.fromkeys(("ended_us", "detect_s", "switch_s"), 0)
    one = Receipt(model=MODEL, outcome="completed", reason="", started_us=1, evidence=(), **fields, **times)
    with opened(flights_at("promoted")) as project:
        for started_us in (1, 3, 2, 3):
            project.stores.receipts.add_receipt(msgspec.structs.replace(one, started_us=started_us))
        assert [receipt.started_us for receipt in project.receipts(MODEL)] == [3, 2, 1]
