"""``adopt``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seakeep.cli import options, output

if TYPE_CHECKING:
    from seakeep.project.adoption.adopt import Adopted


@click.command()
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write to: new or empty."
)
@click.option("--model", default="", help="Variable that holds the model, where the notebook fits several.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(min=1),
    default=600,
    show_default=True,
    help="Seconds for the notebook's own run.",
)
@options.as_json
def adopt(notebook: Path, into: Path, model: str, timeout_s: int, as_json: bool) -> None:
    """Write the project of NOTEBOOK (.ipynb), if its model answers as the notebook's own does.

    The notebook is run once, in a process of its own without network. Nothing is written unless both answer the same.
    """
    from seakeep.project.adoption.adopt import adopt as adopted

    made = adopted(notebook, into, model=model, timeout_s=timeout_s, step=output.step)
    output.data(made, summary(made), as_json=as_json)
    for text in made.told:
        output.talk(f"  {text}")
    for path in made.files:
        output.talk(f"  wrote {path}")
    output.done(
        "the project answers as the notebook does",
        next_step=f"cd {shlex.quote(str(into))}, then python -m pytest, seakeep train and seakeep convert",
    )


def summary(made: Adopted) -> str:
    """What was adopted, and how far the answers are apart."""
    found = made.difference
    again = "" if found.rows == found.different_rows else f", {found.different_rows:,} of them different ones"
    return (
        f"model       {made.model}, fitted in {made.fitted}\n"
        f"rows        {made.rows_trained:,} to learn from, {made.rows_judged:,} to judge by\n"
        f"compared    {found.rows:,} rows{again}: the largest difference is {found.largest:.3g}"
    )
