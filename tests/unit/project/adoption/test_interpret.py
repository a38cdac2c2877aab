"""What pandas makes of a column, and what its expression makes of it, are the same in every row."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest

from seakeep.data.table import as_table
from seakeep.features.transform import evaluate
from seakeep.project.adoption.interpret import Interpreter
from seakeep.project.adoption.methods import hole
from seakeep.project.adoption.notebook import read_notebook
from seakeep.project.adoption.original import plain
from seakeep.project.adoption.values import Opaque

HEAD = "import pandas as pd\nimport numpy as np\ndf = pd.read_csv('t.csv')\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("t")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "a": rng.normal(size=60).round(2), "b": rng.integers(0, 9, 60), "c": rng.choice(["x", "y", "z"], 60),
        "when": np.datetime64("2024-01-01T00:00") + rng.integers(0, 9_000, 60).astype("timedelta64[h]"),
    })  # fmt: skip
    table.loc[::7, "a"] = np.nan
    table.loc[::11, "c"] = None
    table.to_csv(path / "t.csv", index=False)
    return path


def read(folder, *cells):
    path = folder / "n.ipynb"
    made = [{"cell_type": "code", "source": text} for text in cells]
    path.write_text(json.dumps({"cells": made, "nbformat": 4}), "utf-8")
    return Interpreter(read_notebook(path))


@pytest.mark.parametrize(
    "code",
    [
        "df['a'] * 2 + df['b'] / 3 - 1",
        "1 / (df.b + 1)",
        "df['a'] ** 2",
        "-df['a']",
        "(df['a'] > 0.3).astype(int)",
        "(df['a'] != 0.3).astype(float)",
        "((df['a'] > 0) & ~(df['b'] == 3)) | (df['c'] == 'x')",
        "df['a'].fillna(0.25)",
        "df['a'].fillna(df['b'])",
        "df['a'].fillna(df['a'].median()) * 2",
        "df['a'].abs()",
        "np.log1p(df['b'])",
        "np.where(df['a'] > 0, 1, 0) * df['b']",
        "np.where(df['b'] > 4, df['b'], -1.5)",
        "np.where(df['a'].isna(), 0, df['a'])",
        "df['c'].map({'x': 1, 'y': 2.5})",
        "df['c'].isin(['x', 'z']).astype(int)",
        "df['c'].isnull().astype(int) + df['a'].notna()",
        "df['b'].clip(2, 6)",
        "df['b'].replace({3: 30, 4: 0})",
        "df['b'].between(2, 5)",
        "df['b'].apply(lambda n: 1 if n > 3 else n)",
        "df['b'].apply(lambda n: 0 if n < 2 else 1 if n < 5 else 2)",
        "df['b'].map(lambda n: n * 2 + 1)",
        "df['c'].astype('category').cat.codes",
        "pd.cut(df['b'], bins=[-1, 2, 5, 9], labels=False)",
        "pd.cut(df['a'], bins=[-np.inf, 0, np.inf], labels=[5, 7]).astype(float)",
        "pd.to_datetime(df['when']).dt.hour",
        "pd.to_datetime(df['when']).dt.dayofweek + pd.to_datetime(df['when']).dt.month",
        "df['a'].where(df['b'] > 3, 0)",
        "df['a'].gt(0.1)",
        "df.apply(lambda row: row['a'] * row['b'], axis=1)",
        "pd.get_dummies(df['c'])['y']",
        "pd.get_dummies(df, columns=['c'], drop_first=True)['c_z']",
        "df.assign(d=lambda t: t['a'] + 1)['d']",
        "df.rename(columns={'a': 'e'}).e + 1",
        "df.fillna({'a': 3})['a']",
        "df[df['b'] > 3].sort_values('b')['a'] * 2",
        "df.dropna().reset_index(drop=True)['a'] + 1",
        "df.query('b > 2 and a < 1')['a']",
        "df.iloc[10:40, :]['a']",
        "df.loc[df['c'] == 'x', 'b']",
        "df.drop_duplicates(subset='b')['a']",
        "df.sample(frac=0.5, random_state=1)['b'] / 2",
        "df[[name for name in df.columns if name in 'ab']]['a']",
    ],
)
def test_a_column_and_its_expression_agree(folder, code):
    reader = read(folder, f"{HEAD}r = {code}")
    found = reader.names["r"]
    assert not isinstance(found, Opaque), found
    names = {"pd": pd, "np": np, "df": pd.read_csv(folder / "t.csv")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' own, of what notebooks still use
        exec(f"r = {code}", names)
    expected = plain(pd.Series(names["r"]))
    np.testing.assert_array_equal(plain(found.data), expected)
    table = as_table(reader.sources[0].data)
    node = found.node
    for step in found.steps:
        assert isinstance(step.made.built, float)
        node = node.fill(step.made.built)
    np.testing.assert_allclose(evaluate(node, table)[found.rows], expected.astype(float), rtol=1e-15, equal_nan=True)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("df['c'].str.lower()", r"\.str\.lower has no counterpart"),
        ("pd.to_datetime(df['when']).dt.year", r"\.dt\.year has no counterpart"),
        ("np.sqrt(df['a'])", "numpy.sqrt is not known here"),
        ("df['a'] % 2", "operator Mod"),
        ("df['a'].rolling(3).mean()", r"\.rolling\(\) of a column"),
        ("df.groupby('c')['a'].transform('mean')", r"\.groupby\(\) of a table"),
        ("df['c'].map({'x': 'one'})", "mapped to texts"),
        ("df['a'].round().astype(int)", r"\.round\(\)"),
        ("(df['a'].fillna(0) * 10).astype(int)", "changes values"),
        ("pd.cut(df['a'], 4)", "takes its edges from the data"),
        ("pd.concat([df, df])['a']", "rows of several tables"),
        ("df.sample(frac=0.5)['a']", "without random_state"),
        ("pd.read_csv('https://x.example/t.csv')['a']", "which is not fetched"),
        ("pd.read_csv('missing.csv')['a']", "no file 'missing.csv'"),
        ("pd.read_excel('t.xlsx')['a']", r"read_excel\(\)"),
        ("df['nothing']", "no column 'nothing'"),
        ("df['a'] + np.random.rand(60)", "without a seed"),
        ("open('t.csv').read()", "open is not known"),
        ("np.save('x.npy', [1])", "numpy.save is not known"),
        ("__import__('os').getcwd()", "__import__ is not known"),
        ("df.to_csv('x.csv')", r"\.to_csv\(\) of a table"),
    ],
)
def test_what_is_not_known_is_told_with_its_place_and_does_nothing(folder, code, reason):
    found = read(folder, HEAD, f"\nr = {code}").names["r"]
    assert isinstance(found, Opaque)
    assert re.search(reason, found.reason), found
    assert (found.place.cell, found.place.line) == (2, 2)
    assert {path.name for path in folder.iterdir()} == {"t.csv", "n.ipynb"}


def test_the_place_is_that_where_the_column_came_to_be_not_known(folder):
    reader = read(folder, HEAD, "s = df['c'].str.len()\n", "df['d'] = s * 2\nX = df[['a', 'd']]")
    node, _ = reader.names["X"].columns["d"]
    assert str(hole(node).place) == "cell 2, line 1"
    assert hole(reader.names["X"].columns["a"][0]) is None


def test_loops_functions_globals_and_conditions_are_followed(folder):
    reader = read(
        folder,
        HEAD
        + "names = []\ndef add(name, times=2):\n    global last\n    last = name\n    df[name + '_n'] = df[name] * times\n"
        "    return name + '_n'",
        "for name in ['a', 'b']:\n    if name == 'b':\n        continue\n    names.append(add(name))\nx = last if names else 0",
        "try:\n    y = df[names[0]]\nexcept KeyError:\n    y = None\nwhile_free = [n for n in names if n.endswith('_n')]",
        "total = 0\nfor i, (k, v) in enumerate({'p': 1, 'q': 2}.items()):\n    total += v\n    if i > 5:\n        break",
    )
    assert reader.names["names"] == ["a_n"]
    assert reader.names["x"] == "a"
    assert reader.names["total"] == 3
    np.testing.assert_array_equal(reader.names["y"].data, reader.names["df"].data["a"] * 2)


def test_a_branch_on_what_is_not_known_leaves_what_it_sets_unknown(folder):
    reader = read(folder, HEAD, "z = 1\nif unheard():\n    z = 2\n    df['a'] = 0\nq = 5")
    assert isinstance(reader.names["z"], Opaque)
    assert isinstance(reader.names["df"], Opaque)
    assert reader.names["q"] == 5


def test_a_split_is_carried_out_row_by_row(folder):
    reader = read(
        folder,
        HEAD + "from sklearn.model_selection import train_test_split",
        "p, q, r, s = train_test_split(df[['a', 'b']], df['c'], test_size=0.25, random_state=3)",
        "np.random.seed(1)\nm = np.random.rand(len(df)) < 0.5\nlow = df[m]",
    )
    from sklearn.model_selection import train_test_split

    expected, _ = train_test_split(np.arange(60), test_size=0.25, random_state=3)
    np.testing.assert_array_equal(reader.names["p"].rows, expected)
    np.testing.assert_array_equal(reader.names["r"].rows, expected)
    np.testing.assert_array_equal(reader.names["low"].rows, np.flatnonzero(np.random.RandomState(1).rand(60) < 0.5))


def test_a_model_is_known_by_what_makes_it_and_its_threshold_is_found(folder):
    reader = read(
        folder,
        HEAD + "from sklearn.linear_model import LogisticRegression as LR",
        "t = df.fillna({'a': 0})\nm = LR(C=0.5).fit(t[['a', 'b']], t['b'] > 4)\nfor c in (0.3, 0.4):\n"
        "    hits = m.predict_proba(t[['a', 'b']])[:, 1] > c",
    )
    fit = reader.fits[0]
    assert (fit.name, fit.made.path, fit.made.kwargs) == ("m", "sklearn.linear_model.LogisticRegression", {"C": 0.5})
    assert str(fit.place) == "cell 2, line 2"
    assert [score for _, _, score in reader.thresholds] == [np.nextafter(0.3, 1), np.nextafter(0.4, 1)]
