from pathlib import Path

import pytest
from tests.simulated_parcels import write_project

from seakeep.project.check import check


def line_of(folder, text):
    lines = (folder / "project.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_sound_project_has_no_fault(shop, form):
    assert check(shop(form=form)) == ()


FAULTS = [
    ('"returned",\n    on', '"Returned",\n    on', "cannot name a model", "sk.Model("),
    ('over=["24h", "7d"]', 'over=["24h", "7x"]', "'7x' is not a duration", "7x"),
    ('over=["24h", "7d"]', 'over=["0s"]', "holds nothing", "0s"),
    ('sk.mean(sk.col("returned")', 'sk.mean(sk.col("retuned")', "there is no column 'retuned'", "retuned"),
    ('entity="shop"', 'entity="shp"', "no entity column 'shp'", "shp"),
    ('price=sk.col("price")', 'price=sk.col("returned")', "is known only then", 'price=sk.col("returned")'),
    ('sk.col("returned") > 0, delay="1d"', 'sk.col("returned") > 0, delay="1 day"', "delay of the label", "1 day"),
    ('sk.col("returned") > 0, delay="1d"', 'sk.col("retuned") > 0, delay="1d"', "label: there is no column", "Label"),
    ('time="told"', 'time="tld"', "'tld' is not in the table", "tld"),
    ('time="told"', 'time="shop"', "'shop' is string, not a time", 'time="shop"'),
    ("[0.1, 1.0]", "[0.1, 0.5]", "does not end with all of the traffic", "Canary"),
    ("[0.1, 1.0]", "[0.5, 0.1, 1.0]", "not a list of growing shares", "Canary"),
    ("[0.1, 1.0]", "[]", "does not end with all", "Canary"),
    ("Canary([0.1, 1.0])", "Canary([0.1, 1.0], min_pairs=0)", "min_pairs must be at least 1", "Canary"),
    ('metric("roc_auc"', 'metric("roc_acu"', "there is no metric 'roc_acu'", "roc_acu"),
    (", at_least=0.6", "", "'roc_auc' has no limit", 'metric("roc_auc")'),
    ('slices("shop"', 'slices("shp"', "'shp' is not a category", "shp"),
    ("p99_ms=5", "p99_ms=0", "cannot be met", "p99_ms=0"),
    ("TopShare(0.2)", "TopShare(20)", "TopShare(20) is not a share", "TopShare"),
    (', returns: "returns.csv"', "", "'returns' has no table", "tables ="),
    ('"returns.csv"', '"return.csv"', "there is no file", "tables ="),
    ('"returns.csv"', '"learn.py"', "neither .csv nor .parquet", "tables ="),
    ("train=train", "train=lambda: 5", "train does not take one frame", "lambda"),
    ('key="id")\nreturns', 'key="shop")\nreturns', "repeat a key of column 'shop'", 'key="shop")'),
    ('"orders", time', '"Orders", time', "cannot name a source", '"Orders"'),
    ('time="ordered"', "time=5", "Expected `str`, got `int`", "time=5"),
    ('"orders", time', "7, time", "Expected `str`, got `int`", "7, time"),
    ("[0.1, 1.0]", '"ab"', "Expected `array`, got `str`", "Canary"),
    ('sk.gate.slices("shop"),', '"slices",', "Expected `object`, got `str`", "gates=["),
    ('sk.col("returned") > 0, delay="1d"', '"returned", delay="1d"', "Expected `object`, got `str`", "Label"),
    ("request = sk", 'twin = sk.Events("orders", time="told")\nrequest = sk', "two different Events", "orders ="),
]


@pytest.mark.parametrize(("old", "new", "message", "place"), FAULTS)
def test_each_fault_is_told_with_its_line_and_a_hint(shop, old, new, message, place):
    folder = shop((old, new))
    found = [fault for fault in check(folder) if message in fault.message]
    assert found
    assert found[0].file == str(folder / "project.py")
    assert found[0].line == line_of(folder, place)


def test_a_fault_of_a_view_is_not_told_at_the_source_of_the_same_name(shop):
    folder = shop(('"recent"', '"returns"'), ('entity="shop"', 'entity="shp"'))
    assert {fault.line for fault in check(folder)} == {line_of(folder, "shp")}


def test_all_faults_are_told_at_once_in_the_order_of_lines(shop):
    chosen = [FAULTS[number] for number in (0, 1, 3, 4, 6, 10, 14, 17, 18)]
    folder = shop(*[(old, new) for old, new, _, _ in chosen], toml='[project]\nname = "x"\n[serving]\nprt = 1\n')
    found = check(folder)
    for _, _, message, _ in chosen:
        assert any(message in fault.message for fault in found), message
    assert any(fault.file.endswith("seakeep.toml") and fault.line == 4 for fault in found)
    assert [(fault.file, fault.line) for fault in found] == sorted((fault.file, fault.line) for fault in found)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\ny = (\n", 2, "'(' was never closed"),
        ("import nothing_like_it\n", 1, "No module named 'nothing_like_it'"),
        ('import seakeep as sk\n\nx = sk.Events("a")\n', 3, "Missing required argument 'time'"),
        ('import seakeep as sk\nif sk.col("a") > 1:\n    pass\n', 2, "no truth value"),
        ("import seakeep as sk\n", 1, "no model is declared"),
    ],
)
def test_a_file_that_cannot_be_imported_is_a_fault_at_its_line(shop, text, line, message):
    folder = shop()
    (folder / "project.py").write_text(text)
    found = check(folder)
    assert len(found) == 1
    assert (found[0].line, Path(found[0].file).name) == (line, "project.py")
    assert message in found[0].message


