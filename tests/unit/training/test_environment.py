import platform

import pytest

from seakeep.training.environment import code_digests, environment


def test_the_environment_names_this_python_and_its_packages():
    found = environment()
    assert platform.python_version() in found.python
    assert found.packages["numpy"]
    assert list(found.packages) == sorted(found.packages, key=str.lower)
    assert found == environment()


@pytest.fixture
def project(tmp_path):
    for name in ("project.py", "seakeep.toml", "lib/more.py", "notes.md", ".seakeep/state.py", "__pycache__/x.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_code_is_python_and_toml_outside_hidden_folders(project):
    assert list(code_digests(project)) == ["lib/more.py", "project.py", "seakeep.toml"]


def test_digests_do_not_depend_on_where_the_project_is(project, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "place"
    project.rename(other)
    before = code_digests(other)
    other.rename(project)
    assert code_digests(project) == before


def test_a_changed_byte_is_another_digest_of_that_file_alone(project):
    before = code_digests(project)
    (project / "lib/more.py").write_text("changed")
    after = code_digests(project)
    assert [name for name in before if before[name] != after[name]] == ["lib/more.py"]


def test_environments_links_and_named_folders_are_left_out(project):
    (project / "env").mkdir()
    (project / "env" / "pyvenv.cfg").write_text("")
    (project / "env" / "big.py").write_text("")
    (project / "state").mkdir()
    (project / "state" / "x.py").write_text("")
    (project / "link.py").symlink_to(project / "project.py")
    assert list(code_digests(project, leave_out=(project / "state",))) == ["lib/more.py", "project.py", "seakeep.toml"]
