"""The parts that a written project is made of: whoever writes one, they read the same."""

from __future__ import annotations

import json
import keyword
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seakeep.config import ServingSettings
from seakeep.data.schema import missing
from seakeep.data.table import Table
from seakeep.errors import ConfigError
from seakeep.records.version import NAME

PROJECT = "project.py"
IGNORED = ".seakeep/\n__pycache__/\n"
_NOW = "<now>"


def project_name(folder: str) -> str:
    """A name for the project of a folder of this name."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.lower()).strip("-")
    return kept[:40] if NAME.fullmatch(kept[:40]) else "project"


def quoted(text: str) -> str:
    """A Python string literal on one line, whatever the text."""
    return json.dumps(text)


def refuse_existing(folder: Path, names: list[str]) -> None:
    """ConfigError if one of the files to be written is there."""
    for name in names:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} is already there", hint="choose another folder; nothing was written")


def write_new(folder: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    """Write files that are not there yet, by their names in the folder."""
    paths = []
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        paths.append(path)
    return tuple(paths)


def sources(time: str, key: str) -> str:
    """The two sources of a table that holds both the question and its outcome."""
    return (
        "# Rows as they were asked, and what became of them a day later: change the delay to what is true for you.\n"
        f'rows = sk.Events("rows", time={quoted(time)}, key={quoted(key)})\n'
        f'outcomes = sk.Events("outcomes", time={quoted(time)}, key={quoted(key)}, delay="1d")\n'
    )


def features(expressions: Mapping[str, str], left_out: Mapping[str, str]) -> str:
    """Request features, each with the source of its expression, and the columns that are none, with the reason.

    A feature may be called what is no name in Python.
    """
    lines = ["features = sk.RequestFeatures("]
    for name, text in expressions.items():
        plain = name.isidentifier() and not keyword.iskeyword(name)
        lines.append(f"    {name}={text}," if plain else f"    **{{{quoted(name)}: {text}}},")
    lines.append(")")
    if left_out:
        lines.append("# Left out:")
        lines += [f"#   {quoted(column)}: {reason}" for column, reason in left_out.items()]
    return "\n".join(lines) + "\n"


def model(name: str, label: str, *, decision: str = "") -> str:
    """The model's declaration; ``label`` is the source of the label's expression, with what it answers."""
    return (
        "model = sk.Model(\n"
        f'    "{name}",\n'
        "    on=rows,\n"
        "    features=[features],\n"
        f"    label=sk.Label(outcomes, {label}),\n"
        "    train=train,\n"
        + (f"    decision={decision},\n" if decision else "")
        + "    gates=[sk.gate.better_than_baselines(), sk.gate.no_worse_than_champion(), sk.gate.parity()],\n"
        ")\n"
    )


def calls(name: str, key: Mapping[str, Any], asked: Mapping[str, Any], outcome: Mapping[str, Any], time: str) -> str:
    """How a client asks and how it tells an outcome: two comments that a shell can run.

    Parameters
    ----------
    key
        Column and value that identify the row.
    asked, outcome
        Columns of the two requests, with values.
    time
        The time column.
    """
    return (
        "# Ask the service that `seakeep up` runs. Leave the time out: predictions are made for the present moment.\n"
        f"{_curl(f'/v1/models/{name}/predict', 'rows', {**key, **asked})}"
        "# Tell what became of it, under the same key, once you know. It counts when the delay of `outcomes` has passed\n"
        "# since the time in it. With an Idempotency-Key of its own it may be sent again, and counts once.\n"
        f"{_curl('/v1/events/outcomes', 'events', {**key, time: _NOW, **outcome}, headers=(f'Idempotency-Key: {name}-outcome-1',))}"
    )


def _curl(path: str, kind: str, row: dict[str, Any], *, headers: tuple[str, ...] = ()) -> str:
    """A comment of one line that a shell can run; the moment of running it stands for the time."""
    body = shlex.quote(json.dumps({kind: [row]})).replace(f'"{_NOW}"', """"'"$(date -u +%FT%TZ)"'\"""")
    told = " ".join(f"-H {shlex.quote(header)}" for header in ("Content-Type: application/json", *headers))
    return f"#   curl -s http://127.0.0.1:{ServingSettings().port}{path} {told} -d {body}\n"


def last(table: Table, column: str) -> Any:
    """The last value there is in a column, as JSON has it."""
    values = table[column]
    known = values[~missing(values)] if values.dtype.kind != "O" else values[values != ""]
    if values.dtype.kind == "M":
        return f"{known[-1].astype('datetime64[s]')}Z"
    return known[-1].item() if values.dtype.kind != "O" else known[-1]
