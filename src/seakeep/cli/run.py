"""``up``, ``serve`` and ``replay-traffic``."""

from __future__ import annotations

from pathlib import Path

import click

from seakeep.cli import options, output
from seakeep.clock import format_day


@click.command()
@options.folder
def serve(folder: Path) -> None:
    """Serve the champions and candidates until interrupted."""
    options.open_project(folder).serve(dashboard=False)


@click.command()
@options.folder
def up(folder: Path) -> None:
    """Serve, watch the rollouts and show the dashboard until interrupted."""
    options.open_project(folder).serve(dashboard=True)


@click.command("replay-traffic")
@click.argument("model", default="")
@click.option("--from", "from_us", type=options.Moment(), required=True, help="First moment of the history.")
@click.option("--to", "to_us", type=options.Moment(), required=True, help="Moment at which to stop.")
@click.option("--every", type=click.IntRange(min=1), default=1, help="Ask for predictions on each n-th day only.")
@options.folder
@options.as_json
def replay_traffic(model: str, from_us: int, to_us: int, every: int, folder: Path, as_json: bool) -> None:
    """Stream the history of MODEL's sources through the running server, by an accelerated clock."""
    project = options.open_project(folder)
    with output.progress(to_us - from_us, "replaying") as show:
        report = project.replay_traffic(
            model,
            from_us=from_us,
            to_us=to_us,
            every=every,
            on_progress=lambda moment_us, sent: show(
                moment_us - from_us, f"{format_day(moment_us)}  {sent:,} predictions"
            ),
        )
    text = (
        f"{report.predictions:,} predictions and {report.events:,} events in {report.seconds:.1f} s; "
        f"{report.failed} failed"
    )
    output.data(report, text, as_json=as_json)