def test_a_fault_in_a_helper_names_the_helper(shop):
    found = check(shop(learn="def train(f): ...\nraise ValueError('broken')\n"))
    assert [(Path(fault.file).name, fault.line) for fault in found] == [("learn.py", 2)]


def test_broken_settings_do_not_hide_what_the_declarations_say(shop):
    folder = shop(("TopShare(0.2)", "TopShare(2)"), toml="not toml")
    files = {Path(fault.file).name for fault in check(folder)}
    assert files == {"seakeep.toml", "project.py"}


def test_a_loader_that_fails_is_a_fault(shop):
    loader = "def load():\n    raise OSError('no disk')\n\n\ntables = {"
    found = check(shop(("tables = {", loader), ('orders: "orders.csv"', "orders: load")))
    assert len(found) == 1
    assert "loader of 'orders' failed: project.py:9: OSError: no disk" in found[0].message


def test_a_table_that_is_no_table_is_a_fault(shop):
    found = check(shop(('orders: "orders.csv"', "orders: lambda: 5")))
    assert "a int is not a table" in found[0].message


def test_a_folder_without_a_project_is_a_fault(tmp_path):
    found = check(tmp_path)
    assert any("seakeep.toml" in fault.message for fault in found)


def test_only_the_beginning_of_a_file_is_read(shop):
    folder = shop(form="csv")
    with (folder / "orders.csv").open("a", newline="") as file:
        file.writelines(f"x{number},2024-05-01 00:00:00,1.5,web\r\n" for number in range(30_000))
        file.write("o0,2024-05-02 00:00:00,1.5,web\r\n")  # repeats a key, far behind the sample
    assert check(folder) == ()


def test_the_gates_of_a_number_know_its_metrics_and_no_floor(tmp_path):
    write_project(tmp_path / "project")
    assert check(tmp_path / "project") == ()
    text = (tmp_path / "project/project.py").read_text()
    for gate, message in (
        ('sk.gate.metric("roc_auc", at_least=1)', "there is no metric 'roc_auc'"),
        ('sk.gate.slices("zone", metric="mae")', "sets a floor, and errors of numbers have none"),
    ):
        (tmp_path / "project/project.py").write_text(text.replace("sk.gate.parity()", gate))
        assert [message in one.message for one in check(tmp_path / "project")] == [True]
