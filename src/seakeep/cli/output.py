"""How commands speak: data to standard output, talk to standard error, colour only where a person reads."""

from __future__ import annotations

import contextlib
import itertools
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import msgspec

from seakeep.errors import Fault, SeakeepError

WIDTH = 100


def data(value: Any, text: str, *, as_json: bool) -> None:
    """Write a result: as JSON for programs, else as text."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    else:
        click.echo(text)


def talk(text: str = "") -> None:
    """Say something to the person who runs the command."""
    click.echo(text, err=True)


def done(text: str, *, next_step: str = "", undo: str = "") -> None:
    """Say that a state changed, what may come next and how to undo it."""
    talk(f"{click.style('✓', fg='green')} {text}")
    if next_step:
        talk(f"  next: {click.style(next_step, fg='cyan')}")
    if undo:
        talk(f"  undo: {click.style(undo, fg='cyan')}")


def fault(found: Fault) -> None:
    """Show one fault of a project."""
    talk(f"{click.style('error', fg='red')}: {found.message}")
    talk(f"  at {found.file}:{found.line}")
    if found.hint:
        talk(f"  {click.style('hint', fg='cyan')}: {found.hint}")


def error(raised: SeakeepError) -> None:
    """Show a fault with its cause, its hint and its code."""
    talk(f"{click.style('error', fg='red')}: {raised.message}")
    if raised.__cause__ is not None:
        talk(f"  cause: {raised.__cause__}")
    if raised.hint:
        talk(f"\n{click.style('hint', fg='cyan')}: {raised.hint}")
    talk(f"code: {raised.code}")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, wrap: int = 0) -> str:
    """Aligned columns; numbers to the right. Texts longer than ``wrap`` go on in the next line (0: never)."""
    cells = [[_wrapped(cell, wrap) for cell in row] for row in (headings, *rows)]
    widths = [max(len(line) for row in cells for line in row[place]) for place in range(len(headings))]
    numeric = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(headings))]

    def lines(row: Sequence[Sequence[str]]) -> Iterator[str]:
        for parts in itertools.zip_longest(*row, fillvalue=""):
            placed = zip(parts, widths, numeric, strict=True)
            yield "  ".join(part.rjust(width) if right else part.ljust(width) for part, width, right in placed).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([*lines(cells[0]), rule, *(line for row in cells[1:] for line in lines(row))])


def _wrapped(text: str, width: int) -> list[str]:
    fits = not width or len(text) <= width
    return [text] if fits else textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


def _is_number(text: str) -> bool:
    return not text or text[:1].isdigit() or text[:1] in "+-." or text == "—"


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step that takes a moment, and how long it took."""
    live = sys.stderr.isatty()
    if live:
        click.echo(f"  {text} …", err=True, nl=False)
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    click.echo(("\r" if live else "") + f"  {text}  {click.style(f'{seconds:.1f} s', dim=True)}   ", err=True)


@contextlib.contextmanager
def progress(length: int, label: str) -> Iterator[Callable[[int, str], None]]:
    """A progress bar on a terminal; silent elsewhere. The function it gives takes the amount done and a note."""
    if not sys.stderr.isatty():
        yield lambda _amount, _note: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr, item_show_func=lambda note: note or "") as bar:
        reached = 0

        def show(amount: int, note: str) -> None:
            nonlocal reached
            bar.update(amount - reached, note)
            reached = amount

        yield show
