"""``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seakeep.cli import options, output
from seakeep.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seakeep.project.doctor import Condition


@click.command()
@options.folder
@options.as_json
@click.pass_context
def doctor(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """What is usable here, and whether what the project keeps is whole; exit code 4 if something is not.

    Outside of a project it looks at the machine alone. It changes nothing.
    """
    from seakeep.config import find_project
    from seakeep.project.doctor import examine

    try:
        project = find_project(folder)
    except ConfigError:
        project = None
    with output.step("looking"):
        found = examine(project)
    output.data(found, _text(found), as_json=as_json)
    if any(one.state == "fault" for one in found):
        ctx.exit(4)


def _text(found: Sequence[Condition]) -> str:
    marks = {"fine": "✓", "absent": "-", "fault": "✗"}
    rows = [(marks[one.state], one.part, one.told, one.hint) for one in found]
    return output.table(["", "part", "found", "what to do"], rows, wrap=60)
