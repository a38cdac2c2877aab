"""``adopt``."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from seakeep.cli import options, output

if TYPE_CHECKING:
    from seakeep.conversion.reading import Reading
    from seakeep.project.adoption.adopt import Adopted
    from seakeep.project.adoption.modelfile import AdoptedFile
    from seakeep.project.adoption.proof import Difference


@click.command()
@click.argument("source")
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write to: new or empty."
)
@click.option("--model", default="", help="Variable that holds the model, where a notebook fits several.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(min=1),
    default=600,
    show_default=True,
    help="Seconds for a notebook's own run.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Rows that a model file is asked: .csv or .parquet.")
@click.option("--label", default="", help="Column of --data with the outcome.")
@click.option("--trust-pickle", is_flag=True, help="Read a pickle, in a cage: it runs whatever code is in it.")
@click.option("--without-cage", is_flag=True, help="Read it even where this system gives no full cage.")
@click.option("--gives", type=click.Choice(["logits", "probabilities", "values"]), help="What a network's output is.")
@options.as_json
def adopt(
    source: str,
    into: Path,
    model: str,
    timeout_s: int,
    data: Path | None,
    label: str,
    trust_pickle: bool,
    without_cage: bool,
    gives: Literal["logits", "probabilities", "values"] | None,
    as_json: bool,
) -> None:
    """Write the project of SOURCE, if its model answers as the source's own does.

    SOURCE is a notebook (.ipynb), which is run once, in a process of its own without network; a model file, with --data;
    or a model that MLflow logged: runs:/ID/model, models:/NAME/VERSION, or its folder. Nothing is written unless both
    answer the same.
    """
    from seakeep.conversion.reading import Reading
    from seakeep.project.adoption.logged import is_logged
    from seakeep.project.adoption.notebook import is_notebook

    path = Path(source)
    if not is_logged(source) and not path.is_file():
        raise click.UsageError(f"there is no file {source}, and no folder of that name with an MLmodel")
    if not is_logged(source) and is_notebook(path):
        if data or label or trust_pickle:
            raise click.UsageError(
                "--data, --label and --trust-pickle are for model files; a notebook reads its own data"
            )
        _notebook(path, into, model, timeout_s, as_json)
        return
    if model:
        raise click.UsageError("--model is for notebooks")
    if label and not data:
        raise click.UsageError("--label names a column of --data")
    reading = Reading(trust_pickle=trust_pickle, without_cage=without_cage, gives=gives or "")
    _file(source, into, data, label, reading, as_json)


def _notebook(path: Path, into: Path, model: str, timeout_s: int, as_json: bool) -> None:
    from seakeep.project.adoption.adopt import adopt as adopted

    made = adopted(path, into, model=model, timeout_s=timeout_s, step=output.step)
    output.data(made, summary(made), as_json=as_json)
    _tell(made.told, made.files)
    output.done(
        "the project answers as the notebook does",
        next_step=f"cd {shlex.quote(str(into))}, then python -m pytest, seakeep train and seakeep convert",
    )


def _file(source: str, into: Path, data: Path | None, label: str, reading: Reading, as_json: bool) -> None:
    from seakeep.data.table import as_table
    from seakeep.project.adoption.given import Given
    from seakeep.project.adoption.logged import is_logged, read_logged
    from seakeep.project.adoption.modelfile import adopt_file
    from seakeep.project.adoption.writefile import plain

    with tempfile.TemporaryDirectory(prefix="seakeep-mlflow-") as fetched:
        if is_logged(source):
            given = read_logged(source, Path(fetched), data=data, label=label, reading=reading)
        elif data is None:
            raise click.UsageError(f"{source} is a model file: give rows that it can be asked, --data sample.parquet")
        else:
            given = Given(path=Path(source), data=as_table(data), label=label, source=plain(Path(source).name))
        made = adopt_file(given, into, reading=reading, step=output.step)
    output.data(made, file_summary(made), as_json=as_json)
    _tell(made.told, made.files)
    register = made.register if made.labelled else f"once there are outcomes, {made.register}"
    output.done(
        "the project answers as the file does",
        next_step=f"cd {shlex.quote(str(into))}, then python -m pytest; {register}",
    )


def _tell(told: tuple[str, ...], files: tuple[str, ...]) -> None:
    for text in told:
        output.talk(f"  {text}")
    for path in files:
        output.talk(f"  wrote {path}")


def summary(made: Adopted) -> str:
    """What was adopted of a notebook, and how far the answers are apart."""
    return (
        f"model       {made.model}, fitted in {made.fitted}\n"
        f"rows        {made.rows_trained:,} to learn from, {made.rows_judged:,} to judge by\n"
        f"{_compared(made.difference)}"
    )


def file_summary(made: AdoptedFile) -> str:
    """What was adopted of a model file, and how far the answers are apart."""
    return (
        f"model       {made.model}\n"
        f"from        {made.source}\n"
        f"tried       {made.tried:,} rows made up beside the sample's\n"
        f"{_compared(made.difference)}"
    )


def _compared(found: Difference) -> str:
    again = "" if found.rows == found.different_rows else f", {found.different_rows:,} of them different ones"
    return f"compared    {found.rows:,} rows{again}: the largest difference is {found.largest:.3g}"
