"""``demo``: the whole loop on the real flights of 2013, every number computed while it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seakeep.errors import SeakeepError

DISAGREES = 4


@click.command()
@click.option("--fast", is_flag=True, help="Four months and a sample of their flights: under three minutes.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("seakeep-demo"),
    show_default=True,
    help="Folder of the demo's project; one that an earlier demo made is made anew.",
)
@click.option(
    "--stay/--leave", default=None, help="Keep the service up at the end until Ctrl-C; by default on a terminal."
)
@click.pass_context
def demo(ctx: click.Context, fast: bool, into: Path, stay: bool | None) -> None:
    """Watch the whole loop on the real flights of 2013.

    From a table to a trained, proved, served, recorded and watched model; a bad release that is taken back by itself;
    and a past prediction executed again. Exit code 4 if a promise of the demo was not kept.
    """
    from seakeep.cli.demo.chapters import SEASONS, tell
    from seakeep.cli.demo.narrator import Narrator
    from seakeep.cli.demo.stage import Stage

    narrator = Narrator()
    with Stage(into) as stage:
        try:
            kept = tell(stage, SEASONS["fast" if fast else "year"], narrator)
        except SeakeepError:
            narrator.say(f"What happened until here is in {stage.folder}; the service's own words are in {stage.log}.")
            raise
        if stay is None:
            stay = sys.stdin.isatty() and sys.stdout.isatty()
        if stay:
            narrator.say("The service goes on until you press Ctrl-C.")
            stage.wait()
    if not kept:
        ctx.exit(DISAGREES)
