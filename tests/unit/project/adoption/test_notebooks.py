"""The notebooks of ``tests/notebooks``: each is read, run once, written as a project and held against its own answers."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.flights import forgotten
from tests.simulated_notebooks import FOLDER, REFUSED, ROWS, TAKEN, put, table, write_tables

from seakeep.errors import AdoptionError, ConfigError
from seakeep.project.adoption import original, proof
from seakeep.project.adoption.adopt import adopt, read
from seakeep.project.adoption.write import TRAIN, write
from seakeep.project.check import check
from seakeep.records.outputs import classes

PAGE = Path(__file__).parents[4] / "docs" / "adopt.md"

# One process runs all of them: what the libraries cost to import is paid once.
RUN_ALL = """
import os, sys
from pathlib import Path
import msgspec, numpy as np
from seakeep.project.adoption import original
sys.meta_path.append(original._Drawing())
for folder in sys.argv[1:]:
    folder = Path(folder)
    os.chdir(folder)
    request = msgspec.json.decode((folder / original.REQUEST).read_bytes(), type=original.Request)
    outcome, arrays = original.run_cells(request)
    assert outcome.fitted and not outcome.message, outcome
    with (folder / original.FOUND).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    (folder / original.OUTCOME).write_bytes(msgspec.json.encode(outcome))
"""


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Every notebook that can be adopted, as it is read; and why the others cannot."""
    folder = tmp_path_factory.mktemp("notebooks")
    write_tables(folder)
    found = {}
    for path in FOLDER.glob("*.ipynb"):
        (folder / path.name).write_bytes(path.read_bytes())
        try:
            found[path.stem] = read(folder / path.name)
        except AdoptionError as refused:
            found[path.stem] = refused
    return found


@pytest.fixture(scope="module")
def originals(plans, tmp_path_factory):
    """What the notebooks' own models were given and answered."""
    folder = tmp_path_factory.mktemp("runs")
    for name in sorted(TAKEN):
        notebook, _, plan = plans[name]
        (folder / name).mkdir()
        write_tables(folder / name)
        place = plan.fit.place
        request = original.Request(
            cells=[(cell.number, cell.code) for cell in notebook.cells],
            cell=place.cell, line=place.line, occurrence=plan.occurrence, outputs=plan.outputs,
        )  # fmt: skip
        (folder / name / original.REQUEST).write_bytes(msgspec.json.encode(request))
    given = [str(folder / name) for name in sorted(TAKEN)]
    environment = {"MPLBACKEND": "Agg", "PYTHONPATH": str(Path(original.__file__).parents[3]), "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *given], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: original.found_in(folder / name) for name in TAKEN}


def outcome(found):
    if isinstance(found, AdoptionError):
        return f"no: {found.message}"
    _, _, plan = found
    kind = plan.fit.made.path.rpartition(".")[2]
    rows = len(plan.train) + len(plan.judge)
    return f"{kind}, {len(plan.features)} features; equal on {rows:,} rows"


def test_the_notebooks_are_of_many_habits():
    assert len(TAKEN) >= 12
    assert len(REFUSED) >= 6


def test_those_that_cannot_be_adopted_say_where_and_why(plans):
    told = {name: (plans[name].cell, plans[name].line, plans[name].reason, plans[name].hint) for name in REFUSED}
    places = {name: place[:2] for name, place in told.items()}
    assert places == {
        "every_row": (2, 1), "from_a_database": (2, 2), "from_a_url": (1, 5), "no_seed": (1, 6), "own_class": (2, 1),
        "own_lambda": (2, 1), "words": (1, 5),
    }  # fmt: skip
    assert all(reason and hint for _, _, reason, hint in told.values()), told


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TAKEN))
def test_the_project_answers_as_the_notebook_does_on_a_thousand_rows(plans, originals, tmp_path, name):
    _, _, plan = plans[name]
    reference = proof.reference_of(plan, originals[name])
    assert len(reference) == len(plan.train) + len(plan.judge)
    write(plan, "shop", tmp_path, notebook=f"{name}.ipynb", reference=reference)
    with forgotten():
        assert check(tmp_path) == ()
        found = proof.against_reference(tmp_path)
    sys.modules.pop("train", None)
    assert found.equal, found
    assert found.largest <= 1e-12
    assert found.rows >= proof.LEAST_ROWS


def test_the_table_of_the_page_is_the_present_one(plans):
    written = PAGE.read_text("utf-8").partition("<!-- notebooks -->\n")[2].partition("\n<!-- end of notebooks -->")[0]
    assert written == table({name: outcome(found) for name, found in plans.items()})


def test_what_is_learnt_from_other_rows_becomes_a_constant_and_is_told(plans):
    _, _, plan = plans["inline_dummies"]
    assert "cell 3, line 1: the mean is of other rows than the model learns from, and becomes a constant" in plan.told
    assert plan.threshold == 0.3
    _, _, plan = plans["scaled_arrays"]
    assert [[made.path.rpartition(".")[2] for made in block.steps] for block in plan.blocks] == [
        ["SimpleImputer", "StandardScaler"]
    ]


