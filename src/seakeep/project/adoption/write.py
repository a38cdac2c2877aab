"""Writes the project of a plan: the table, the declarations, the training, and tests of its own."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.clock import DAY_US, parse_moment
from seakeep.config import FILE_NAME
from seakeep.data.table import Table, as_table
from seakeep.errors import ConfigError
from seakeep.project import texts
from seakeep.project.adoption import symbols
from seakeep.project.adoption.plan import Block, Plan
from seakeep.project.adoption.values import Made
from seakeep.project.adoption.values import Path as Name
from seakeep.records.outputs import Outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE, TRAIN, REFERENCE, TESTS = "rows.parquet", "train.py", "tests/reference.csv", "tests/test_project.py"
KEY, TIME = "row", "asked"
Answer = tuple[float, ...]
"""What a model answers of a row: one number, or the probability of each class."""

_ANSWERS = {"probability": "", "value": ", answers=sk.number()", "probabilities": ", answers=sk.classes({})"}
_FIRST = "2000-01-01T00:00:00Z"
_LEARNT_US, _JUDGED_US, _END_US = 2 * DAY_US, 4 * DAY_US, 5 * DAY_US


def write(plan: Plan, name: str, folder: Path, *, notebook: str, reference: dict[int, Answer]) -> tuple[Path, ...]:
    """Write all files of the project into an empty folder.

    Parameters
    ----------
    reference
        What the notebook's own model answers, by row of its table.
    """
    table = rows_of(plan)
    save(table, folder / TABLE)
    written = texts.write_new(
        folder,
        {
            FILE_NAME: f'[project]\nname = "{name}"\n',
            texts.PROJECT: _project(plan, name, notebook, table),
            TRAIN: _train(plan, notebook),
            TESTS: _TESTS.format(notebook=notebook, rows=len(plan.train) + len(plan.judge)),
            REFERENCE: reference_text(plan.outputs, reference),
            ".gitignore": texts.IGNORED,
        },
    )
    return (folder / TABLE, *written)


def require_empty(into: Path) -> None:
    """ConfigError if a project's folder holds something."""
    if into.exists() and any(into.iterdir()):
        raise ConfigError(f"{into} is not empty", hint="choose another folder; nothing was written")


