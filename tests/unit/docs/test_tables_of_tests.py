"""What the tables of attacks and faults say is tested is tested: every test that they name is there."""

import json
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


def test_the_figures_of_swaps_are_the_measured_ones():
    rows = json.loads((ROOT / "benchmarks" / "results" / "swap.json").read_text("utf-8"))
    assert all(row["ours"] <= row["limit"] for row in rows if row["limit"] is not None)
    ours = {row["figure"]: row["ours"] for row in rows}
    answered, bad = ours["requests answered while versions were swapped"], ours["of these failed, lost or wrong"]
    told = f"{bad} of {answered:,} requests failed over {ours['swaps']:,} swaps"
    text = " ".join((ROOT / "docs" / "faults.md").read_text("utf-8").split())
    assert told in text
    assert f"The aim is a million requests; {answered:,} is what the three minutes gave." in text