def test_the_last_model_is_taken_or_the_one_that_is_named(plans, tmp_path):
    _, _, plan = plans["house_prices"]
    assert plan.fit.name == "forest"
    assert any("fitted last is taken" in text for text in plan.told)
    path = put("house_prices", tmp_path)
    _, _, other = read(path, model="line")
    assert other.fit.made.path == "sklearn.linear_model.LinearRegression"
    with pytest.raises(AdoptionError, match="no model 'tree'") as caught:
        read(path, model="tree")
    assert "forest" in caught.value.hint


@pytest.mark.slow
def test_a_run_that_gives_other_inputs_is_told_with_row_and_column(plans, originals):
    _, _, plan = plans["out_of_order"]
    seen = originals["out_of_order"].seen[0]
    changed = [column.copy() for column in seen.columns]
    changed[1][3] += 1
    other = original.Original((original.Seen(changed, seen.scores),), ())
    with pytest.raises(AdoptionError, match="column 'monthly' in row") as caught:
        proof.reference_of(plan, other)
    assert (caught.value.cell, caught.value.line) == (2, 2)


def test_several_classes_are_declared_by_their_names_in_the_order_of_what_the_notebook_makes_of_them(plans, tmp_path):
    _, _, plan = plans["three_classes"]
    assert plan.outputs == classes("basic", "plus", "pro")
    path = put("three_classes", tmp_path)
    text = path.read_text("utf-8")

    def asked(outcome):
        path.write_text(text.replace('df[\\"plan\\"]', outcome.replace('"', '\\"')), "utf-8")
        return read(path)[2].outputs

    assert asked('df["plan"].map({"basic": 2, "plus": 0, "pro": 1})') == classes("plus", "pro", "basic")
    assert asked('df["plan"].map({"basic": 2, "plus": 2, "pro": 1})').yes_or_no
    with pytest.raises(AdoptionError, match="classes, which are not the names of a text column") as caught:
        asked('df["complaints"]')
    assert (caught.value.cell, caught.value.line) == (2, 2)


def test_answers_that_differ_name_the_first_row():
    found = proof.compare({1: (0.5,), 7: (0.25,), 9: (0.1,)}, {1: (0.5,), 7: (0.26,), 9: (0.2,)})
    assert not found.equal
    assert found.first == "row 7: 0.25 in the notebook, 0.26 in the project"
    assert found.largest == pytest.approx(0.1)
    assert not proof.compare({1: (0.5, 0.5)}, {}).equal
    assert proof.compare({1: (0.5,)}, {1: (0.5 + 1e-6,)}, tolerance=1e-5).equal


def test_nothing_is_written_over(tmp_path):
    path = put("out_of_order", tmp_path)
    with pytest.raises(ConfigError, match="is not empty"):
        adopt(path, tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {path.name, "customers.csv", "houses.csv"}


@pytest.mark.slow
def test_a_notebook_that_fails_by_itself_is_told_with_its_line(tmp_path):
    path = put("out_of_order", tmp_path / "n")
    content = json.loads(path.read_text("utf-8"))
    content["cells"][1]["source"] = ["x = 1\n", "1 / 0\n", "import pandas as pd"]
    content["cells"][4]["source"].insert(0, "from sklearn.model_selection import train_test_split\n")
    content["cells"][2]["source"].insert(0, "from sklearn.tree import DecisionTreeClassifier\n")
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(AdoptionError, match="ZeroDivisionError") as caught:
        adopt(path, tmp_path / "project")
    assert (caught.value.cell, caught.value.line) == (1, 2)
    assert not (tmp_path / "project").exists()


@pytest.mark.slow
def test_a_notebook_becomes_a_project_whose_own_tests_pass(tmp_path, seakeep, monkeypatch):
    put("inline_dummies", tmp_path)
    monkeypatch.chdir(tmp_path)
    done = seakeep("adopt", "inline_dummies.ipynb", "--into", "shop", "--json")
    sys.modules.pop("train", None)
    told = json.loads(done.out)
    assert told["difference"]["rows"] == told["difference"]["different_rows"] == ROWS
    assert told["difference"]["largest"] <= 1e-12
    folder = tmp_path / "shop"
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # those of this suite, which its tests do not need
    assert {str(Path(one).relative_to("shop")) for one in told["files"]} == {
        "seakeep.toml", "project.py", TRAIN, "rows.parquet", "tests/reference.csv", "tests/test_project.py", ".gitignore",
    }  # fmt: skip
    assert not (folder / ".seakeep").exists()
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "3 passed" in tests.stdout, tests.stdout
    assert np.isfinite(told["difference"]["largest"])
