import sqlite3
import stat

import pytest
from tests.registering import NOW_US, ONNX, PASSED, proof, run, version

from seakeep.clock import FixedClock
from seakeep.config import Home
from seakeep.errors import IntegrityError, NotFoundError, PlatformError
from seakeep.project import open_project
from seakeep.project.stores import open_stores


@pytest.fixture
def project(shop):
    return open_project(shop(), clock=FixedClock(NOW_US))


def champion(project, number):
    """Let a version answer from one second later on."""
    project._clock.value_us += 1_000_000
    one = version(model="returned", bundle=f"{number:064x}")
    kept = project.stores.versions.add(one, actor="ada", now_us=project._clock.now_us())
    return project.stores.promotion.promote(kept, results=PASSED, canary=None, actor="ada")


def test_a_new_home_holds_nothing_and_verifies(project):
    stores = project.stores
    assert stores.runs.list() == stores.datasets.manifests() == stores.releases.routes() == stores.keys.list() == []
    assert project.verify_audit() == 0
    assert project.history() == []


def test_everything_in_a_home_is_its_owners_alone(tmp_path):
    home = Home(tmp_path / "home")
    stores = open_stores(home, FixedClock(NOW_US))
    stores.bundles.put(run(), ONNX, proof(), created_us=1)
    stores.artefacts.put({"estimator": b"1"}, model="late", run="r-1", created_us=1)
    stores.datasets.put_chunk(b"1")
    stores.keys.create("ci", "client", actor="ada")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [home.root, *home.root.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert len(modes) > 15


def test_what_was_in_production_is_one_question(project):
    first, second = champion(project, 1), champion(project, 2)
    project.stores.promotion.rollback("returned", actor="ada", reason="a drill")
    moments = {NOW_US: [], first.from_us - 1: [], first.from_us: [1], second.from_us - 1: [1], second.from_us: [2]}
    moments |= {second.from_us + 1: [1], NOW_US * 2: [1]}
    for moment_us, expected in moments.items():
        found = project.history(at_us=moment_us)
        assert [one.champion.version for one in found] == expected, moment_us
    assert [one.action for one in project.history("returned")] == ["promote", "promote", "rollback"]
    assert project.verify_audit() == 5


@pytest.mark.parametrize(
    ("reference", "number"), [("returned", 2), ("returned@champion", 2), ("returned@candidate", 3), ("returned:1", 1)]
)
def test_a_reference_names_the_version_that_people_mean(project, reference, number):
    champion(project, 1)
    champion(project, 2)
    project.stores.versions.add(version(model="returned", bundle="c" * 64), actor="ada", now_us=NOW_US)
    assert project.resolve(reference).number == number


@pytest.mark.parametrize("reference", ["returned:0", "returned:3", "returned@candidate", "returned:", "retuned", ""])
def test_a_reference_to_what_is_not_there_is_told(project, reference):
    champion(project, 1)
    champion(project, 2)
    with pytest.raises(NotFoundError):
        project.resolve(reference)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM audit WHERE number = 4", "does not tell of 1 records"),
        ("DELETE FROM audit WHERE number = 2", "entry 2 of the audit log is missing"),
        ("DELETE FROM releases WHERE revision = 2", "entry 4 of the audit log tells of promote returned"),
        ("UPDATE releases SET record = replace(record, '\"version\":2', '\"version\":1')", "entry 4 of the audit log"),
        ("UPDATE audit SET record = replace(record, 'ada', 'eve')", "entry 1 of the audit log was changed"),
    ],
)
def test_a_state_that_was_changed_behind_the_projects_back_does_not_verify(project, statement, message):
    champion(project, 1)
    champion(project, 2)
    assert project.verify_audit() == 4
    connection = sqlite3.connect(project.home.database, isolation_level=None)
    for table in ("audit", "releases"):
        for verb in ("UPDATE", "DELETE"):
            connection.execute(f"DROP TRIGGER {table}_no_{verb}")
    connection.execute(statement)
    connection.close()
    with pytest.raises(IntegrityError, match=message):
        project.verify_audit()


def test_a_home_that_is_a_file_is_told(shop):
    folder = shop()
    (folder / ".seakeep").write_text("")
    with pytest.raises(PlatformError, match="cannot make the folder"):
        open_project(folder)
