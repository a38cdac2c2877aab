"""Batch scoring of the flights: what is asked for, what goes on, and what is refused before the first row."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.flights import MODEL, copy, opened, stage
from tests.scoring_rig import content, read, write

from seakeep.clock import parse_moment
from seakeep.errors import DataError, NotFoundError, PlatformError
from seakeep.project.batch import ScoreOptions
from seakeep.records.model import ModelDefinition
from seakeep.records.outputs import classes
from seakeep.scoring.output import SUCCESS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(flights_root, tmp_path_factory):
    folder = copy(stage(flights_root, "promoted"), tmp_path_factory.mktemp("scored") / "flights")
    with opened(folder) as found:
        yield found


@pytest.fixture
def rows(project, tmp_path):
    """``rows(columns)`` is a file of twenty flights."""

    def select(columns="*", name="in.parquet"):
        flights = project.folder / "tables/flights.parquet"
        return str(write(tmp_path / name, f"select {columns} from '{flights}' order by flight_id limit 20"))

    return select


@pytest.fixture
def refused(project, tmp_path):
    def call(*files, match, kind=DataError, **options):
        with pytest.raises(kind, match=match) as raised:
            project.batch.score(MODEL, files, tmp_path / "out", ScoreOptions(**options))
        assert raised.value.hint
        assert not (tmp_path / "out" / "_plan.json").exists()
        return raised.value

    return call


def test_all_columns_are_kept(project, rows, tmp_path):
    scored = project.batch.score(MODEL, [rows()], tmp_path / "out", ScoreOptions(keep=["*"]))
    assert scored.plan.keep == ("flight_id", "scheduled", "carrier", "origin", "dest", "distance")
    kept = [{name: one[name] for name in scored.plan.keep} for one in read(tmp_path / "out")]
    assert kept == read(tmp_path / "in.parquet")


def test_a_finished_job_given_again_changes_nothing(project, rows, tmp_path):
    file = rows()
    scored = project.batch.score(MODEL, [file], tmp_path / "out")
    before = content(tmp_path / "out")
    assert project.batch.score(f"{MODEL}:1", [file], tmp_path / "out") == scored
    assert content(tmp_path / "out") == before
    with pytest.raises(DataError, match="was begun with part_rows 100000, not 7"):
        project.batch.score(MODEL, [file], tmp_path / "out", ScoreOptions(part_rows=7))
    write(Path(file), f"select * from '{file}' limit 19")
    with pytest.raises(DataError, match=rf"was begun with another {file}"):
        project.batch.score(MODEL, [file], tmp_path / "out")


def test_without_times_all_rows_speak_for_one_moment_that_a_job_keeps(project, rows, tmp_path):
    file = rows("* exclude scheduled")
    moment = parse_moment("2013-02-28T18:00")
    asked = ScoreOptions(moment_us=moment)
    scored = project.batch.score(MODEL, [file], tmp_path / "out", asked)
    assert (scored.plan.moment_us, scored.refused) == (moment, 0)
    timed = rows(f"* replace (make_timestamp({moment}) as scheduled)", "timed.parquet")
    again = project.batch.score(MODEL, [timed], tmp_path / "timed", ScoreOptions(moment_us=5))
    assert again.plan.moment_us is None
    assert [one["score"] for one in read(tmp_path / "out")] == [one["score"] for one in read(tmp_path / "timed")]
    (tmp_path / "out" / SUCCESS).unlink()
    assert project.batch.score(MODEL, [file], tmp_path / "out") == scored


def test_now_is_the_moment_where_none_is_given(project, rows, tmp_path):
    before = project._clock.now_us()
    scored = project.batch.score(MODEL, [rows("* exclude scheduled")], tmp_path / "out")
    assert before <= scored.plan.moment_us <= project._clock.now_us()


def test_files_of_which_some_have_times_are_refused(rows, refused):
    refused(
        rows(), rows("* exclude scheduled", "b.parquet"), match=r"in\.parquet has a column 'scheduled', and .*b\.parq"
    )


def test_a_kept_column_of_two_types_is_refused(rows, refused):
    one, other = rows("*, 1 as more"), rows("*, 'a' as more", "b.parquet")
    refused(one, other, keep=["more"], match=r"'more' is INTEGER in .*in\.parquet and VARCHAR in .*b\.parquet")


def test_a_kept_column_that_is_away_is_told_with_the_nearest(rows, refused):
    assert refused(rows(), keep=["carier"], match="no column 'carier' to keep").hint == "did you mean 'carrier'?"


def test_a_kept_column_with_a_name_of_ours_is_refused(rows, refused):
    refused(rows("*, 1 as Score"), keep=["*"], match="'Score' cannot be kept")


def test_the_output_is_not_its_own_input(rows, refused, tmp_path):
    (tmp_path / "out").mkdir()
    inside = rows(name="out/_in.parquet")
    refused(inside, match="is to be scored, and lies in")


def test_a_missing_column_is_told(rows, refused):
    assert refused(rows("* exclude origin"), match=f"no column 'origin', which {MODEL} needs")


def test_there_must_be_such_a_version(project, rows, tmp_path):
    with pytest.raises(NotFoundError):
        project.batch.score(f"{MODEL}:9", [rows()], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_delta_table_needs_the_extra(refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    monkeypatch.delitem(sys.modules, "seakeep.backends.delta.tables", raising=False)
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    told = refused(str(tmp_path / "table"), kind=PlatformError, match="the package deltalake is not installed")
    assert told.hint == "pip install 'seakeep[delta]'"


def test_history_needs_all_recorded_events(project, rows, refused, monkeypatch, tmp_path):
    from seakeep.project import recompute

    known = recompute.known
    monkeypatch.setattr(
        recompute, "known", lambda *given, **more: recompute.Known(known(*given, **more).tables, (1, 2))
    )
    with pytest.raises(DataError, match="recorded events were let go of"):
        project.batch.score(MODEL, [rows()], tmp_path / "out", ScoreOptions(history=True))


def test_a_delimiter_is_of_the_job(project, rows, tmp_path):
    plain = rows()
    file = tmp_path / "in.csv"
    write(file, f"select * from '{plain}'")
    file.write_text(file.read_text().replace(",", ";"))
    options = ScoreOptions(delimiter=";", keep=["carrier"])
    scored = project.batch.score(MODEL, [str(file)], tmp_path / "out", options)
    project.batch.score(MODEL, [plain], tmp_path / "plain")
    assert scored.plan.delimiter == ";"
    found = [{name: one[name] for name in ("key", "score", "error")} for one in read(tmp_path / "out")]
    assert found == [{name: one[name] for name in ("key", "score", "error")} for one in read(tmp_path / "plain")]
    with pytest.raises(DataError, match="has no column") as raised:
        project.batch.score(MODEL, [str(file)], tmp_path / "other")
    assert "--delimiter" in raised.value.hint


def test_classes_that_no_column_could_name_are_refused(refused, rows, monkeypatch):
    monkeypatch.setattr(ModelDefinition, "label", SimpleNamespace(outputs=classes("East", "west", "east")))
    refused(rows(), match="'East' and 'east' differ in nothing but case")
