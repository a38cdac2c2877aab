"""Commands called as a person calls them: by their arguments, in this process; state comes from the flights' stages."""

import sys

import pytest
from tests.flights import Told, stage

from seakeep.cli import main


@pytest.fixture
def seakeep(capsys):
    """``seakeep("status", "--project", folder)`` runs a command; its exit code must be ``code``."""

    def call(*arguments, code=0):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        found = ended.value.code or 0
        assert found == code, (found, said)
        return Told(list(map(str, arguments)), found, said.out, said.err)

    return call


@pytest.fixture
def at(flights_root):
    """``at("recorded")`` gives the options for a stage of the flights; it must not be changed."""

    def options(name):
        return "--project", stage(flights_root, name)

    return options


@pytest.fixture(autouse=True)
def leave_no_modules():
    """Projects are imported into this process: they must not meet in the next test."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name in {"flights_data", "_seakeep_project"}:
            del sys.modules[name]
