import pytest
from tests.registering import STATES


@pytest.fixture(params=STATES)
def backend(request):
    return request.param


@pytest.fixture
def reopen(backend, tmp_path):
    """Opens the state once more, as another process would."""
    opened = []

    def again():
        opened.append(STATES[backend](tmp_path))
        return opened[-1]

    yield again
    for state in opened:
        state.close()


@pytest.fixture
def state(reopen):
    return reopen()
