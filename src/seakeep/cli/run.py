"""``up``, ``serve`` and ``replay-traffic``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seakeep.cli import options, output
from seakeep.clock import format_day
from seakeep.config import ServingSettings


@click.command()
@options.folder
def serve(folder: Path) -> None:
    """Serve the champions and candidates until interrupted."""
    from seakeep.serving.logs import configured

    project = options.open_project(folder)
    with configured(project.settings.observe), project.service() as service:
        _tell_grpc(project.settings.serving)
        output.done(f"serving on http://{project.settings.serving.host}:{service.port}", undo="Ctrl-C")
        service.run()


@click.command()
@options.folder
def up(folder: Path) -> None:
    """Serve, watch the rollouts and show the dashboard until interrupted."""
    from seakeep.dashboard.listening import listen, url_of
    from seakeep.project.beside import Beside
    from seakeep.serving.logs import configured

    project = options.open_project(folder)
    settings = project.settings
    with configured(settings.observe), project.service() as service, listen(settings.dashboard) as door:
        show = [sys.executable, "-P", "-m", "seakeep.dashboard.server", str(project.folder), str(door.fileno())]
        service.keep(Beside(show, handles=[door.fileno()]))
        _tell_grpc(settings.serving)
        output.done(f"serving on http://{settings.serving.host}:{service.port}")
        output.done(f"dashboard on {url_of(settings.dashboard, door)}", undo="Ctrl-C")
        service.run()


def _tell_grpc(settings: ServingSettings) -> None:
    if settings.grpc_port:
        output.done(f"serving gRPC on {settings.host}:{settings.grpc_port}")


@click.command("replay-traffic")
@click.argument("model", default="")
@click.option("--from", "from_us", type=options.Moment(), required=True, help="First moment of the history.")
@click.option("--to", "to_us", type=options.Moment(), required=True, help="Moment at which to stop.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="Part of the rows to ask for, chosen by their keys; all events are sent.",
)
@click.option("--key", default="", envvar="SEAKEEP_KEY", help="API key, where the server asks for one.")
@options.folder
@options.as_json
@click.pass_context
def replay_traffic(
    ctx: click.Context, model: str, from_us: int, to_us: int, share: float, key: str, folder: Path, as_json: bool
) -> None:
    """Stream the history of MODEL's sources through the running server, by an accelerated clock."""
    if to_us <= from_us:
        raise click.BadParameter("it must be later than --from", ctx, param_hint="--to")
    project = options.open_project(folder)
    with output.progress(to_us - from_us, "replaying") as show:
        totals = project.replay_traffic(
            model,
            from_us=from_us,
            to_us=to_us,
            share=share,
            headers={"authorization": f"Bearer {key}"} if key else None,
            on_progress=lambda now: show(
                now.time_us - from_us, f"{format_day(now.time_us)}  {now.answered:,} predictions"
            ),
        )
    text = (
        f"{totals.answered:,} predictions and {totals.events:,} events in {totals.seconds:.1f} s; "
        f"{totals.failed + totals.events_failed:,} failed"
    )
    output.data(totals, text, as_json=as_json)
    if totals.first_failure:
        output.talk(f"first failure: {totals.first_failure}")
        ctx.exit(4)
