"""Writes a first project from a table and an estimator: small, readable, and working as it stands."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

from seakeep.config import FILE_NAME, ServingSettings
from seakeep.data.schema import missing
from seakeep.data.table import Table, as_table
from seakeep.errors import ConfigError
from seakeep.project.choose import Choice, Columns, choose_columns
from seakeep.project.recipe import Recipe, predicts_number, recipe_for
from seakeep.records.version import NAME

PROJECT = "project.py"
_IGNORED = ".seakeep/\n__pycache__/\n"
_NOW = "<now>"


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
    paths = [folder / FILE_NAME, folder / PROJECT]
    for path in paths:
        if path.exists():
            raise ConfigError(f"{path} is already there", hint="choose another folder; nothing was written")
    table = table.resolve()
    values = as_table(table)
    columns = Columns(label=label, time=time, key=key)
    choice = choose_columns(values, columns, number=predicts_number(estimator))
    recipe = recipe_for(estimator, categories=bool(choice.categories), numbers=bool(choice.numbers))
    folder.mkdir(parents=True, exist_ok=True)
    name = _name(folder.resolve().name)
    where = os.path.relpath(table, folder.resolve())
    texts = [f'[project]\nname = "{name}"\n', _project(name, where, choice, recipe, values)]
    if not (folder / ".gitignore").exists():
        paths.append(folder / ".gitignore")
        texts.append(_IGNORED)
    for path, text in zip(paths, texts, strict=True):
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return tuple(paths)


def _name(folder: str) -> str:
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.lower()).strip("-")
    return kept[:40] if NAME.fullmatch(kept[:40]) else "project"


def _quoted(text: str) -> str:
    """A Python string literal on one line, whatever the text."""
    return json.dumps(text)


def _project(name: str, where: str, choice: Choice, recipe: Recipe, values: Table) -> str:
    columns = choice.columns
    time, key = _quoted(columns.time), _quoted(columns.key or "row_number")
    table = _quoted(where) if columns.key else "numbered_rows"
    sources = (
        "# Rows as they were asked, and what became of them a day later: change the delay to what is true for you.\n"
        f'rows = sk.Events("rows", time={time}, key={key})\n'
        f'outcomes = sk.Events("outcomes", time={time}, key={key}, delay="1d")\n'
    )
    parts = [
        f'"""{name}: written by `seakeep init`; make it yours."""\n',
        _imports(recipe, numbered=not columns.key),
        sources,
        "" if columns.key else _numbered_rows(where),
        f"tables = {{rows: {table}, outcomes: {table}}}\n",
        _features(choice),
        _train(choice, recipe),
        _model(name, choice),
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
        f"    path = Path(__file__).parent / {_quoted(where)}\n"
        f'    return duckdb.{reader}(str(path)).project("*, row_number() over () as row_number")\n\n'
    )


def _features(choice: Choice) -> str:
    lines = ["features = sk.RequestFeatures("]
    lines += [f"    {name}=sk.col({_quoted(column)})," for name, column in choice.inputs.items()]
    time = _quoted(choice.columns.time)
    lines += [f"    {name}=sk.col({time}).dt.{part}()," for name, part in choice.time_parts.items()]
    lines.append(")")
    if choice.left_out:
        lines.append("# Left out:")
        lines += [f"#   {_quoted(column)}: {reason}" for column, reason in choice.left_out.items()]
    return "\n".join(lines) + "\n"


def _train(choice: Choice, recipe: Recipe) -> str:
    categories = [name for name, column in choice.inputs.items() if column in choice.categories]
    numbers = [name for name, column in choice.inputs.items() if column in choice.numbers] + list(choice.time_parts)
    body = "".join(f"    {line}\n" for line in recipe.body(categories, numbers))
    return f"\ndef train(frame):\n{body}    return model.fit(frame.to_pandas(), frame.label)\n\n"


def _model(name: str, choice: Choice) -> str:
    return (
        "model = sk.Model(\n"
        f'    "{name}",\n'
        "    on=rows,\n"
        "    features=[features],\n"
        f"    label=sk.Label(outcomes, {_label(choice)}),\n"
        "    train=train,\n"
        "    gates=[sk.gate.better_than_baselines(), sk.gate.no_worse_than_champion(), sk.gate.parity()],\n"
        ")\n"
    )


def _label(choice: Choice) -> str:
    column = f"sk.col({_quoted(choice.columns.label)})"
    if choice.positive is None:
        return f"{column}, answers=sk.number()"
    if isinstance(choice.positive, str):
        return f"{column} == {_quoted(choice.positive)}"
    return f"{column} > {choice.positive!r}"


def _calls(name: str, table: Table, choice: Choice) -> str:
    """How a client asks and how it tells an outcome, with the table's own columns and the values of its last row."""
    columns = choice.columns
    key = {columns.key or "row_number": _new_key(table, columns.key)}
    asked = key | {column: _last(table, column) for column in choice.inputs.values()}
    told = key | {columns.time: _NOW, columns.label: _last(table, columns.label)}
    return (
        "# Ask the service that `seakeep up` runs. Leave the time out: predictions are made for the present moment.\n"
        f"{_curl(f'/v1/models/{name}/predict', 'rows', asked)}"
        "# Tell what became of it, under the same key, once you know. It counts when the delay of `outcomes` has passed\n"
        "# since the time in it. With an Idempotency-Key of its own it may be sent again, and counts once.\n"
        f"{_curl('/v1/events/outcomes', 'events', told, headers=(f'Idempotency-Key: {name}-outcome-1',))}"
        + ("" if columns.key else "# The table has no key, so take numbers that no row of it has.\n")
    )


def _curl(path: str, kind: str, row: dict[str, Any], *, headers: tuple[str, ...] = ()) -> str:
    """A comment of one line that a shell can run; the moment of running it stands for the time."""
    body = shlex.quote(json.dumps({kind: [row]})).replace(f'"{_NOW}"', """"'"$(date -u +%FT%TZ)"'\"""")
    told = " ".join(f"-H {shlex.quote(header)}" for header in ("Content-Type: application/json", *headers))
    return f"#   curl -s http://127.0.0.1:{ServingSettings().port}{path} {told} -d {body}\n"


def _last(table: Table, column: str) -> Any:
    """The last value there is in a column, as JSON has it; a column that is no feature and no label is never a time."""
    values = table[column]
    return values[~missing(values)][-1].item() if values.dtype.kind != "O" else values[values != ""][-1]


def _new_key(table: Table, key: str) -> str | int:
    """A key that no row of the table has."""
    if not key:
        return len(next(iter(table.values()))) + 1
    values = table[key]
    return int(values.max()) + 1 if values.dtype.kind == "i" else f"{values[-1]}-new"
