"""``gates``, ``promote``, ``rollback`` and ``history``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seakeep.cli import options, output
from seakeep.clock import format_moment

if TYPE_CHECKING:
    from seakeep.records.gate import GateResult
    from seakeep.records.release import Release


@click.command()
@click.argument("reference", default="")
@options.folder
@options.as_json
@click.pass_context
def gates(ctx: click.Context, reference: str, folder: Path, as_json: bool) -> None:
    """Judge REFERENCE (late, late:7; by default the only model's candidate) by its gates; exit code 3 if one fails."""
    project = options.open_project(folder)
    reference = reference or project.resolve().ref
    with output.step("gathering evidence"):
        results = project.gates(reference, actor=options.actor())
    output.data(results, gate_table(results), as_json=as_json)
    if all(result.passed for result in results):
        output.done("all gates passed", next_step=f"seakeep promote {reference}")
    else:
        output.talk("to pass, change the model or its gates in the project's file, then train and convert again")
        output.talk(f"to let it answer all the same, on record: seakeep promote {reference} --override REASON")
        ctx.exit(3)


@click.command()
@click.argument("reference")
@click.option("--now", is_flag=True, help="Without a canary.")
@click.option("--override", default="", metavar="REASON", help="Promote although gates failed; kept in the audit log.")
@click.option("--standby", is_flag=True, help="As the version that answers where the others cannot.")
@click.option("--ab", type=float, default=0.0, metavar="SHARE", help="In an A/B test, for this share of the traffic.")
@click.option(
    "--by", default="", metavar="COLUMN", help="Whose value decides in an A/B test; by default the row's key."
)
@options.folder
@options.as_json
def promote(
    reference: str, now: bool, override: str, standby: bool, ab: float, by: str, folder: Path, as_json: bool
) -> None:
    """Let REFERENCE answer: at once if the model has no champion, else by canary.

    An A/B test goes on until it is ended: by `promote REFERENCE --now` for the new version, or by `rollback`.
    """
    from seakeep.records.release import Way
    from seakeep.registry.promotion import returned

    if now + standby + bool(ab) > 1 or (by and not ab):
        raise click.UsageError("--now, --standby and --ab exclude one another, and --by goes with --ab")

    project = options.open_project(folder)
    with output.step("judging the gates"):
        release = project.promote(
            reference, actor=options.actor(), now=now, override=override, way=Way(standby=standby, share=ab, by=by)
        )
    output.data(release, release_line(release), as_json=as_json)
    undo = f"seakeep rollback {release.model}" if returned(project.history(release.model)) else ""
    undo = f"seakeep rollback {release.model} --standby" if standby else undo
    output.done(release_line(release), next_step=f"seakeep status {release.model}", undo=undo)


@click.command()
@click.argument("model", default="")
@click.option("--reason", default="", help="Why, for the history.")
@click.option("--standby", is_flag=True, help="Take away the version that stands by instead.")
@options.folder
@options.as_json
def rollback(model: str, reason: str, standby: bool, folder: Path, as_json: bool) -> None:
    """Take back MODEL's candidate, or else go back to the champion before this one."""
    project = options.open_project(folder)
    release = project.rollback(model, actor=options.actor(), reason=reason or "asked for", standby=standby)
    output.data(release, release_line(release), as_json=as_json)
    output.done(release_line(release), next_step=f"seakeep history {release.model}")


@click.command()
@click.argument("model", default="")
@click.option("--at", type=options.Moment(), help="Only what was in force at this moment.")
@options.folder
@options.as_json
def history(model: str, at: int | None, folder: Path, as_json: bool) -> None:
    """What of MODEL was in production, and when."""
    project = options.open_project(folder)
    releases = project.history(model, at_us=at)
    rows = [[format_moment(r.from_us), r.action, routes(r), r.actor, r.reason] for r in releases]
    output.data(releases, output.table(["from", "action", "answering", "actor", "reason"], rows), as_json=as_json)


def gate_table(results: tuple[GateResult, ...]) -> str:
    """Gates with what was found and what was required."""
    rows = [["pass" if r.passed else "FAIL", r.gate, r.observed, r.required] for r in results]
    return output.table(["", "gate", "observed", "required"], rows, wrap=34)


def routes(release: Release) -> str:
    """Who answers what share: ``:1 champion, :2 candidate 10 %``."""
    parts = [
        f":{r.version} {r.role}"
        + (f" {100 * r.weight:g} %" if r.role == "candidate" else "")
        + (f" by {r.by or 'key'} until ended" if r.held else "")
        for r in release.routes
    ]
    return ", ".join(parts) or "nothing"


def release_line(release: Release) -> str:
    """One sentence on a release."""
    return f"{release.model}: {release.action}; answering: {routes(release)}"
