"""``score``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seakeep.cli import options, output

if TYPE_CHECKING:
    from seakeep.records.scoring import Scored


@click.command()
@click.argument("reference")
@click.argument("inputs", nargs=-1, required=True)
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the answers; one of the same job goes on where it was interrupted.",
)
@click.option("--keep", multiple=True, metavar="COLUMN", help="Repeat an input column in the output; '*': all.")
@click.option(
    "--at",
    "moment_us",
    type=options.Moment(),
    help="Moment for which rows without a time of their own ask; by default now.",
)
@click.option(
    "--history", is_flag=True, help="Features as known at each row's time, also where the service let the past go."
)
@click.option(
    "--delimiter", default=",", show_default=True, help="What separates the cells of CSV; '\\t' is a tabulator."
)
@click.option(
    "--part-rows",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Most rows in one file of the output.",
)
@options.folder
@options.as_json
def score(
    reference: str,
    inputs: tuple[str, ...],
    to: Path,
    keep: tuple[str, ...],
    moment_us: int | None,
    history: bool,
    delimiter: str,
    part_rows: int,
    folder: Path,
    as_json: bool,
) -> None:
    """Score INPUTS by REFERENCE (late, late@candidate, late:7), each row as the service would answer it.

    INPUTS are Parquet, CSV or JSON-lines files, folders or patterns of them, or Delta tables.
    """
    from seakeep.project.batch import ScoreOptions

    project = options.open_project(folder)
    began_s = time.perf_counter()
    with _progress() as show:
        chosen = ScoreOptions(
            keep=keep,
            part_rows=part_rows,
            moment_us=moment_us,
            history=history,
            delimiter=delimiter.replace(r"\t", "\t"),
            on_progress=show,
        )
        found = project.batch.score(reference, inputs, to, chosen)
    output.data(found, score_text(found, to), as_json=as_json)
    output.done(
        f"{found.plan.model}:{found.plan.version} scored {found.rows:,} rows in {time.perf_counter() - began_s:.1f} s",
        next_step=f"read them: {to}/*.parquet",
        undo=f"remove {to}",
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar from the moment on at which the number of rows is known."""
    with contextlib.ExitStack() as stack:
        bar: Callable[[int, str], None] | None = None

        def show(done: int, rows: int) -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(output.progress(rows, "scoring"))
            bar(done, f"{done:,} of {rows:,} rows")

        yield show


def score_text(found: Scored, to: Path) -> str:
    """A job: how many rows have an answer, and what is to be known of the others."""
    lines = [
        f"{found.plan.model}:{found.plan.version}  bundle {found.plan.bundle[:12]}",
        f"inputs     {len(found.plan.inputs):,} files, {found.rows:,} rows",
        f"answered   {found.rows - found.refused:,}, in {len(found.parts):,} files in {to}",
    ]
    if found.refused:
        lines.append(f"refused    {found.refused:,} rows; column error tells why")
    if found.unknown:
        told = "a view knew nothing of the entity at that moment" + ("" if found.plan.history else ", or no longer")
        lines.append(f"unknown    {found.unknown:,} rows: {told}; column unknown names it")
    return "\n".join(lines)
