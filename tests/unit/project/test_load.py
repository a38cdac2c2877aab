import sys

import pytest

from seakeep.errors import ConfigError, DataError, NotFoundError, ProjectFaults
from seakeep.project.load import MODULE, import_declarations, load_project, sources_of


def test_models_sources_and_tables_are_found_by_name(shop):
    folder = shop(form="csv")
    project = load_project(folder)
    assert list(project.models) == ["returned"]
    assert set(project.sources) == {"orders", "returns"}
    assert project.tables == {"orders": folder / "orders.csv", "returns": folder / "returns.csv"}
    assert project.settings.project.name == "shop"
    assert set(sources_of(project.model())) == {"orders", "returns"}


def test_a_table_is_read_from_a_path_and_from_a_function(shop):
    rows = 'def load():\n    return {"id": ["a"], "told": ["2024-01-01"], "returned": [1], "shop": ["web"]}\n'
    project = load_project(shop(("tables = {", f"{rows}\n\ntables = {{"), ('returns: "returns.csv"', "returns: load")))
    assert len(project.read("orders")["id"]) == 1_500
    assert project.read("returns")["returned"].tolist() == [1]


def test_a_trainer_is_found_by_its_name(shop):
    project = load_project(shop())
    assert project.trainer("train_hastily").__name__ == "train_hastily"
    with pytest.raises(NotFoundError, match="no function 'train_badly'"):
        project.trainer("train_badly")


def test_the_only_model_needs_no_name_and_an_unknown_one_lists_the_known(shop):
    project = load_project(shop())
    assert project.model() is project.model("returned")
    with pytest.raises(NotFoundError) as caught:
        project.model("return")
    assert "returned" in caught.value.hint


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (("import seakeep as sk\n", "import seakeep as sk\nimport nothing_like_it\n"), r"project.py:4: ModuleNotFound"),
        (("orders = sk", "1 / 0\norders = sk"), r"project.py:6: ZeroDivisionError"),
        (("orders = sk", "orders == sk"), r"project.py:6: NameError"),
        (("tables = {", "tables = {{"), r"project.py:8: SyntaxError"),
    ],
)
def test_a_project_that_cannot_be_imported_names_file_and_line(shop, replacement, message):
    with pytest.raises(ConfigError, match=message):
        load_project(shop(replacement))
    assert MODULE not in sys.modules


def test_an_error_in_a_helper_file_names_that_file(shop):
    with pytest.raises(ConfigError, match=r"learn.py:2: ValueError: broken"):
        load_project(shop(learn='def train(f): ...\nraise ValueError("broken")\n'))


def test_a_missing_file_is_said(shop):
    folder = shop()
    (folder / "project.py").unlink()
    with pytest.raises(ConfigError, match="there is no"):
        load_project(folder)


def test_two_models_of_one_name_are_refused(shop):
    text = (
        "model = sk.Model(",
        "other = sk.Model('returned', on=orders, features=[], label=None, train=train)\nmodel = sk.Model(",
    )
    folder = shop((text[0], text[1].replace("label=None", 'label=sk.Label(returns, sk.col("returned") > 1)')))
    with pytest.raises(ProjectFaults, match="two different Model are named 'returned'"):
        load_project(folder)


def test_one_model_under_two_names_is_one_model(shop):
    folder = shop()
    with (folder / "project.py").open("a") as file:
        file.write("alias = model\n")
    assert list(load_project(folder).models) == ["returned"]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ('{"orders": "orders.csv"}', "'orders' in `tables` is not a source"),
        ("[orders]", "`tables` is not a mapping"),
        ("{orders: 5}", "the table of 'orders' is a int"),
    ],
)
def test_tables_that_are_no_tables_are_refused(shop, tables, message):
    with pytest.raises(ProjectFaults, match=message):
        load_project(shop(('{orders: "orders.csv", returns: "returns.csv"}', tables)))


def test_a_source_without_a_table_says_how_to_add_one(shop):
    project = load_project(shop((', returns: "returns.csv"', "")))
    with pytest.raises(DataError, match="'returns' has no table"):
        project.read("returns")


def test_a_loader_that_fails_names_file_and_line(shop):
    loader = "def load():\n    return open('nowhere.csv')\n\n\ntables = {"
    project = load_project(shop(("tables = {", loader), ('orders: "orders.csv"', "orders: load")))
    with pytest.raises(DataError, match=r"loader of 'orders' failed: project.py:9: FileNotFoundError"):
        project.read("orders")


def test_a_changed_file_is_read_anew_with_its_helpers(shop):
    folder = shop()
    before = load_project(folder).trainer("train")
    (folder / "learn.py").write_text("def train(frame): return 'new'\ndef train_hastily(frame): ...\n")
    project = load_project(folder)
    assert project.trainer("train") is not before
    assert project.trainer("train")(None) == "new"


def test_two_projects_with_helpers_of_one_name_keep_their_own(shop):
    one = load_project(shop(folder="one"))
    other = load_project(shop(folder="other", learn="def train(frame): return 'other'\ntrain_hastily = train\n"))
    assert other.trainer("train")(None) == "other"
    assert one.trainer("train") is not other.trainer("train")


def test_a_helper_of_a_project_that_could_not_be_imported_is_not_taken_for_anothers(tmp_path):
    for name, ending in (("broken", "1 / 0"), ("whole", "")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "seakeep.toml").write_text('[project]\nname = "x"\n')
        (folder / "shared_helper.py").write_text(f"whose = {name!r}\n")
        (folder / "project.py").write_text(f"import shared_helper\nwhose = shared_helper.whose\n{ending}\n")
    with pytest.raises(ConfigError):
        import_declarations(tmp_path / "broken" / "project.py", tmp_path / "broken")
    assert import_declarations(tmp_path / "whole" / "project.py", tmp_path / "whole").whose == "whole"
