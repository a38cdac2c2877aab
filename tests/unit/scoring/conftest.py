import pytest
from tests.scoring_rig import ScoringRig

from seakeep.scoring.engine import engine


@pytest.fixture(scope="session")
def connection():
    with engine() as opened:
        yield opened


@pytest.fixture(scope="module")
def rig(tmp_path_factory, connection):
    return ScoringRig(tmp_path_factory.mktemp("rig"), connection)
