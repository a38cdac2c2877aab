"""The figures of batch scoring are the measured ones, and its tables name what the output has."""

import json
import re
from pathlib import Path

from seakeep.scoring.output import NAMES

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "score.md").read_text("utf-8")


def test_the_figures_are_the_measured_ones():
    rows = json.loads((ROOT / "benchmarks" / "results" / "score.json").read_text("utf-8"))
    section = TEXT.partition("## What it costs")[2].partition("\n## ")[0]
    told = re.findall(r"(\d+\.\d) (s|MB)", section)
    measured = [(str(value), row["unit"]) for row in rows for value in (row["ours"], *row["peers"].values())]
    assert sorted(told) == sorted(measured)


def test_every_column_of_the_output_is_told():
    table = TEXT.partition("## What comes out")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(NAMES)
