import csv
import json
import re
import shutil
import subprocess

import duckdb
import numpy as np
import pytest
from tests.flights import Server, change, opened

from seakeep.clock import SystemClock
from seakeep.errors import ConfigError
from seakeep.project.check import check
from seakeep.project.load import load_project
from seakeep.project.scaffold import init
from seakeep.training.fit import fit

TREES = "sklearn.ensemble.HistGradientBoostingClassifier"
LINEAR = "sklearn.linear_model.LogisticRegression"
FOREST = "sklearn.ensemble.RandomForestClassifier"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    rows = 900
    size = rng.normal(size=rows)
    colour = rng.choice(["red", "it's blue", "grün"], rows)
    bought = size + (colour == "red") + rng.normal(size=rows) > 1
    when = np.datetime64("2024-01-01T00:00:00") + np.sort(rng.integers(0, 50 * 86_400, rows)).astype("timedelta64[s]")
    path = tmp_path_factory.mktemp("t") / "visits.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "when", "Size (cm)", "class", "2nd line", "same", "note", "user", "receipt", "bought"])
        for i in range(rows):
            writer.writerow([
                1000 + i, when[i], "" if i % 9 == 0 else size[i].round(3), colour[i], int(i % 7), "x",
                f"the customer said a long sentence, number {i}", f"u{i}", float(bought[i]) * 9.5,
                "bought" if bought[i] else "left",
            ])  # fmt: skip
    return path


def start(folder, table, estimator=TREES, **changes):
    return init(folder, table, estimator, **{"label": "bought", "time": "when", "key": "id", **changes})


@pytest.mark.parametrize("estimator", [TREES, LINEAR, FOREST])
@pytest.mark.parametrize("key", ["id", ""])
def test_the_project_passes_the_check_and_trains(tmp_path, table, estimator, key):
    from seakeep.clock import parse_moment
    from seakeep.data.schema import infer_schema
    from seakeep.features.join import training_frame
    from seakeep.features.resolve import resolve

    folder = tmp_path / "Shop Visits"
    start(folder, table, estimator, key=key)
    assert check(folder) == ()
    project = load_project(folder)
    model = project.model("shop-visits")
    tables = {name: project.read(name) for name in project.sources}
    definition = resolve(model.definition, {name: infer_schema(values) for name, values in tables.items()})
    frame = training_frame(definition, tables, as_of_us=parse_moment("2024-03-01"))
    fitted = fit(model, frame)
    assert fitted.metrics["roc_auc"].value > 0.65
    assert not any(warning.startswith("feature") for warning in fitted.warnings)


def test_what_is_written_is_said_and_what_is_left_out_too(tmp_path, table):
    folder = tmp_path / "new"
    paths = start(folder, table)
    assert paths == (folder / "seakeep.toml", folder / "project.py", folder / ".gitignore")
    text = (folder / "project.py").read_text("utf-8")
    assert '#   "note": it is free text' in text
    assert '#   "user": it has 900 different values' in text
    assert '#   "same": it is the same in every row' in text
    assert '#   "receipt": it alone tells the outcome' in text
    assert 'size_cm=sk.col("Size (cm)")' in text
    assert 'c_class=sk.col("class")' in text
    assert 'c_2nd_line=sk.col("2nd line")' in text
    assert text.count("\n\n\n\n") == 0


