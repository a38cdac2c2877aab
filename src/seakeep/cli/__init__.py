"""The command line: thin commands over :class:`seakeep.project.Project`, loaded only when they are called.

Data goes to standard output, talk to standard error. Exit codes: 0 ok, 1 fault, 2 usage, 3 gate failed, 4 degraded.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from seakeep.config import wants_colour
from seakeep.errors import GateError, PlatformError, ProjectFaults, SeakeepError

_COMMANDS = {
    "Start": {
        "demo": ("demo", "Watch the whole loop on the real flights of 2013."),
        "init": ("start", "Write a small working project from a table and an estimator."),
        "adopt": ("adopt", "Write the project of a notebook, and prove that both answer the same."),
        "check": ("start", "Find every fault of the project at once."),
    },
    "Build": {
        "train": ("build", "Train a model on everything known by a moment."),
        "rerun": ("build", "Train a run again and compare it byte for byte."),
        "convert": ("build", "Convert a run, prove it equal and register the version."),
        "optimise": ("optimise", "Search for a faster or smaller version within limits."),
        "register": ("build", "Take a model trained elsewhere from its file."),
    },
    "Release": {
        "gates": ("release", "Judge a version by its gates."),
        "promote": ("release", "Let a version answer, by canary."),
        "rollback": ("release", "Go back to the champion before."),
        "history": ("release", "What was in production, and when."),
    },
    "Run": {
        "up": ("run", "Serve, watch and show the dashboard."),
        "serve": ("run", "Serve the champions and candidates."),
        "score": ("score", "Score files of rows by a version, as the service would."),
        "replay-traffic": ("run", "Stream a source's history through the running server."),
    },
    "Know": {
        "status": ("know", "How the live models are."),
        "morning": ("know", "What changed overnight, why, and what to do."),
        "months": ("know", "Each month's verdict, beside what the outcomes showed later."),
        "receipts": ("know", "What the rollouts that ended did to whom."),
        "why": ("know", "Execute a past prediction again, bit for bit."),
        "replay": ("past", "Execute recorded traffic again and compare the bits."),
        "whatif": ("past", "What a candidate would have done to last week's traffic."),
        "profile": ("profile", "What a worker can do with recorded traffic, and what limits it."),
        "shadow": ("past", "How champion and candidate differ on live requests."),
        "parity": ("know", "Recompute served features from history, and compare."),
    },
    "Administer": {
        "doctor": ("doctor", "What is usable here, and whether what is kept is whole."),
        "run": ("nouns", "Training runs: list, show."),
        "model": ("nouns", "Versions of models: list, show."),
        "data": ("nouns", "Dataset versions: list, diff."),
        "audit": ("nouns", "The chain of changes: list, verify."),
        "key": ("nouns", "API keys: create, list, revoke."),
        "records": ("records", "Recorded predictions: status, list, reveal, rotate-key."),
        "erase": ("records", "Take a subject out of records and features, with proof."),
    },
}
_MODULES = {name: module for group in _COMMANDS.values() for name, (module, _) in group.items()}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; its help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order of the day."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds a command."""
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"seakeep.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands grouped by intent."""
        for group, commands in _COMMANDS.items():
            with formatter.section(group):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="seakeep", message="%(version)s")
def cli() -> None:
    """From a notebook to a reliable production service, and healthy there.

    Getting started: seakeep demo
    """


def main(arguments: Sequence[str] | None = None) -> Any:
    """Run a command; a fault becomes ``error / cause / hint`` and an exit code, never a traceback."""
    color = None if wants_colour() else False
    try:
        return cli.main(args=list(arguments) if arguments is not None else None, prog_name="seakeep", color=color)
    except SeakeepError as error:
        fault, code = error, 3 if isinstance(error, GateError) else 1
    except OSError as error:
        fault, code = PlatformError(str(error), hint="check free space, rights and what else uses it"), 1
    with click.Context(cli, color=color):
        _report(fault)
    sys.exit(code)


def _report(error: SeakeepError) -> None:
    from seakeep.cli import output

    if isinstance(error, ProjectFaults):
        for fault in error.faults:
            output.fault(fault)
        count = len(error.faults)
        output.talk(f"found {count} fault{'s' if count != 1 else ''}")
        return
    output.error(error)
