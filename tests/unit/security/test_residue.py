import pytest

from seakeep.security import residue
from seakeep.security.residue import places


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
def test_every_place_is_counted_once_wherever_reads_end(tmp_path, monkeypatch, size):
    monkeypatch.setattr(residue, "_READ", size)
    path = tmp_path / "file"
    path.write_bytes(b"needle--needleneedle-nail-needl" + b"nail")
    assert places(path, [b"needle"]) == 3
    assert places(path, [b"needle", b"nail"]) == 5
    assert places(path, [b"nothing"]) == 0
    assert places(path, []) == 0


def test_a_file_that_is_gone_holds_nothing(tmp_path):
    assert places(tmp_path / "none", [b"x"]) == 0
