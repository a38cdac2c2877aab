import functools
from pathlib import Path

import pytest
from tests.serving_rig import Rig
from tests.serving_runs import run, serving


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
def serve(rig: Rig):
    """``async with serve(...) as service``: keyword arguments are settings, or parts of the context."""
    return functools.partial(serving, rig)


@pytest.fixture
def on_loop():
    return run