def deliver(files: Sequence[Path], made: Path, into: Path) -> tuple[str, ...]:
    """Copy what was written and found right to where it is wanted."""
    targets = [into / file.relative_to(made) for file in files]
    for file, target in zip(files, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return tuple(map(str, targets))


def rows_of(plan: Plan) -> Table:
    """The project's table: the columns that are read, in the order in which the notebook learns from the rows.

    A project trains on the past and judges by what came after. So the rows that the notebook learns from get the earlier
    times, in its own order, and those it judges by the later ones: the fifth day of five, which is the last fifth.
    """
    chosen = np.concatenate([plan.train, plan.judge])
    key, time = column_names(plan)
    raw = plan.source.data.iloc[chosen]
    table = as_table({name: _values(raw[name]) for name in raw.columns if str(name) in set(plan.columns)})
    return {key: chosen, time: moments(len(plan.train), len(plan.judge)), **table}


def moments(learn: int, judge: int) -> NDArray[np.datetime64]:
    """Times of so many rows to learn from and to judge by, of which the latter are the last fifth of the time."""
    first = parse_moment(_FIRST)
    times = np.concatenate([first + _spread(learn, 0, _LEARNT_US), first + _spread(judge, _JUDGED_US, _END_US)])
    if judge:
        times[-1] = first + _END_US
    return times.view("datetime64[us]")


def column_names(plan: Plan) -> tuple[str, str]:
    """Names of the key and the time column, such as no column of the table has."""
    return free_names({str(name) for name in plan.source.data.columns})


def free_names(taken: Collection[str]) -> tuple[str, str]:
    """Names of the key and the time column that are not taken."""

    def free(name: str) -> str:
        while name in taken:
            name += "_"
        return name

    return free(KEY), free(TIME)


def _values(series: Any) -> Any:
    if str(series.dtype) in {"object", "str", "string", "category"}:
        return np.array(["" if one is None or one != one else one for one in series.tolist()], dtype=object)  # noqa: PLR0124 -- NaN
    return series.to_numpy()


def _spread(count: int, start_us: int, end_us: int) -> NDArray[np.int64]:
    step = min(1_000_000, (end_us - start_us) // max(1, count + 1))
    return start_us + step * np.arange(count, dtype=np.int64)


def save(table: Table, path: Path) -> None:
    """Write a table as Parquet; a text that is missing becomes an empty one."""
    import duckdb

    with duckdb.connect() as connection:
        columns = {name: values.astype(str) if values.dtype.kind == "O" else values for name, values in table.items()}
        connection.register("given", _frame(columns))
        connection.sql("select * from given").write_parquet(str(path))


def _frame(columns: Table) -> Any:
    import pandas as pd

    return pd.DataFrame(columns)


def reference_text(outputs: Outputs, reference: Mapping[int, Answer]) -> str:
    """A table of answers by row, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *(outputs.names or ["score"])])
    writer.writerows([row, *map(repr, scores)] for row, scores in sorted(reference.items()))
    return text.getvalue()


# project.py


def _project(plan: Plan, name: str, notebook: str, table: Table) -> str:
    key, time = column_names(plan)
    order = (
        "# The table's times are an order and no dates: first the rows that the notebook learns from, then those it\n"
        "# judges by, so that `seakeep train` learns from the same rows. Your own rows come with times of their own.\n"
    )
    expressions = {name: symbols.source(node) for name, node in plan.features.items()}
    answers = _ANSWERS[plan.outputs.kind].format(", ".join(map(texts.quoted, plan.outputs.names)))
    decision = f"sk.Threshold({plan.threshold!r})" if plan.threshold is not None else ""
    asked = {one: texts.last(table, one) for one in _read(plan, plan.features.values())}
    outcome = {one: texts.last(table, one) for one in _read(plan, [plan.label])}
    parts = [
        f'"""{name}: written by `seakeep adopt` from {notebook}; make it yours."""\n',
        f"from {TRAIN.removesuffix('.py')} import train\n\nimport seakeep as sk\n",
        order + texts.sources(time, key),
        f"tables = {{rows: {texts.quoted(TABLE)}, outcomes: {texts.quoted(TABLE)}}}\n",
        texts.features(expressions, {}),
        texts.model(name, symbols.source(plan.label) + answers, decision=decision),
        texts.calls(name, {key: int(table[key].max()) + 1}, asked, outcome, time),
    ]
    return "\n".join(parts)


def _read(plan: Plan, nodes: Any) -> list[str]:
    from seakeep.records.expression import columns_of

    read = {name for node in nodes for name in columns_of(node)}
    return [name for name in plan.columns if name in read]


# train.py


def _train(plan: Plan, notebook: str) -> str:
    imports: set[str] = set()
    made = plan.fit.made
    call = render(made, imports, plan)
    steps = _preparation(plan, imports)
    steps += [(f"whole_{place}", render(one, imports, plan)) for place, one in enumerate(plan.whole, start=1)]
    body = [f"    model = {call}"]
    if steps:
        imports.add("from sklearn.pipeline import Pipeline")
        listed = "".join(f'        ("{name}", {text}),\n' for name, text in steps)
        body = [f'    model = Pipeline([\n{listed}        ("model", {call}),\n    ])']
    best = ('.named_steps["model"]' if steps else "") + ".best_estimator_" if _searches(made) else ""
    grouped = "\n".join(sorted(imports))
    return (
        f'"""What {notebook} fits in {plan.fit.place}, on the same rows."""\n\n{grouped}\n\nimport seakeep as sk\n\n\n'
        "def train(frame: sk.Frame):\n" + "\n".join(body) + "\n"
        f"    return model.fit(frame.to_pandas(), frame.label){best}\n"
    )


def _searches(made: Made) -> bool:
    return made.path.rpartition(".")[2] in {"GridSearchCV", "RandomizedSearchCV"}


def _preparation(plan: Plan, imports: set[str]) -> list[tuple[str, str]]:
    """What brings the features into the columns that the notebook's estimator had, in their order."""
    if not any(block.categories or block.steps for block in plan.blocks):
        return []
    imports.add("from sklearn.compose import ColumnTransformer")
    listed = [_block(place, block, imports, plan) for place, block in enumerate(plan.blocks, start=1)]
    inside = "".join(f"            {one},\n" for one in listed)
    return [("columns", f"ColumnTransformer([\n{inside}        ])")]


def _block(place: int, block: Block, imports: set[str], plan: Plan) -> str:
    names = list(block.names)
    if block.categories:
        imports.add("from sklearn.preprocessing import OneHotEncoder")
        categories = list(block.categories)
        encoder = f'OneHotEncoder(categories=[{_list(categories)}], handle_unknown="ignore", sparse_output=False)'
        return f'("{names[0]}_is", {encoder}, {_list(names)})'
    if not block.steps:
        return f'("plain_{place}", "passthrough", {_list(names)})'
    steps = [render(one, imports, plan) for one in block.steps]
    if len(steps) == 1:
        return f'("learnt_{place}", {steps[0]}, {_list(names)})'
    imports.add("from sklearn.pipeline import make_pipeline")
    return f'("learnt_{place}", make_pipeline({", ".join(steps)}), {_list(names)})'


def render(value: Any, imports: set[str], plan: Plan, *, text: bool = False) -> str:
    """The source of a value, with the imports that it needs.

    Parameters
    ----------
    text
        Whether it prepares columns of text, whose missing values are ``""`` in a frame.
    """
    if isinstance(value, Made):
        return _render_made(value, imports, plan, text=text)
    if isinstance(value, Name):
        module, _, name = value.name.rpartition(".")
        if module != "builtins":
            imports.add(f"from {module} import {name}")
        return name
    if isinstance(value, list | tuple):
        inner = ", ".join(render(one, imports, plan, text=text) for one in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {render(one, imports, plan, text=text)}" for key, one in value.items()) + "}"
    if isinstance(value, float) and not np.isfinite(value):
        return f'float("{value}")'
    return texts.quoted(value) if isinstance(value, str) else repr(value)


def _render_made(made: Made, imports: set[str], plan: Plan, *, text: bool) -> str:
    module, _, name = made.path.rpartition(".")
    imports.add(f"from {module} import {name}")
    if name in {"ColumnTransformer", "make_column_transformer"}:
        return _column_transformer(made, name, imports, plan)
    kwargs = {"missing_values": "", **made.kwargs} if text and name == "SimpleImputer" else made.kwargs
    args = [render(one, imports, plan, text=text) for one in made.args]
    args += [f"{key}={render(one, imports, plan, text=text)}" for key, one in kwargs.items()]
    return f"{name}({', '.join(args)})"


def _list(values: list[str]) -> str:
    return f"[{', '.join(map(texts.quoted, values))}]"


def _column_transformer(made: Made, name: str, imports: set[str], plan: Plan) -> str:
    """A transformer that names columns: they are the features' names here."""
    key = "transformers"
    entries = made.kwargs.get(key, made.args[0] if made.args else []) if name == "ColumnTransformer" else made.args
    rendered = []
    for entry in entries:
        *before, columns = entry
        if isinstance(columns, Made):
            columns = [str(one) for one in columns.built(plan.inputs[0].data)]
            names = columns
        else:
            names = [columns] if isinstance(columns, str | int) else list(columns)
        names = [str(list(plan.inputs[0].columns)[one]) if isinstance(one, int) else str(one) for one in names]
        text = bool(names) and all(not _is_number(plan, one) for one in names)
        parts = [render(one, imports, plan, text=text) for one in before]
        shown = [plan.named.get(one, one) for one in names]
        rendered.append(
            f"({', '.join(parts)}, {texts.quoted(shown[0])})"
            if isinstance(columns, str)
            else f"({', '.join(parts)}, {_list(shown)})"
        )
    rest = [f"{word}={render(one, imports, plan)}" for word, one in made.kwargs.items() if word != key]
    inner = ", ".join(rendered)
    inner = f"[{inner}]" if name == "ColumnTransformer" else inner
    return f"{name}({', '.join([inner, *rest])})"


def _is_number(plan: Plan, column: str) -> bool:
    data = plan.inputs[0].data
    return column not in data.columns or data[column].dtype.kind in "biufM"


_TESTS = '''"""What must stay true while this project is the notebook's: delete a test when you leave the notebook behind."""

from pathlib import Path

from seakeep.project.adoption.proof import against_reference
from seakeep.project.check import check
from seakeep.project.load import load_project

FOLDER = Path(__file__).parents[1]


def test_the_project_has_no_faults():
    assert check(FOLDER) == ()


def test_the_table_has_the_rows_of_the_notebook():
    assert len(next(iter(load_project(FOLDER).read("rows").values()))) == {rows}


def test_the_model_answers_as_the_one_of_the_notebook():
    """Trained anew, it gives what the model of {notebook} gave (tests/reference.csv)."""
    found = against_reference(FOLDER)
    assert found.rows > 0
    assert found.equal, found
'''
