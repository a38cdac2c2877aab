"""Options that many commands share."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from seakeep.project import Project

as_json = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
folder = click.option(
    "--project",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The project's folder, or one inside it; by default this one.",
)


class Moment(click.ParamType[int]):
    """An ISO 8601 date or date-time, UTC unless it says otherwise."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Microseconds since the epoch."""
        from seakeep.clock import parse_moment

        if isinstance(value, int):
            return value
        try:
            return parse_moment(value)
        except ValueError:
            self.fail(f"{value!r} is not a date or date-time, as in 2013-07-15 or 2013-07-15T06:00", param, ctx)


def actor() -> str:
    """Who runs the command, for the audit log; in a container users often have a number and no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def open_project(folder: Path) -> Project:
    """The project that holds ``folder``."""
    from seakeep.config import find_project
    from seakeep.project import open_project as opened

    return opened(find_project(folder))


def period(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--from`` and ``--to``, as ``from_us`` and ``to_us``; both may be left out."""

    def later(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
        from_us = ctx.params.get("from_us")
        if value is not None and from_us is not None and value <= from_us:
            raise click.BadParameter("it must be later than --from", ctx, param)
        return value

    first = click.option("--from", "from_us", type=Moment(), is_eager=True, help="First moment of the traffic.")
    last = click.option("--to", "to_us", type=Moment(), callback=later, help="Moment at which the traffic ends.")
    return first(last(command))
