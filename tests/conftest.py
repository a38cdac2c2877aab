"""What all tests share: laws without a stop-watch, the stages of the flights, and one running service to read from."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import settings
from tests import flights

from seakeep.cli import main

# Threads that spin while they wait for one another make a small model ten times slower on a machine that is busy. Read when
# the first library with such threads is loaded, here and in the processes that are started from here.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}  # noqa: TID251 -- settings of libraries

# MLflow's client brings a finder of packages that takes the place of Python's own for good. Not amid a test that puts the
# finders back as they were: from then on there would be neither.
with contextlib.suppress(ImportError):
    import importlib_metadata  # noqa: F401 -- for that effect

# A law says what is true, not how long a busy machine takes to show it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def flights_root(request, tmp_path_factory):
    """Where the stages of the flights are; one folder for all processes of the session."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    return shared / "flights"


@pytest.fixture
def flights_at(flights_root, tmp_path):
    """``flights_at("promoted")`` gives the test its own copy of a stage: a project's folder."""

    def begin(stage: str, name: str = "flights") -> Path:
        return flights.copy(flights.stage(flights_root, stage), tmp_path / name)

    return begin


@pytest.fixture(scope="session")
def recorded(flights_root):
    """The project after three days of traffic, not being served; to be read only."""
    with flights.opened(flights.stage(flights_root, "recorded")) as project:
        yield project


@pytest.fixture(scope="session")
def served(flights_root, tmp_path_factory):
    """The project after three days of traffic, being served; to be asked, but not changed."""
    folder = flights.copy(flights.stage(flights_root, "recorded"), tmp_path_factory.mktemp("served") / "flights")
    with flights.Server(folder) as server:
        yield server


@pytest.fixture(scope="session")
def history(recorded):
    """What happened in five days of March: the flights that ask, and the events as they became known."""
    from seakeep.project import stream

    loaded = recorded._loaded
    definition = recorded.bundle(recorded.resolve(flights.MODEL)).definition
    return stream.plan(loaded, definition, from_us=flights.AS_OF_US, to_us=flights.HISTORY_TO_US, share=1.0)


@pytest.fixture
def seakeep(capsys):
    """``seakeep("status", "--project", folder)`` runs a command in this process; it must end with ``code``."""

    def call(*arguments, code=0):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        found = ended.value.code or 0
        assert found == code, (found, said)
        return flights.Told(list(map(str, arguments)), found, said.out, said.err)

    with flights.forgotten():
        yield call
