"""Batch scoring under kill -9 and on a full disk: no row is lost or doubled, and the same command goes on."""

import signal
import subprocess

import pytest
from tests.flights import MODEL, command, environment, opened, wait_for
from tests.recording import start
from tests.scoring_rig import PLAN_OF_FIVE, answers, content, read, write

from seakeep.errors import PlatformError
from seakeep.project.batch import ScoreOptions
from seakeep.scoring.engine import engine
from seakeep.scoring.output import JOURNAL, SUCCESS, Output

AT_EVERY_STEP = """
import pathlib, shutil, sys
from tests.killing import at_every_step, before_system_call
from tests.scoring_rig import PLAN_OF_FIVE as plan, answers, content
from seakeep.project.batch import ScoreOptions
from seakeep.scoring.engine import engine
from seakeep.scoring.output import Output
folder = pathlib.Path(sys.argv[1])
def job(name):
    with engine() as connection, Output(folder / name, connection) as output:
        output.begin(plan)
        for at in range(len(output.parts), 2):
            output.add((0, 3 * at), plan, answers(2 if at else 3, 3 * at))
        if output.done is None:
            output.finish(plan)
job("whole")
whole = content(folder / "whole")
for step in at_every_step(lambda: job("killed"), before_system_call):
    job("killed")
    assert content(folder / "killed") == whole, step
    shutil.rmtree(folder / "killed")
    print(step)
assert content(folder / "killed") == whole
"""


def test_killed_before_any_call_that_changes_a_file_a_job_goes_on_to_the_same_bytes(tmp_path):
    process = start(AT_EVERY_STEP, tmp_path, stdout=subprocess.PIPE)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(said.splitlines()) > 20


@pytest.mark.slow
def test_a_command_killed_again_and_again_loses_and_doubles_no_row(flights_at, tmp_path):
    folder = flights_at("promoted")
    file = write(
        tmp_path / "in.parquet",
        f"select * from '{folder}/tables/flights.parquet' where scheduled >= timestamp '2013-03-01' limit 3000",
    )
    whole, out = tmp_path / "whole", tmp_path / "out"
    job = ("score", MODEL, file, "--part-rows", "100", "--keep", "flight_id", "--to", out)
    for parts in (1, 11):
        process = subprocess.Popen(
            command(*job), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda parts=parts: written(out) >= parts, process=process)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        assert not (out / SUCCESS).exists()
    with opened(folder) as project:
        for place in (out, whole):
            project.batch.score(MODEL, [str(file)], place, ScoreOptions(part_rows=100, keep=["flight_id"]))
    assert content(out) == content(whole)
    found = read(out)
    assert [one["flight_id"] for one in found] == [one["flight_id"] for one in read(file)]
    assert [one["key"] for one in found] == [one["flight_id"] for one in found]


def written(folder):
    journal = folder / JOURNAL
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def test_a_full_disk_is_told_and_the_job_goes_on_when_there_is_room(small_disk, fill, tmp_path):
    with engine() as connection:
        for place in (small_disk, tmp_path):
            with Output(place / "out", connection) as output:
                output.begin(PLAN_OF_FIVE)
                output.add((0, 0), PLAN_OF_FIVE, answers())
                make_room = fill() if place is small_disk else None
                if make_room:
                    with pytest.raises(PlatformError, match=r"cannot write .*out: ") as raised:
                        output.add((0, 3), PLAN_OF_FIVE, answers(2, 3))
                    assert "give the same command again" in raised.value.hint
                    make_room()
            with Output(place / "out", connection) as output:
                output.begin(PLAN_OF_FIVE)
                output.add((0, 3), PLAN_OF_FIVE, answers(2, 3))
                output.finish(PLAN_OF_FIVE)
        assert content(small_disk / "out") == content(tmp_path / "out")
