"""What the tables of attacks and faults say is tested is tested: every test that they name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NAMED = [
    pytest.param(*named, id="::".join(named))
    for page in ("attacks.md", "faults.md")
    for named in sorted(
        set(re.findall(r"`((?:tests|benchmarks)/[\w/.]+)(?:::(\w+))?`", (ROOT / "docs" / page).read_text("utf-8")))
    )
]


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_is_named_is_there(path, name):
    text = (ROOT / path).read_text("utf-8")
    assert not name or re.search(rf"^\s*(?:class|(?:async )?def) {name}\b", text, re.MULTILINE)