def test_a_table_of_headers_alone_is_said_to_have_no_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("when,y,x\n")
    with pytest.raises(ConfigError, match="the table has no rows") as caught:
        init(tmp_path / "new", path, TREES, label="y", time="when")
    assert "UTC" not in caught.value.hint


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("changes", [{}, {"key": "", "label": "told's"}], ids=["with a key", "without"])
def test_the_requests_at_the_end_of_the_project_are_answered_and_the_outcome_is_joined(
    tmp_path, table, seakeep, changes
):
    columns = (
        '* replace ("when" + to_days(current_date - date \'2024-02-20\') as "when"), bought = \'left\' as "told\'s"'
    )
    recent = tmp_path / "recent.csv"
    duckdb.read_csv(str(table)).project(columns).write_csv(str(recent))
    folder = tmp_path / "shop"
    start(folder, recent, LINEAR, **changes)
    change(folder, (', delay="1d"', ""))  # known at once
    for words in (("train",), ("convert",), ("promote", "shop@candidate", "--override", "for the test")):
        seakeep(*words, "--project", folder)
    ask, tell = re.findall("^#   (curl .*)$", (folder / "project.py").read_text("utf-8"), re.MULTILINE)
    with Server(folder) as server:
        asked, told, again = (
            json.loads(subprocess.run(
                ["sh", "-c", line.replace(":8080/", f":{server.port}/")], capture_output=True, check=True, timeout=60
            ).stdout)
            for line in (ask, tell, tell)
        )  # fmt: skip
    assert len(asked["predictions"]) == 1, asked
    assert (told, again) == ({"accepted": 1, "duplicate": False}, {"accepted": 1, "duplicate": True})
    with opened(folder) as project:
        brief = project.morning(now_us=SystemClock().now_us() + 1_000_000)
    assert brief.estimate.labelled == 1


def test_the_rarer_of_two_texts_is_the_positive_outcome(tmp_path, table):
    start(tmp_path / "new", table)
    assert 'sk.col("bought") == "bought"' in (tmp_path / "new" / "project.py").read_text()


def test_a_name_cannot_carry_code_into_the_project(tmp_path):
    evil = 'x"\nraise SystemExit("gotcha")\n#'
    path = tmp_path / "t.parquet"
    quoted = evil.replace('"', '""')
    duckdb.sql(
        f"""select timestamp '2024-01-01' + to_days((i % 28)::int) as "when", i % 2 as y, i % 5 as x,
        i % 3 as "{quoted}", 1 as "same{quoted}" from range(300) t(i)"""
    ).write_parquet(str(path))
    init(tmp_path / "new", path, TREES, label="y", time="when")
    assert "gotcha" in (tmp_path / "new" / "project.py").read_text()
    assert check(tmp_path / "new") == ()


@pytest.mark.parametrize("name", ["seakeep.toml", "project.py"])
def test_nothing_is_overwritten(tmp_path, table, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="already there"):
        start(tmp_path, table)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "bougt"}, "no label column 'bougt'"),
        ({"time": "id"}, "time column 'id' does not hold times, but for example 1000$"),
        ({"key": "class"}, "does not identify a row"),
        ({"label": "class"}, "has 3 values; a label has two"),
        ({"estimator": "sklearn.ensemble.NoSuch"}, "cannot import"),
        ({"estimator": "nothing"}, "cannot import"),
        ({"estimator": "sklearn.cluster.KMeans"}, "not a class of classifiers"),
        ({"estimator": "sklearn.metrics.roc_auc_score"}, "not a class of classifiers"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_written(tmp_path, table, changes, message):
    folder = tmp_path / "new"
    with pytest.raises(ConfigError, match=message):
        start(folder, table, **changes)
    assert not folder.exists()


def test_a_table_with_nothing_to_learn_from_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("when,y,same\n2024-01-01,1,5\n2024-01-02,0,5\n")
    with pytest.raises(ConfigError, match="no column is left to learn from"):
        init(tmp_path / "new", path, TREES, label="y", time="when")


@pytest.mark.parametrize("estimator", ["sklearn.ensemble.HistGradientBoostingRegressor", "sklearn.linear_model.Ridge"])
def test_a_regressor_makes_a_project_of_a_number(tmp_path, table, estimator):
    folder = tmp_path / "sizes"
    start(folder, table, estimator, label="receipt")
    assert check(folder) == ()
    text = (folder / "project.py").read_text()
    assert 'label=sk.Label(outcomes, sk.col("receipt"), answers=sk.number()),' in text
    assert "decision" not in text
    assert load_project(folder).model("sizes").definition.label.outputs.kind == "value"


@pytest.mark.parametrize(("label", "message"), [("bought", "holds no numbers"), ("when", "holds no numbers")])
def test_a_regressor_needs_numbers_to_predict(tmp_path, table, label, message):
    with pytest.raises(ConfigError, match=message):
        start(tmp_path / "none", table, "sklearn.linear_model.Ridge", label=label, time="when")
    assert not (tmp_path / "none").exists()
