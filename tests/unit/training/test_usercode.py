import runpy
import sys

import pytest

from seakeep.training.usercode import describe, home_of, user_line


@pytest.fixture
def user(tmp_path):
    def write(text, name="project.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def failure(path):
    with pytest.raises(BaseException) as caught:
        runpy.run_path(str(path))
    return caught.value


def test_the_deepest_line_in_the_users_folder_is_named(user, tmp_path):
    path = user("import json\n\ndef load():\n    json.loads('{')\n\nload()\n")
    error = failure(path)
    assert user_line(error, tmp_path) == (path, 4)
    assert describe(error, tmp_path).startswith("project.py:4: JSONDecodeError: ")


def test_a_syntax_error_names_its_own_line(user, tmp_path):
    error = failure(user("x = 1\ny = (\n"))
    assert user_line(error, tmp_path) == (tmp_path / "project.py", 2)
    assert describe(error, tmp_path) == "project.py:2: SyntaxError: '(' was never closed"


def test_an_error_elsewhere_has_no_line_of_the_user(user, tmp_path):
    error = failure(user("1 / 0\n"))
    assert user_line(error, tmp_path / "other") is None
    assert describe(error, tmp_path / "other") == "ZeroDivisionError: division by zero"


def test_installed_packages_below_the_folder_are_not_the_users(user, tmp_path, monkeypatch):
    packages = tmp_path / "env" / "site-packages"
    packages.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(packages))
    user("def f():\n    raise OSError\n", "env/site-packages/lib_of_theirs.py")
    path = user("from lib_of_theirs import f\nf()\n")
    error = failure(path)
    sys.modules.pop("lib_of_theirs")
    assert user_line(error, tmp_path) == (path, 2)
    assert describe(error, tmp_path) == "project.py:2: OSError"


def test_a_functions_home_is_its_files_folder():
    assert home_of(describe).name == "training"
    assert home_of(len) is None
