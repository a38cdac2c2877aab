import json

import msgspec
import numpy as np
import pytest
import xgboost
from click.testing import CliRunner
from tests.adopting import sample, without_cage
from tests.flights import forgotten, run

from seakeep.cli.adopt import adopt, file_summary, summary
from seakeep.project.adoption.adopt import Adopted
from seakeep.project.adoption.modelfile import AdoptedFile
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


def test_of_a_file_the_rows_of_the_sample_and_those_made_up_are_said():
    made = AdoptedFile(
        folder="p", files=(), source="models:/late/3", model="a skops archive, which answers with a value", register="seakeep register model.skops",
        labelled=True, rows=1200, tried=415, difference=Difference(rows=1200, different_rows=1200, largest=0.0), told=(),
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(made), type=AdoptedFile) == made
    assert file_summary(made).splitlines() == [
        "model       a skops archive, which answers with a value",
        "from        models:/late/3",
        "tried       415 rows made up beside the sample's",
        "compared    1,200 rows: the largest difference is 0",
    ]


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        ("gone", (), "no file gone, and no folder of that name with an MLmodel"),
        ("n.ipynb", ("--data", "s.csv"), "a notebook reads its own data"),
        ("called_otherwise", ("--label", "y"), "a notebook reads its own data"),
        ("m.json", (), "--data sample.parquet"),
        ("m.json", ("--model", "forest"), "--model is for notebooks"),
        ("m.json", ("--label", "y"), "--label names a column of --data"),
    ],
)
def test_options_that_do_not_fit_the_source_are_told(tmp_path, monkeypatch, source, options, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.ipynb").write_text("{}", "utf-8")
    (tmp_path / "called_otherwise").write_text('{"cells": [], "nbformat": 4}', "utf-8")
    (tmp_path / "m.json").write_text('{"learner": {}}', "utf-8")
    (tmp_path / "s.csv").write_text("a\n1\n", "utf-8")
    done = CliRunner().invoke(adopt, [source, "--into", "p", *options])
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())
    assert not (tmp_path / "p").exists()


@pytest.mark.slow
def test_a_model_file_is_adopted_with_the_columns_in_its_own_order(tmp_path, monkeypatch):
    without_cage(monkeypatch)
    table = sample().rename(columns={"monthly fee": "fee"})
    xgboost.XGBRegressor(n_estimators=2, max_depth=2).fit(table[["age", "fee"]], table["left"]).save_model(
        tmp_path / "m.ubj"
    )
    table.to_parquet(tmp_path / "s.parquet")
    monkeypatch.chdir(tmp_path)
    with forgotten():
        done = CliRunner().invoke(adopt, ["m.ubj", "--data", "s.parquet", "--into", "shop"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "compared    1,000 rows: the largest difference is" in done.output
    assert "left out, for the model does not take them: zone, left" in done.output
    assert "once there are outcomes, seakeep register model.ubj" in done.output
    reference = np.loadtxt(tmp_path / "shop" / "tests" / "reference.csv", delimiter=",", skiprows=1)
    assert len(reference) == 1000


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
