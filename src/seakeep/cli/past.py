"""``replay``, ``whatif`` and ``shadow``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seakeep.cli import options, output
from seakeep.clock import format_duration, format_moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seakeep.records.outputs import Outputs
    from seakeep.records.replay import Replay, ReplayedVersion, ShadowDifference, Shift, Side, SliceShift, WhatIf
    from seakeep.records.run import Metric

CHANCE = 0.05
"""Slices with a corrected p-value up to this are shown: of those, on average, so large a share is chance."""
MOST_SLICES = 8
SHOWN = ("roc_auc", "log_loss", "brier", "accuracy", "macro_f1", "recall", "precision", "mae", "rmse", "bias")


@click.command()
@click.argument("reference", default="")
@options.period
@options.folder
@options.as_json
@click.pass_context
def replay(
    ctx: click.Context, reference: str, from_us: int | None, to_us: int | None, folder: Path, as_json: bool
) -> None:
    """Execute recorded traffic again by REFERENCE (late, late@candidate, late:7), offline, and compare the bits.

    Exit code 4 if an answer of the version itself comes out differently.
    """
    project = options.open_project(folder)
    with output.step("executing recorded requests again"):
        found = project.past.replay(reference, from_us=from_us, to_us=to_us)
    output.data(found, replay_text(found), as_json=as_json)
    if not found.holds:
        ctx.exit(4)


@click.command()
@click.argument("candidate")
@click.option(
    "--against", default="champion", show_default=True, metavar="REFERENCE", help="The version to compare it with."
)
@options.period
@options.folder
@options.as_json
def whatif(candidate: str, against: str, from_us: int | None, to_us: int | None, folder: Path, as_json: bool) -> None:
    """What CANDIDATE (late@candidate, late:7) would have done to recorded traffic, with the features as they were.

    By default the last recorded week.
    """
    project = options.open_project(folder)
    with output.step("executing recorded requests by both versions"):
        found = project.past.whatif(
            candidate, against="" if against == "champion" else against, from_us=from_us, to_us=to_us
        )
    output.data(found, whatif_text(found), as_json=as_json)


@click.command()
@click.argument("model", default="")
@options.folder
@options.as_json
def shadow(model: str, folder: Path, as_json: bool) -> None:
    """How MODEL's champion and candidate differ on the live requests that both scored; look as often as you like."""
    project = options.open_project(folder)
    with output.step("pairing the records"):
        found = project.past.shadow(model)
    output.data(found, shadow_text(found), as_json=as_json)


def replay_text(found: Replay) -> str:
    """A replay: a line a version that had answered, and whether its own answers came out again."""
    name = f"{found.model}:{found.version}"
    rate = f"{found.rows / found.seconds:,.0f} a second" if found.seconds else ""
    lines = [f"{name} executed {found.rows:,} recorded requests again in {found.seconds:.1f} s, {rate}"]
    lines += _left_out(found.failed, found.unmatched, found.recomputed)
    if found.versions:
        heads = ["answered by", "requests", "same bits", "largest difference", "other decision", "refused now"]
        lines += ["", output.table(heads, [_replayed_cells(one, found.version) for one in found.versions])]
    own = next((one for one in found.versions if one.version == found.version), None)
    if own is None:
        lines += ["", f"{name} itself had answered none of them"]
    elif found.holds:
        lines += ["", f"no difference: all {own.rows:,} answers of {name} came out again, bit for bit"]
    else:
        lines += ["", f"{own.rows - own.equal:,} ANSWERS OF {name} CAME OUT DIFFERENTLY"]
        lines += [f"  seakeep why {one}" for one in own.examples[:3]]
    return "\n".join(lines)


def _replayed_cells(one: ReplayedVersion, version: int) -> list[str]:
    return [
        f":{one.version}" + (" itself" if one.version == version else ""),
        f"{one.rows:,}",
        f"{one.equal:,}",
        f"{one.largest:.6g}",
        f"{one.decisions:,}",
        f"{one.refused:,}",
    ]


def whatif_text(found: WhatIf) -> str:
    """A what-if on one screen: decisions, outcomes, metrics, time and the slices that shifted beyond chance."""
    new, old = found.candidate, found.against
    period = f"from {format_moment(found.from_us)} to {format_moment(found.to_us)}"
    lines = [
        f"{found.model}:{new.version} in the place of :{old.version}",
        f"requests   {found.rows:,} {period}",
        *_left_out(found.failed, found.unmatched, found.recomputed),
    ]
    if found.irreproducible:
        lines.append(f"record     {found.irreproducible:,} ANSWERS OF :{old.version} DID NOT COME OUT AGAIN")
    size = f"mean difference {found.mean_difference:+.4f}, largest {found.largest:.4f}"
    lines += [
        f"scores     {found.rows - found.equal:,} differ; {size}",
        f"{_answers(found.outputs):<10} {_shift_words(found.decisions, *_changes(found.outputs))}",
    ]
    if found.outcomes:
        righter = ("nearer by", "nearer by") if found.outputs.kind == "value" else ("right only by", "only by")
        words = _shift_words(found.outcomes, f"{righter[0]} :{new.version}", f"{righter[1]} :{old.version}")
        lines.append(f"outcomes   of {found.outcomes.rows:,} known, {words}")
    else:
        lines.append("outcomes   none is known yet")
    lines += ["", output.table(["", f":{new.version}", f":{old.version}", "difference (95 %)"], [*_sides(found)])]
    lines += ["", *_slice_lines(found)]
    return "\n".join([*lines, "", _interval_words(found)])


