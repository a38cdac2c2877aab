"""``records`` and ``erase``: what the flight recorder holds, and what it is to forget."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from seakeep.cli import options, output
from seakeep.clock import format_moment
from seakeep.errors import SeakeepError

if TYPE_CHECKING:
    from collections.abc import Collection

    from seakeep.project.project import Project
    from seakeep.project.recorder import RecorderStatus
    from seakeep.records.erasure import Erasure
    from seakeep.records.prediction import Prediction


@click.group()
def records() -> None:
    """Recorded predictions."""


@records.command("status")
@options.folder
@options.as_json
def records_status(folder: Path, as_json: bool) -> None:
    """What is on the disk, what is missing and why, and what retention let go."""
    found = options.open_project(folder).recorder.status()
    output.data(found, status_table(found), as_json=as_json)


@records.command("list")
@click.argument("key")
@options.folder
@options.as_json
def records_list(key: str, folder: Path, as_json: bool) -> None:
    """The predictions that KEY got, oldest first."""
    project = options.open_project(folder)
    found = project.recorder.of_key(key)
    text = (
        prediction_table(found, {one.bundle for one in found if not _yes_or_no(project, one)})
        if found
        else f"no prediction for {key!r} is recorded"
    )
    output.data(list(map(msgspec.structs.asdict, found)), text, as_json=as_json)


@records.command("reveal")
@click.argument("token")
@options.folder
@options.as_json
def records_reveal(token: str, folder: Path, as_json: bool) -> None:
    """The value behind TOKEN, which stands for a personal value in a record."""
    column, value = options.open_project(folder).recorder.reveal(token)
    output.data({"column": column, "value": value}, str(value), as_json=as_json)


@records.command("rotate-key")
@options.folder
@options.as_json
def records_rotate_key(folder: Path, as_json: bool) -> None:
    """Take another wrapping key; the encrypted records themselves stay as they are."""
    count = options.open_project(folder).recorder.rotate_key()
    output.data({"rewrapped": count}, f"{count} keys of files are under another wrapping key now", as_json=as_json)


@click.command()
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.folder
@options.as_json
@click.pass_context
def erase(ctx: click.Context, key: str, yes: bool, folder: Path, as_json: bool) -> None:
    """Take everything about KEY out of the records and the online features; exit code 4 if something is left."""
    recorder = options.open_project(folder).recorder
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("an erasure cannot be undone; say --yes to go on without being asked")
        found = recorder.look(key)
        output.talk(f"{found.predictions:,} predictions and {found.events:,} events name {key!r}.")
        click.confirm("Take them out for good?", abort=True, err=True)
    with output.step("erasing"):
        done = recorder.erase(key, actor=options.actor())
    output.data(done, erasure_text(done), as_json=as_json)
    if not done.complete:
        ctx.exit(4)
    if done.predictions or done.events or done.features:
        output.done("erased, and entered in the audit log", next_step="restart the service, whose workers may remember")
    else:
        output.done(f"nothing names {key!r}; the search is entered in the audit log")


def status_table(found: list[RecorderStatus]) -> str:
    """A line a folder: its size, what is missing from it, and what was let go."""
    rows = [
        [
            one.name,
            f"{one.files:,}",
            f"{one.size / 1e6:,.1f}",
            f"{one.encrypted:,}",
            ", ".join(f"{count:,} {reason}" for reason, count in sorted(one.missing.items())) or "none",
            f"{one.expired:,}",
        ]
        for one in found
    ]
    return output.table(["records", "files", "MB", "encrypted", "missing", "let go"], rows)


def prediction_table(found: list[Prediction], numbers: Collection[str] = ()) -> str:
    """A line a prediction; ``numbers`` are the bundles whose answers are no yes or no."""
    rows = [
        [
            one.id,
            f"{one.model}:{one.version}",
            one.role,
            format_moment(one.time_us),
            f"{one.score:.6g}",
            one.error or one.answer or ("—" if one.bundle in numbers else "yes" if one.decision else "no"),
        ]
        for one in found
    ]
    return output.table(["id", "version", "role", "for", "score", "answer"], rows)


def erasure_text(done: Erasure) -> str:
    """What was taken out, and the proof."""
    lines = [
        f"taken out  {done.predictions:,} predictions, {done.events:,} events, {done.features:,} states of features",
        f"searched   {done.searched_files:,} files, {done.searched_bytes:,} bytes, and every record",
        f"left       {done.left:,} places" if done.left else "left       nothing",
    ]
    if done.unreadable:
        lines.append(f"damaged    {', '.join(done.unreadable)}: what cannot be read cannot be vouched for")
    if done.datasets:
        names = ", ".join(one[:12] for one in done.datasets)
        lines.append(
            f"training   dataset versions {names} hold it, and stay as they are: so do the models trained on them"
        )
    return "\n".join(lines)


def _yes_or_no(project: Project, one: Prediction) -> bool:
    """Whether a prediction has a decision; yes if its version is gone, whose record stays as it is."""
    try:
        return project.stores.bundles.open(one.bundle).definition.label.outputs.yes_or_no
    except SeakeepError:
        return True
