import pytest
from tests.flights import stage


@pytest.fixture
def at(flights_root):
    """``at("recorded")`` gives the options for a stage of the flights; it must not be changed."""

    def options(name):
        return "--project", stage(flights_root, name)

    return options
