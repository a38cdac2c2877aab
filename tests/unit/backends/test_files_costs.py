import msgspec
import pytest

from seakeep.backends.files.costs import FileCosts
from seakeep.serving.batching import Cost

COST = Cost((1, 2, 4), (9e-6, 1e-5, 1.5e-5))


def test_what_was_measured_is_found_again_on_this_host_alone(tmp_path):
    costs = FileCosts(tmp_path / "costs", host="a cpu avx2, engine 1")
    assert costs.get("b1") is None
    costs.put("b1", COST)
    assert FileCosts(tmp_path / "costs", host="a cpu avx2, engine 1").get("b1") == COST
    assert FileCosts(tmp_path / "costs", host="a cpu avx2, engine 2").get("b1") is None
    assert costs.get("b2") is None
    assert [file.name for file in (tmp_path / "costs").iterdir()] == ["b1.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"host": "h", "cost": {"rows": [], "seconds": []}}',
        b'{"host": "h", "cost": {"rows": [1, 2], "seconds": [0.5]}}',
        b'{"host": "h", "cost": {"rows": [1], "seconds": [0.0]}}',
    ],
)
def test_what_cannot_be_read_was_not_measured(tmp_path, content):
    (tmp_path / "b.json").write_bytes(content)
    assert FileCosts(tmp_path, host="h").get("b") is None


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path):
    (tmp_path / "costs").write_text("a file")
    FileCosts(tmp_path / "costs", host="h").put("b", COST)


def test_measured_again_replaces_what_there_was(tmp_path):
    costs = FileCosts(tmp_path, host="h")
    costs.put("b", COST)
    costs.put("b", Cost((1,), (1.0,)))
    assert costs.get("b") == Cost((1,), (1.0,))
    assert msgspec.json.decode((tmp_path / "b.json").read_bytes())["host"] == "h"
