import pytest
from tests.recording import start

from seakeep.errors import RecorderError
from seakeep.recorder.ledger import Ledger


def test_numbers_outlive_the_ledger(tmp_path):
    ledger = Ledger(tmp_path, "w")
    assert (ledger.sequence, ledger.segment, ledger.accounted) == (0, 0, 0)
    ledger.sequence, ledger.segment, ledger.accounted = 2**63 + 5, 7, 9
    ledger.close()
    again = Ledger(tmp_path, "w")
    assert (again.sequence, again.segment, again.accounted) == (2**63 + 5, 7, 9)
    again.close()


def test_a_ledger_has_one_holder(tmp_path):
    ledger = Ledger(tmp_path, "w")
    with pytest.raises(RecorderError, match="another process writes as 'w'"):
        Ledger(tmp_path, "w")
    Ledger(tmp_path, "other").close()
    ledger.close()
    Ledger(tmp_path, "w").close()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(RecorderError, match="cannot open"):
        Ledger(tmp_path / "none", "w")


def test_stores_survive_the_death_of_the_process(tmp_path):
    code = (
        "import os, signal, sys, pathlib\n"
        "from seakeep.recorder.ledger import Ledger\n"
        "ledger = Ledger(pathlib.Path(sys.argv[1]), 'w')\n"
        "for n in range(1, 100_001): ledger.sequence = n\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert start(code, tmp_path).wait() == -9
    ledger = Ledger(tmp_path, "w")
    assert ledger.sequence == 100_000
    ledger.close()
