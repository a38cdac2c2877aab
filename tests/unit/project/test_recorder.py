"""The records of a project that is served with everything on: encrypted, with personal columns, let go when old."""

import pytest
from tests.flights import MODEL, Server, opened, run

from seakeep.clock import DAY_US, FixedClock, SystemClock
from seakeep.errors import ConfigError
from seakeep.project import open_project
from seakeep.project.upkeep import upkeep
from seakeep.recorder import query
from seakeep.recorder.compaction import compact
from seakeep.recorder.layout import parts

pytestmark = pytest.mark.slow

ROW = {
    "flight_id": "canary-1",
    "scheduled": "2013-03-05T06:00:00Z",
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
}


def settings(folder, text):
    file = folder / "seakeep.toml"
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("[recorder]")]
    file.write_text("\n".join([*lines, "[recorder]", text]) + "\n", "utf-8")


def rows_of(project, count):
    schema = project.bundle(project.resolve(MODEL)).definition.schemas["flights"]
    return [
        {column.name: ROW[column.name] for column in schema if column.name in ROW} | {"flight_id": f"canary-{number}"}
        for number in range(count)
    ]


@pytest.fixture
def encrypted(flights_at):
    folder = flights_at("promoted")
    settings(folder, "encrypt = true")
    with Server(folder) as server, opened(folder) as project:
        server.predict(rows_of(project, 40))
    return folder


def test_encrypted_records_are_answered_read_and_kept_under_another_key(encrypted):
    with opened(encrypted) as project:
        home = project.home
        assert all(one.encrypted == one.files for one in project.recorder.status())
        for path in home.predictions.iterdir():
            assert b"canary-" not in path.read_bytes()
        with project.recorder.records(MODEL) as records:
            assert sorted(records.pandas()["key"]) == sorted(f"canary-{number}" for number in range(40))
        (one,) = project.recorder.of_key("canary-7")
        assert project.why(one.id).equal
        before = (home.keys / "recorder.key").read_bytes()
        assert project.recorder.rotate_key() == len(parts(home.predictions)[0])
        assert (home.keys / "recorder.key").read_bytes() != before
        assert project.why(one.id).equal
        from seakeep.project.keyring import keyring

        assert compact(home.predictions, keyring(home.predictions, encrypted, project.settings, home))
        assert project.why(one.id).equal
    said = run(encrypted, "erase", "canary-7", "--yes")
    assert said.code == 0, said
    with opened(encrypted) as project:
        assert project.recorder.of_key("canary-7") == []
        assert len(project.recorder.of_key("canary-8")) == 1


def test_a_key_of_ones_own_may_be_named(flights_at, tmp_path):
    folder = flights_at("promoted")
    settings(folder, f'encrypt = true\nkey_file = "{tmp_path}/own.key"')
    (tmp_path / "own.key").write_bytes(b"k" * 32)
    (tmp_path / "own.key").chmod(0o600)
    with Server(folder) as server, opened(folder) as project:
        server.predict(rows_of(project, 1))
    with opened(folder) as project:
        assert not (project.home.keys / "recorder.key").exists()
        assert len(project.recorder.of_key("canary-0")) == 1
        assert (project.home.predictions / "wrapping-key").read_text().endswith("own.key")


def test_what_is_too_old_or_too_much_goes(flights_at):
    folder = flights_at("recorded")
    settings(folder, "keep_days = 30")
    clock = FixedClock(SystemClock().now_us() + 20 * DAY_US)
    with opened(folder):
        project, jobs = open_project(folder, clock=clock), upkeep(folder, clock)
        jobs._let_go(by_age=True)
        assert [one.expired for one in project.recorder.status()] == [0, 0]
        clock.value_us += 20 * DAY_US
        jobs._let_go(by_age=False)
        assert [one.expired for one in project.recorder.status()] == [0, 0], "the clock may have jumped"
        jobs._let_go(by_age=True)
        assert all(one.expired > 0 and one.files == 0 for one in project.recorder.status())


def test_events_do_not_go_because_there_is_too_little_room(flights_at):
    folder = flights_at("recorded")
    settings(folder, "keep_gb = 0.000000001")
    with opened(folder) as project:
        upkeep(folder, SystemClock())._let_go(by_age=True)
        assert [one.expired > 0 for one in project.recorder.status()] == [True, False]


def test_with_commit_each_an_answer_is_on_the_disk(flights_at):
    folder = flights_at("promoted")
    settings(folder, 'commit = "each"\ncommit_ms = 60000')
    with Server(folder) as server, opened(folder) as project:
        for number, row in enumerate(rows_of(project, 20)):
            (answer,) = server.predict([row])
            assert query.find(project.home.predictions, answer["id"]).key == f"canary-{number}"
        server.kill()
        assert sum(len(project.recorder.of_key(f"canary-{number}")) for number in range(20)) == 20


def test_a_project_that_never_encrypted_has_no_key(flights_at):
    folder = flights_at("promoted")
    with opened(folder) as project, pytest.raises(ConfigError, match="not encrypted"):
        project.recorder.rotate_key()
