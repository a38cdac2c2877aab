"""``optimise``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seakeep.cli import options, output
from seakeep.cli.build import interval

if TYPE_CHECKING:
    from seakeep.records.metric import Metric
    from seakeep.records.optimise import Attempt, Confirmed, Optimised

_STEPS = 100


class _Positive(click.ParamType[float]):
    """A finite number above 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As a float."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            self.fail(f"{value!r} is not a positive number", param, ctx)
        return number


@click.command()
@click.argument("reference", default="")
@click.option("--p99-ms", type=_Positive(), help="Most milliseconds of 99 % of the calls.")
@click.option("--size-mb", type=_Positive(), help="Most megabytes of the model.")
@click.option(
    "--loss",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="How much worse it may be: log-loss, or squared error as a share.",
)
@click.option("--batch", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Rows of one call.")
@click.option("--dry-run", is_flag=True, help="Show the table and register nothing.")
@options.folder
@options.as_json
@click.pass_context
def optimise(
    ctx: click.Context,
    reference: str,
    p99_ms: float | None,
    size_mb: float | None,
    loss: float,
    batch: int,
    dry_run: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Search for a faster version of REFERENCE (late, late:7; by default the only model's candidate).

    The fastest candidate that keeps the limits even by the pessimistic ends of what was measured, and is not slower than
    REFERENCE, is proved and registered as a version of its own. Exit code 3 if nothing keeps the limits.
    """
    from seakeep.records.optimise import Limits

    project = options.open_project(folder)
    limits = Limits(p99_ms=p99_ms, size_mb=size_mb, loss=loss, batch=batch)
    with output.step("candidates, measurements, proof"), output.progress(_STEPS, "optimise") as show:
        found = project.optimiser.search(
            reference,
            limits,
            dry_run=dry_run,
            actor=options.actor(),
            on_progress=lambda part, what: show(round(part * _STEPS), what),
        )
    output.data(found, told(found), as_json=as_json)
    if found.refusal:
        output.talk(f"refused: {found.refusal}")
        output.talk("allow more by --p99-ms, --size-mb or --loss")
        ctx.exit(3)
    if found.version:
        made = f"{found.version.ref} registered: {found.source} as {found.chosen}"
        output.done(made, next_step=f"seakeep gates {found.version.ref}")
    elif found.chosen:
        output.done(f"would register: {found.chosen}", next_step="the same without --dry-run")
    else:
        output.done(f"{found.source} keeps the limits, and nothing is shown to be better: nothing was registered")


def told(found: Optimised) -> str:
    """The table of a search, the best in p99, size and loss marked by ``*``, and what the test rows say of the chosen one."""
    rows = [_row(one, chosen=one.told == found.chosen) for one in found.attempts]
    batch = found.limits.batch
    head = ["", "candidate", f"p50 us, {batch:,} rows" if batch > 1 else "p50 us", "p99 us", "at most", "MB"]
    table = output.table([*head, f"{found.known_by} (95 %)", "loss at most", "flips", "why not"], rows)
    return f"{table}\n\n{_confirmed(found.chosen, found.confirmed)}" if found.confirmed else table


def _row(one: Attempt, *, chosen: bool) -> list[str]:
    times = [_us(time) for time in (one.p50_us, one.p99_us, one.p99_high_us)]
    size = f"{one.size_bytes / 1e6:.3f}" if one.size_bytes else "—"
    flips = f"{one.flips:,}" if one.loss else "—"
    mark = ("*" if one.pareto else "") + (" chosen" if chosen else "")
    return [mark, one.told, *times, size, interval(one.metric), _signed(one.loss), flips, one.fault]


def _confirmed(chosen: str, found: Confirmed) -> str:
    return (
        f"{chosen}, on {found.rows:,} later rows that had no part in the choice: "
        f"{interval(found.metric)}, the source {interval(found.source)}; loss {found.loss.value:+.4f} "
        f"({found.loss.low:+.4f} to {found.loss.high:+.4f}); {found.flips:,} decisions differ"
    )


def _us(time: float | None) -> str:
    return "—" if time is None else f"{time:,.1f}"


def _signed(metric: Metric | None) -> str:
    return f"{metric.high:+.4f}" if metric else "—"
