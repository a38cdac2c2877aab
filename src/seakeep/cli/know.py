"""``status``, ``morning``, ``months``, ``receipts``, ``why`` and ``parity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seakeep.cli import options, output
from seakeep.clock import format_day, format_duration, format_moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seakeep.features.parity import ParityReport
    from seakeep.project.project import Project
    from seakeep.project.watch import VersionStatus
    from seakeep.records.release import Receipt
    from seakeep.replay.why import FeatureValue, Reexecution


@click.command()
@click.argument("model", default="")
@options.folder
@options.as_json
@click.pass_context
def status(ctx: click.Context, model: str, folder: Path, as_json: bool) -> None:
    """How the live models were in their last recorded day: traffic, latency, errors, per version."""
    project = options.open_project(folder)
    rows = project.status(model)
    output.data(rows, status_table(rows) if rows else "nothing recorded yet", as_json=as_json)
    _tell_losses(ctx, project)


@click.command()
@click.argument("reference", default="")
@click.option(
    "--at",
    type=options.Moment(),
    help="The morning in question; by default now, or the newest recorded moment of a past.",
)
@options.folder
@options.as_json
@click.pass_context
def morning(ctx: click.Context, reference: str, at: int | None, folder: Path, as_json: bool) -> None:
    """What changed, why, and what to do: from what was known by that morning."""
    from seakeep.diagnosis.render import render_brief

    project = options.open_project(folder)
    with output.step("reading the records"):
        brief = project.morning(reference, now_us=at)
    output.data(brief, render_brief(brief), as_json=as_json)
    _tell_losses(ctx, project)


@click.command()
@click.argument("reference", default="")
@click.option("--at", type=options.Moment(), help="Only months that ended by then; by default by now.")
@options.folder
@options.as_json
@click.pass_context
def months(ctx: click.Context, reference: str, at: int | None, folder: Path, as_json: bool) -> None:
    """The verdict of each month as it was possible then, beside what the outcomes showed later."""
    from seakeep.diagnosis.render import render_months

    project = options.open_project(folder)
    with output.step("judging the months"):
        found = project.months(reference, now_us=at)
    output.data(found, render_months(found) if found else "no month is complete yet", as_json=as_json)
    _tell_losses(ctx, project)


@click.command()
@click.argument("model", default="")
@options.folder
@options.as_json
def receipts(model: str, folder: Path, as_json: bool) -> None:
    """What the rollouts that ended did to whom, newest first."""
    found = options.open_project(folder).receipts(model)
    output.data(found, "\n\n".join(map(receipt_text, found)) or "no rollout has ended yet", as_json=as_json)


@click.command()
@click.argument("prediction_id")
@options.folder
@options.as_json
@click.pass_context
def why(ctx: click.Context, prediction_id: str, folder: Path, as_json: bool) -> None:
    """Execute PREDICTION_ID again from its record and compare the bits; exit code 4 if they differ."""
    found = options.open_project(folder).why(prediction_id)
    output.data(found, why_text(found), as_json=as_json)
    if not found.equal:
        ctx.exit(4)


@click.command()
@click.argument("reference", default="")
@click.option("--sample", type=click.IntRange(min=1), default=20_000, help="Recorded predictions to look at.")
@options.folder
@options.as_json
@click.pass_context
def parity(ctx: click.Context, reference: str, sample: int, folder: Path, as_json: bool) -> None:
    """Recompute served features from recorded requests and events, and compare; exit code 4 if any differs."""
    project = options.open_project(folder)
    with output.step("recomputing features from history"):
        report = project.parity(reference, sample=sample)
    output.data(report, parity_text(report), as_json=as_json)
    if not report.passed:
        if erased := sum(one.events for one in project.stores.erasures.list()):
            output.talk(f"{erased:,} events were erased: what was computed with them cannot come out the same again")
        ctx.exit(4)


def _tell_losses(ctx: click.Context, project: Project) -> None:
    """Say what the answer went without; exit code 4 if some of the records cannot be read."""
    from seakeep.recorder.losses import losses

    found = losses(project.home.predictions, project.home.events)
    for sentence in found.sentences:
        output.talk(f"{click.style('warning', fg='yellow')}: {sentence}")
    if found.damage:
        ctx.exit(4)


def status_table(rows: Sequence[VersionStatus]) -> str:
    """A line a version: its traffic, errors and latency."""
    cells = [
        [
            f"{r.model}:{r.version}",
            r.role,
            f"{r.requests:,}",
            f"{r.share:.1%}",
            f"{r.errors:,}",
            f"{r.refused:,}",
            f"{r.throughput_per_s:,.0f}",
            f"{r.p50_ms:.2f}",
            f"{r.p99_ms:.2f}",
        ]
        for r in rows
    ]
    heads = ["version", "role", "requests", "share", "errors", "refused", "per s", "p50 ms", "p99 ms"]
    return "\n".join([output.table(heads, cells), *_error_lines(rows)])


def _error_lines(rows: Sequence[VersionStatus]) -> Iterator[str]:
    """How far versions of numbers and of classes err, a line each."""
    for one in rows:
        if one.quality:
            told = [
                f"{name} {metric.value:.4g} ({metric.low:.4g} to {metric.high:.4g})"
                for name, metric in one.quality.metrics.items()
            ]
            days = f"{format_day(one.quality.from_us)} to {format_day(one.quality.to_us)}"
            counts = f"{one.quality.labelled:,} outcomes of predictions of {days}"
            yield f"{one.model}:{one.version}  {', '.join(told) or 'no outcome is known'}; {counts}"
        elif one.quality is None:
            yield f"{one.model}:{one.version}  how far it errs is not known yet"


def receipt_text(one: Receipt) -> str:
    """A receipt: who was promoted over whom, what came of it, and the evidence."""
    left = f"; the candidate's last answer was {one.switch_s:.2f} s later" if one.switch_s > 0 else ""
    lines = [
        f"{one.model}:{one.candidate} over :{one.champion}  {one.outcome}  {format_moment(one.ended_us)}",
        f"recorded   {one.requests:,} predictions during the rollout, {one.failed:,} failed",
        f"exposed    {one.answered_by_candidate:,} answered by the candidate",
        f"decided    after {one.detect_s:.2f} s{left}",
    ]
    evidence = [("evidence   " if place == 0 else " " * 11) + sentence for place, sentence in enumerate(one.evidence)]
    return "\n".join(lines + evidence)


def why_text(found: Reexecution) -> str:
    """A re-execution: the decision, the bits, and the features as they were."""
    p = found.prediction
    bits = "equal, bit for bit" if found.equal else "DIFFERENT"
    lines = [
        f"{p.id}  {p.model}:{p.version} as {p.role}, for {format_moment(p.time_us)}",
        f"bundle    {p.bundle}",
        *([f"decision  {'yes' if p.decision else 'no'}"] if found.outputs.yes_or_no else []),
        *([f"class     {p.answer}, one of {', '.join(found.outputs.names)}"] if found.outputs.of_classes else []),
        f"recorded  {found.recorded!r}  {found.recorded_bits}",
        f"again     {found.recomputed!r}  {found.recomputed_bits}  {bits}",
        *_environment_lines(found),
        "",
        output.table(
            ["feature", "value", "from", "newest event known", ""], [_feature_cells(one) for one in found.features]
        ),
    ]
    return "\n".join(lines)


def _environment_lines(found: Reexecution) -> list[str]:
    """What the version was proved on; and what is another thing here."""
    from seakeep.replay.why import HOST

    proved = {one.name: one.proved for one in found.environment}
    if not proved:
        return []
    host = proved.pop(HOST, "") or "a host of unknown class"
    libraries = ", ".join(f"{name} {version}" for name, version in proved.items())
    lines = [f"proved    on {host}; {libraries}"]
    other = [one for one in found.environment if one.now != one.proved and (one.name != HOST or one.proved)]
    if other:
        told = [f"{one.name} {one.now or 'not installed'}" if one.name != HOST else one.now for one in other]
        lines.append(f"here      {'; '.join(told)}")
    if found.other_host:
        lines.append("          another class of host than the one that proved it: the last bits may differ")
    return lines


def _feature_cells(one: FeatureValue) -> list[str]:
    value = one.value if isinstance(one.value, str) else f"{one.value:.6g}"
    event = format_moment(one.event_us) if one.event_us is not None else ""
    age = f"{format_duration(one.age_us)} before" if one.age_us is not None else ""
    return [one.name, "missing" if value in {"", "nan"} else value, one.view or "request", event, age]


def parity_text(report: ParityReport) -> str:
    """How far served features agree with the same features recomputed from history."""
    rows = [
        [
            one.name,
            f"{one.rows:,}",
            f"{one.match_rate:.2%}",
            f"{one.identical:,}",
            f"{one.max_difference:.1e}",
            one.worst_key,
        ]
        for one in report.features
    ]
    agrees = "every feature of every row agrees" if report.passed else "NOT EVERY ROW AGREES"
    verdict = agrees if report.rows else "nothing could be checked"
    head = f"{report.rows:,} recorded predictions recomputed, {report.unmatched:,} not checked: {verdict}"
    return "\n".join([head, "", output.table(["feature", "rows", "agree", "same bits", "largest", "worst key"], rows)])
