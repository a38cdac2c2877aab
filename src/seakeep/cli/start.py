"""``init`` and ``check``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from seakeep.cli import options, output
from seakeep.errors import ProjectFaults


@click.command()
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--estimator", required=True, help="Importable class, as sklearn.ensemble.HistGradientBoostingClassifier."
)
@click.option("--label", required=True, help="Column to predict: true or 1 is the positive class.")
@click.option("--time", "time_column", required=True, help="Column with the time at which a prediction is asked for.")
@click.option("--key", default="", help="Column that identifies a row; without it, row numbers do.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path(), help="Folder to write to; by default this one."
)
def init(table: Path, estimator: str, label: str, time_column: str, key: str, into: Path) -> None:
    """Write a small working project from TABLE (CSV or Parquet) and an estimator."""
    from seakeep.project import scaffold

    written = scaffold.init(into, table, estimator, label=label, time=time_column, key=key)
    for path in written:
        output.talk(f"  wrote {path}")
    output.talk(f"  {written[1].name} ends with how to ask the service, and how to tell it outcomes")
    output.done("the project is ready", next_step=f"{_enter(into)}seakeep check, then seakeep train")


def _enter(folder: Path) -> str:
    """What leads to a folder from here, before another command."""
    return "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))}, then "


@click.command()
@options.folder
@options.as_json
def check(folder: Path, as_json: bool) -> None:
    """Find every fault of the project at once, each with its file, line and a hint."""
    from seakeep.config import find_project
    from seakeep.project.check import check as find_faults

    faults = find_faults(find_project(folder))
    if as_json:
        output.data(faults, "", as_json=True)
    if faults:
        raise ProjectFaults(faults)
    output.done("no faults", next_step="seakeep train")
