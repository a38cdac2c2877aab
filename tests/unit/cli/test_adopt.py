import json

import msgspec
import pytest
from tests.flights import run

from seakeep.cli.adopt import summary
from seakeep.project.adoption.adopt import Adopted
from seakeep.project.adoption.proof import Difference


def adopted(tmp_path, **changes):
    difference = Difference(**{"rows": 1000, "different_rows": 600, "largest": 2.2e-16} | changes)
    return Adopted(
        folder=str(tmp_path), files=(), model="sklearn.linear_model.Ridge", fitted="cell 3, line 2", rows_trained=480,
        rows_judged=120, difference=difference, told=(),
    )  # fmt: skip


def test_what_was_adopted_can_be_written_as_json(tmp_path):
    made = adopted(tmp_path)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Adopted) == made


def test_the_difference_is_said_and_how_many_rows_are_different_ones(tmp_path):
    assert summary(adopted(tmp_path)).splitlines() == [
        "model       sklearn.linear_model.Ridge, fitted in cell 3, line 2",
        "rows        480 to learn from, 120 to judge by",
        "compared    1,000 rows, 600 of them different ones: the largest difference is 2.2e-16",
    ]
    assert summary(adopted(tmp_path, different_rows=1000)).endswith("1,000 rows: the largest difference is 2.2e-16")


@pytest.mark.slow
def test_what_cannot_be_adopted_is_an_error_with_cell_line_and_hint(tmp_path):
    cells = [{"cell_type": "code", "source": "import pandas as pd\ndf = pd.read_sql('select 1', c)"}]
    cells += [
        {"cell_type": "code", "source": "from sklearn.linear_model import Ridge\nRidge().fit(df[['a']], df['b'])"}
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}), "utf-8")
    done = run(tmp_path, "adopt", "n.ipynb", "--into", "shop")
    assert done.code == 1
    assert "cell 1, line 2: the data come from a database" in done.err
    assert "hint: save the table as .csv" in done.err
    assert "code: adoption" in done.err
    assert not (tmp_path / "shop").exists()
