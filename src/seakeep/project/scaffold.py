"""Writes a first project from a table and an estimator: small, readable, and working as it stands."""

from __future__ import annotations

import os
from pathlib import Path

from seakeep.config import FILE_NAME
from seakeep.data.table import Table, as_table
from seakeep.project import texts
from seakeep.project.choose import Choice, Columns, choose_columns
from seakeep.project.recipe import Recipe, predicts_number, recipe_for


def init(folder: Path, table: Path, estimator: str, *, label: str, time: str, key: str = "") -> tuple[Path, ...]:
    """Write ``seakeep.toml`` and ``project.py`` for a table whose rows hold both the question and its outcome.

    The table becomes two sources: the rows as they were asked, and the same rows a day later, with their outcome. What
    each column is good for is guessed from its values; columns left out are listed in a comment with the reason, and
    another shows how to ask the running service and how to tell it an outcome.

    Parameters
    ----------
    folder
        Where the project is written; made if it is not there.
    table
        A ``.csv`` or ``.parquet`` file.
    estimator
        Path of a classifier's class, for example ``sklearn.ensemble.HistGradientBoostingClassifier``, or of a regressor's.
    label, time, key
        Columns with the outcome (two values, or numbers for a regressor), the time of each row, and what identifies it; without a key the number
        of the row does.

    Returns
    -------
    tuple
        The files written.

    Raises
    ------
    ConfigError
        A file is already there, or a column or the estimator cannot be used.
    DataError
        The table cannot be read.
    """
    texts.refuse_existing(folder, [FILE_NAME, texts.PROJECT])
    table = table.resolve()
    values = as_table(table)
    columns = Columns(label=label, time=time, key=key)
    choice = choose_columns(values, columns, number=predicts_number(estimator))
    recipe = recipe_for(
        estimator, categories=bool(choice.categories), numbers=bool(choice.numbers or choice.time_parts)
    )
    folder.mkdir(parents=True, exist_ok=True)
    name = texts.project_name(folder.resolve().name)
    where = os.path.relpath(table, folder.resolve())
    files = {FILE_NAME: f'[project]\nname = "{name}"\n', texts.PROJECT: _project(name, where, choice, recipe, values)}
    if not (folder / ".gitignore").exists():
        files[".gitignore"] = texts.IGNORED
    return texts.write_new(folder, files)


def _project(name: str, where: str, choice: Choice, recipe: Recipe, values: Table) -> str:
    columns = choice.columns
    table = texts.quoted(where) if columns.key else "numbered_rows"
    parts = [
        f'"""{name}: written by `seakeep init`; make it yours."""\n',
        _imports(recipe, numbered=not columns.key),
        texts.sources(columns.time, columns.key or "row_number"),
        "" if columns.key else _numbered_rows(where),
        f"tables = {{rows: {table}, outcomes: {table}}}\n",
        _features(choice),
        _train(recipe),
        texts.model(name, _label(choice)),
        _calls(name, values, choice),
    ]
    return "\n".join(part for part in parts if part)


def _imports(recipe: Recipe, *, numbered: bool) -> str:
    standard = "from pathlib import Path\n\n" if numbered else ""
    foreign = ["import duckdb"] if numbered else []
    return standard + "\n".join(foreign + sorted(recipe.imports)) + "\n\nimport seakeep as sk\n"


def _numbered_rows(where: str) -> str:
    reader = "read_csv" if where.lower().endswith(".csv") else "read_parquet"
    return (
        "\ndef numbered_rows():\n"
        '    """The table; it has no key column, so the number of a row identifies it."""\n'
        f"    path = Path(__file__).parent / {texts.quoted(where)}\n"
        f'    return duckdb.{reader}(str(path)).project("*, row_number() over () as row_number")\n\n'
    )


def _features(choice: Choice) -> str:
    time = texts.quoted(choice.columns.time)
    inputs = {name: f"sk.col({texts.quoted(column)})" for name, column in choice.inputs.items()}
    return texts.features(
        inputs | {name: f"sk.col({time}).dt.{part}()" for name, part in choice.time_parts.items()}, choice.left_out
    )


def _train(recipe: Recipe) -> str:
    body = "".join(f"    {line}\n" for line in recipe.body())
    return f"\ndef train(frame):\n{body}    return model.fit(frame.to_pandas(), frame.label)\n\n"


def _label(choice: Choice) -> str:
    column = f"sk.col({texts.quoted(choice.columns.label)})"
    if choice.positive is None:
        return f"{column}, answers=sk.number()"
    if isinstance(choice.positive, str):
        return f"{column} == {texts.quoted(choice.positive)}"
    return f"{column} > {choice.positive!r}"


def _calls(name: str, table: Table, choice: Choice) -> str:
    """How a client asks and how it tells an outcome, with the table's own columns and the values of its last row."""
    columns = choice.columns
    key = {columns.key or "row_number": _new_key(table, columns.key)}
    asked = {column: texts.last(table, column) for column in choice.inputs.values()}
    return texts.calls(name, key, asked, {columns.label: texts.last(table, columns.label)}, columns.time) + (
        "" if columns.key else "# The table has no key, so take numbers that no row of it has.\n"
    )


def _new_key(table: Table, key: str) -> str | int:
    """A key that no row of the table has."""
    if not key:
        return len(next(iter(table.values()))) + 1
    values = table[key]
    return int(values.max()) + 1 if values.dtype.kind == "i" else f"{values[-1]}-new"
