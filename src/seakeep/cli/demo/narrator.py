"""The demo's voice: chapters, sentences, the commands a person would type, and what they show."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable

import click

WIDTH, SHOWN_WIDTH = 100, 104


class Narrator:
    """Writes the story to standard output."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._chapter = 0

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return time.perf_counter() - self._began

    def title(self, text: str) -> None:
        """The title of the whole."""
        self._block(f"{click.style(text, bold=True)}\n{'═' * len(text)}")

    def chapter(self, text: str) -> None:
        """Begin the next chapter."""
        self._chapter += 1
        head, clock = f"{self._chapter}. {text}", f"{self.seconds:.0f} s"
        line = "─" * (WIDTH - len(head) - len(clock) - 2)
        self._block(f"\n{click.style(head, bold=True)} {line} {click.style(clock, dim=True)}")

    def say(self, text: str) -> None:
        """A paragraph."""
        self._block(_filled(" ".join(text.split())))

    def list(self, lines: Iterable[str]) -> None:
        """Lines that belong together."""
        self._block("\n".join(_filled(line, "  ") for line in lines))

    def command(self, text: str) -> None:
        """A command that a person could type for what happens next."""
        self._block(f"  {click.style('$ ' + text, fg='cyan')}")

    def show(self, text: str) -> None:
        """What a command shows, below the command."""
        self._block("\n".join(_filled(line, "    ") for line in text.splitlines()), apart=False)

    def _block(self, text: str, *, apart: bool = True) -> None:
        click.echo("\n" + text if apart else text)


def _filled(text: str, indent: str = "") -> str:
    """A line that fits; what is longer goes on below, further to the right if it is indented."""
    width = SHOWN_WIDTH if indent else WIDTH
    if len(indent) + len(text) <= width:
        return indent + text if text else ""
    further = indent + " " * (len(text) - len(text.lstrip()) + 2) if indent else ""
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=further, break_on_hyphens=False, break_long_words=False
    )
