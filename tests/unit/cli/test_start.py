import json
import shutil

import pytest
from tests.flights import change

TABLE = "when,size,colour,bought\n" + "".join(
    f"2024-01-{1 + row % 28:02} {row % 24:02}:00:00,{row % 7},{('red', 'blue')[row % 2]},{('no', 'yes')[row % 3 == 0]}\n"
    for row in range(300)
)
ASKED = ("--estimator", "sklearn.tree.DecisionTreeClassifier", "--label", "bought", "--time", "when")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text(TABLE)
    return path


def test_init_writes_a_project_that_passes_the_check(seakeep, table, tmp_path):
    said = seakeep("init", table, *ASKED, "--into", tmp_path / "shop")
    written = [line.removeprefix("  wrote ") for line in said.err.splitlines() if line.startswith("  wrote ")]
    assert written == [str(tmp_path / "shop" / name) for name in ("seakeep.toml", "project.py", ".gitignore")]
    assert "project.py ends with how to ask the service, and how to tell it outcomes" in said.err
    next_step = f"cd {tmp_path / 'shop'}, then seakeep check, then seakeep train"
    assert said.err.endswith(f"✓ the project is ready\n  next: {next_step}\n")
    assert said.out == ""
    assert seakeep("check", "--project", tmp_path / "shop").err == "✓ no faults\n  next: seakeep train\n"


def test_init_overwrites_nothing(seakeep, table, tmp_path):
    seakeep("init", table, *ASKED, "--into", tmp_path / "shop")
    said = seakeep("init", table, *ASKED, "--into", tmp_path / "shop", code=1)
    assert "seakeep.toml is already there" in said.err
    assert "nothing was written" in said.err


def test_init_says_which_column_it_does_not_find(seakeep, table, tmp_path):
    said = seakeep("init", table, *ASKED, "--key", "colur", "--into", tmp_path / "shop", code=1)
    assert "the table has no key column 'colur'" in said.err
    assert "hint: did you mean 'colour'?" in said.err
    assert not (tmp_path / "shop").exists()


def test_check_of_a_sound_project_gives_an_empty_list(seakeep, at):
    said = seakeep("check", *at("example"), "--json")
    assert json.loads(said.out) == []
    assert said.err == "✓ no faults\n  next: seakeep train\n"


def test_check_gives_every_fault_as_json_and_tells_it(seakeep, at, tmp_path):
    folder = shutil.copytree(at("example")[1], tmp_path / "flights")
    change(folder, ("Canary([0.01, 0.1, 0.5, 1.0])", "Canary([0.5])"), ('gate.metric("roc_auc"', 'gate.metric("auc"'))
    said = seakeep("check", "--project", folder, "--json", code=1)
    faults = json.loads(said.out)
    assert {fault["file"] for fault in faults} == {str(folder / "project.py")}
    assert [fault["line"] for fault in faults] == sorted(fault["line"] for fault in faults)
    assert all(fault["hint"] for fault in faults)
    for fault in faults:
        assert f"error: {fault['message']}\n  at {fault['file']}:{fault['line']}\n  hint: {fault['hint']}\n" in said.err
    assert said.err.endswith("found 2 faults\n")


def test_one_fault_is_not_told_as_several(seakeep, tmp_path):
    (tmp_path / "seakeep.toml").write_text('[project]\nname = "x"\n[serving]\nprot = 1\n')
    (tmp_path / "project.py").write_text("import seakeep as sk\n")
    said = seakeep("status", "--project", tmp_path, code=1)
    assert said.err == (
        f"error: unknown setting 'prot' in [serving]\n  at {tmp_path}/seakeep.toml:4\n"
        "  hint: did you mean 'port'?\nfound 1 fault\n"
    )
