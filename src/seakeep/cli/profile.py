"""``profile``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seakeep.cli import options, output

if TYPE_CHECKING:
    from seakeep.records.profile import Advice, Bottleneck, Level, Profile
    from seakeep.records.run import Metric

_LIMITS = {
    "processor": "the worker's event loop is full",
    "shared": "other processes take the worker's processor",
    "waiting": "the worker stands still, and its processor is idle",
    "generator": "the load generator was not fast enough to tell; free a processor for it, or ask for less",
    "none": "a worker has room left at the rates that were tried",
}


@click.command()
@click.argument("model", default="")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests a second to offer.")
@click.option("--sweep", is_flag=True, help="Rates in steps, up to beyond what a worker can do (the default).")
@click.option(
    "--seconds", type=click.FloatRange(0.5, 600), default=3.0, show_default=True, help="Length of each level."
)
@click.option("--key", default="", envvar="SEAKEEP_KEY", help="API key, where the service asks for one.")
@options.period
@options.folder
@options.as_json
@click.pass_context
def profile(
    ctx: click.Context, model: str, rate: float | None, sweep: bool, seconds: float, key: str,
    from_us: int | None, to_us: int | None, folder: Path, as_json: bool,
) -> None:  # fmt: skip
    """Send MODEL's recorded requests to a private worker at given rates: stages, knee, bottleneck, what to set.

    Nothing is added to the project's records. Use a machine like the one that serves, with a processor to spare.
    """
    from seakeep.project.profiling import ProfileOptions

    if rate and sweep:
        raise click.UsageError("--rate measures at one rate, --sweep at many: choose one", ctx)
    project = options.open_project(folder)
    chosen = ProfileOptions(
        seconds=seconds,
        headers={"authorization": f"Bearer {key}"} if key else {},
        on_level=lambda level: output.talk(f"  {level.offered:,.0f} a second: p99 {_time(level.p99_us.value)}"),
    )
    found = project.past.profile(model, rate=rate, from_us=from_us, to_us=to_us, options=chosen)
    output.data(found, profile_text(found), as_json=as_json)


def profile_text(found: Profile) -> str:
    """A profile on one screen: the curve, the stages at the highest rate that tells, and what follows."""
    lines = [f"{found.model}: one worker, {found.requests:,} recorded requests, latency from when each was due", ""]
    heads = ["offered/s", "answered/s", "failed", "p50", "p99 (95 %)", "busy", "rows a batch", ""]
    lines += [output.table(heads, [_level_cells(level) for level in found.levels]), ""]
    told = [level for level in found.levels if not level.limited] or list(found.levels)
    level = told[-1]
    lines.append(f"at {level.offered:,.0f} a second:")
    shares = [
        [name, _time(cost.mean_us), _time(cost.p99_us), f"{cost.share:.1%}"] for name, cost in level.stages.items()
    ]
    rest = max(0.0, level.busy - sum(cost.share for cost in level.stages.values()))
    rows = [*shares, ["transport", "—", "—", f"{rest:.1%}"]]
    lines += [output.table(["stage", "mean", "p99", "of the worker's time"], rows), ""]
    return "\n".join([*lines, *_conclusions(found)])


def _conclusions(found: Profile) -> Iterator[str]:
    if found.knee:
        knee = found.knee
        yield f"knee        {knee.value:,.0f} a second a worker (between {knee.low:,.0f} and {knee.high:,.0f})"
    else:
        yield "knee        not among the rates that were tried"
    yield f"bottleneck  {_bottleneck(found.bottleneck)}"
    yield from _advice(found.advice)
    if found.looked_up < found.requests:
        others = found.requests - found.looked_up
        yield f"note        {others:,} requests were not recorded as sent, so their features were sent, not looked up"
    if any(level.limited for level in found.levels):
        yield "note        rates marked * say what the load generator could do, not the worker"


def _bottleneck(found: Bottleneck) -> str:
    words = _LIMITS[found.limit]
    return (
        words if found.limit == "generator" else f"{words}; most of its time, {found.share:.0%}, goes to {found.stage}"
    )


def _advice(found: Advice) -> Iterator[str]:
    beyond = f" (more than the {found.cores} processors here)" if found.workers > found.cores else ""
    if found.workers and found.rate:
        yield f"workers     {found.workers}{beyond} for {found.rate:,.0f} requests a second, if each has a processor"
        total = found.workers * found.worker_mb
        yield f"memory      {found.worker_mb:,.0f} MiB a worker, {total:,.0f} MiB in all"
    else:
        yield f"memory      {found.worker_mb:,.0f} MiB a worker"
    if found.rows == 1:
        yield f"rows        one a request: the model takes {found.alone_us:,.1f} us a row however many come together"
    else:
        costs = f"the model takes {found.row_us:,.1f} us a row, and {found.alone_us:,.1f} for one alone"
        yield f"rows        {found.rows} together where a client has so many: {costs}"


def _level_cells(level: Level) -> list[str]:
    return [
        f"{level.offered:,.0f}",
        f"{level.answered:,.0f}",
        f"{level.failed:,}",
        _time(level.p50_us.value),
        _between(level.p99_us),
        f"{level.busy:.0%}",
        f"{level.batch_rows:.1f}",
        "*" if level.limited else "",
    ]


def _between(found: Metric) -> str:
    if not math.isfinite(found.low):
        return _time(found.value)
    return f"{_time(found.value)} ({_time(max(0.0, found.low))} to {_time(found.high)})"


def _time(microseconds: float) -> str:
    if math.isnan(microseconds):
        return "—"
    if microseconds < 1000:
        return f"{microseconds:.0f} us"
    return f"{microseconds / 1000:.1f} ms" if microseconds < 1e6 else f"{microseconds / 1e6:.2f} s"
