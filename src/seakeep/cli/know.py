"""``status``, ``morning`` and ``why``."""

from __future__ import annotations

from pathlib import Path

import click

from seakeep.cli import options, output


@click.command()
@click.argument("model", default="")
@options.folder
@options.as_json
def status(model: str, folder: Path, as_json: bool) -> None:
    """How the live models are: traffic, latency, errors, per version."""
    project = options.open_project(folder)
    rows = project.status(model)
    cells = [
        [r.model, str(r.version), r.role, f"{r.requests:,}", str(r.errors), f"{r.p50_ms:.2f}", f"{r.p99_ms:.2f}"]
        for r in rows
    ]
    headings = ["model", "version", "role", "requests", "errors", "p50 ms", "p99 ms"]
    output.data(rows, output.table(headings, cells), as_json=as_json)


@click.command()
@click.argument("model", default="")
@click.option("--at", type=options.Moment(), help="The morning in question; by default the newest recorded moment.")
@options.folder
@options.as_json
def morning(model: str, at: int | None, folder: Path, as_json: bool) -> None:
    """What changed, why, and what to do: from what was known by that morning."""
    from seakeep.diagnosis.render import render

    project = options.open_project(folder)
    with output.step("reading the records"):
        brief = project.morning(model, now_us=at)
    output.data(brief, render(brief), as_json=as_json)


@click.command()
@click.argument("prediction_id")
@options.folder
@options.as_json
@click.pass_context
def why(ctx: click.Context, prediction_id: str, folder: Path, as_json: bool) -> None:
    """Execute PREDICTION_ID again from its record and compare the bits."""
    project = options.open_project(folder)
    found = project.why(prediction_id)
    output.data(found, found.text(), as_json=as_json)
    if not found.equal:
        ctx.exit(4)