def _changes(outputs: Outputs) -> tuple[str, str]:
    """What an answer can change to and back."""
    if outputs.of_classes:
        return "another class and surer", "another class and less sure"
    return ("no to yes", "yes to no") if outputs.yes_or_no else ("larger", "smaller")


def _answers(outputs: Outputs) -> str:
    return "classes" if outputs.of_classes else "decisions" if outputs.yes_or_no else "values"


def _interval_words(found: WhatIf) -> str:
    if found.whole_days:
        return f"95 % intervals resample the {found.blocks} days."
    length = format_duration((found.to_us - found.from_us) // found.blocks)
    return (
        f"95 % intervals resample {found.blocks} stretches of about {length}: there are too few days to resample days."
    )


def _left_out(failed: int, unmatched: int, recomputed: tuple[str, ...]) -> Iterator[str]:
    if failed:
        yield f"left out   {failed:,} requests that had failed"
    if unmatched:
        yield f"left out   {unmatched:,} requests that cannot be read again, to recompute from"
    if recomputed:
        yield f"recomputed {', '.join(recomputed)}: not recorded, so taken from history as of each request"


def _shift_words(shift: Shift, up: str, down: str) -> str:
    return f"{shift.up:,} {up}, {shift.down:,} {down}; net {_points(shift.net)}, p {_chance(shift.p_value)}"


def _sides(found: WhatIf) -> Iterator[list[str]]:
    new, old = found.candidate, found.against
    if found.outputs.yes_or_no:
        yield ["alerts", f"{new.alerts:,}", f"{old.alerts:,}", f"{new.alerts - old.alerts:+,}"]
    if new.refused or old.refused:
        yield ["refused", f"{new.refused:,}", f"{old.refused:,}", f"{new.refused - old.refused:+,}"]
    if new.confusion and old.confusion:
        for name in ("hits", "false_alarms", "missed", "silent"):
            one, other = getattr(new.confusion, name), getattr(old.confusion, name)
            yield [name.replace("_", " "), f"{one:,}", f"{other:,}", f"{one - other:+,}"]
    for name in SHOWN:
        if name in new.metrics and name in old.metrics:
            yield [
                name,
                f"{new.metrics[name].value:.4f}",
                f"{old.metrics[name].value:.4f}",
                _signed(found.differences[name]) if name in found.differences else "",
            ]
    for name, read in _COSTS.items():
        one, other = read(new), read(old)
        yield [name, f"{one:,.1f}", f"{other:,.1f}", f"{one - other:+,.1f}"]


def _p50(side: Side) -> float:
    return side.p50_us


def _p99(side: Side) -> float:
    return side.p99_us


def _alone(side: Side) -> float:
    return side.cpu_s_per_million


def _batched(side: Side) -> float:
    return side.batch_cpu_s_per_million


_COSTS = {
    "model time p50, us": _p50,
    "model time p99, us": _p99,
    "CPU s per million": _alone,
    "  in batches": _batched,
}


def _slice_lines(found: WhatIf) -> list[str]:
    shifted = [one for one in found.slices if one.decisions.p_value <= CHANCE]
    if not shifted:
        return [f"Of {len(found.slices):,} slices none shifted beyond chance."]
    head = f"{len(shifted):,} of {len(found.slices):,} slices shifted beyond chance"
    more = f"; the first {MOST_SLICES}" if len(shifted) > MOST_SLICES else ""
    heads = ["slice", "requests", *_changes(found.outputs), "net (95 %)", "p", "righter", "wronger"]
    return [f"{head}{more}:", output.table(heads, [_slice_cells(one) for one in shifted[:MOST_SLICES]])]


def _slice_cells(one: SliceShift) -> list[str]:
    shift, told = one.decisions, one.outcomes
    return [
        f"{one.column} {one.value or 'missing'}",
        f"{shift.rows:,}",
        f"{shift.up:,}",
        f"{shift.down:,}",
        _points(shift.net),
        _chance(shift.p_value),
        f"{told.up:,}" if told else "—",
        f"{told.down:,}" if told else "—",
    ]


def shadow_text(found: ShadowDifference) -> str:
    """A rollout's pairs: how the two versions differ, and what evidence there is of harm."""
    up, down = _changes(found.outputs)
    until = f" until {format_moment(found.to_us)}" if found.to_us is not None else ", still going on"
    lines = [
        f"{found.model}:{found.candidate} beside :{found.champion} since {format_moment(found.from_us)}{until}",
        f"pairs      {found.pairs:,} requests that both scored, {found.labelled:,} with an outcome",
        f"scores     {found.equal:,} with the same bits; largest difference {found.largest:.4f}",
        f"{_answers(found.outputs):<10} {found.up:,} {up}, {found.down:,} {down}",
    ]
    if found.differences:
        rows = [
            [name, f"{one.value:+.4f}", f"{one.low:+.4f} to {one.high:+.4f}"] for name, one in found.differences.items()
        ]
        lines += ["", output.table([f":{found.candidate} minus :{found.champion}", "mean", "at any time (95 %)"], rows)]
    rows = [[one.question, _chance(one.p_value), one.sentence or "nothing to count yet"] for one in found.tests]
    return "\n".join([*lines, "", output.table(["harm?", "p", "counted"], rows)])


def _signed(metric: Metric) -> str:
    return f"{metric.value:+.4f} ({metric.low:+.4f} to {metric.high:+.4f})"


def _points(metric: Metric) -> str:
    return f"{metric.value:+.1%} ({metric.low:+.1%} to {metric.high:+.1%})"


def _chance(p_value: float) -> str:
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"
